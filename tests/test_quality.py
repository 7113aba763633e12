"""The figures that a conversion prints, on logits whose figures are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from crystalc.container.quality import BUDGETS, Budget, Quality, measure, require_quality
from crystalc.diagnostics import CompileError
from crystalc.language import LanguageModel
from tests.language_models import random_model, tiny_config, torch_logits

A, B = random_model(tiny_config(), seed=1), random_model(tiny_config(), seed=2)
IDS = np.random.default_rng(3).integers(0, 23, 40)


def logits(model: LanguageModel, ids: Any) -> Any:
    return torch_logits(model, ids)


def test_a_model_beside_itself() -> None:
    q = measure(logits, A, A, IDS)
    assert q.positions == 39
    assert (q.perplexity_change, q.kl, q.top1, q.largest) == (0.0, 0.0, 1.0, 0.0)


def test_figures_of_two_models() -> None:
    """Against sums written out window by window."""
    import torch
    import torch.nn.functional as F

    q = measure(logits, A, B, IDS)
    pairs = [(IDS[s : s + 7][:-1], IDS[s : s + 7][1:]) for s in range(0, 39, 6)]
    p, r = (torch.cat([torch.tensor(logits(m, x[None])[0]) for x, _ in pairs]) for m in (A, B))
    targets = torch.tensor(np.concatenate([y for _, y in pairs]))
    assert math.isclose(q.reference_loss, F.cross_entropy(p, targets).item(), rel_tol=1e-9)
    assert math.isclose(q.loss, F.cross_entropy(r, targets).item(), rel_tol=1e-9)
    kl = F.kl_div(r.log_softmax(1), p.softmax(1), reduction="batchmean").item()
    assert math.isclose(q.kl, kl, rel_tol=1e-9)
    assert math.isclose(q.top1, (p.argmax(1) == r.argmax(1)).double().mean().item())
    assert math.isclose(q.largest, (p - r).abs().max().item())
    wanted = math.exp(q.loss) / math.exp(q.reference_loss) - 1
    assert math.isclose(q.perplexity_change, wanted, rel_tol=1e-9)


def test_tokens_are_bounded() -> None:
    assert measure(logits, A, B, IDS, tokens=10).positions == 10


@pytest.mark.parametrize(("ids", "message"), [([3], "fewer than 2"), ([3, 23], "beyond the 23")])
def test_text_that_cannot_be_measured(ids: list[int], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        measure(logits, A, B, np.array(ids))


def test_past_the_budget_is_refused() -> None:
    q = measure(logits, A, B, IDS)
    require_quality(q, Budget(abs(q.perplexity_change), q.kl, q.top1), "q8")
    for budget in (Budget(0, 9, 0), Budget(9e9, q.kl / 2, 0), Budget(9e9, 9, 1.0)):
        with pytest.raises(CompileError, match="weights q8 cost too much: "):
            require_quality(q, budget, "q8")


def test_decisions_are_counted_and_counts_vary() -> None:
    """Two standard errors below the limit: 0.14 points of 10,000 predictions, 1.4 of 100."""
    budget = Budget(1.0, 1.0, 0.995)
    for positions, top1, fine in ((10000, 0.9937, 1), (10000, 0.9935, 0), (100, 0.9935, 1)):
        assert bool(budget.excess(Quality(positions, 1.0, 1.0, 0.0, top1, 0.0))) != fine


def test_a_figure_that_is_no_number_is_past_every_budget() -> None:
    broken = measure(lambda m, x: logits(m, x) * np.nan, A, A, IDS)
    assert len(BUDGETS["q8q4"].excess(broken)) == 2
    assert math.isnan(broken.largest)
