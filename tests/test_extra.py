"""Bits beyond those of the weight mode: where they go, and what they bring."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from crystalc.container import read, write
from crystalc.container.convert import Text, convert, feel
from crystalc.container.extra import NOTHING, spend
from crystalc.container.feedback import costs
from crystalc.container.kinds import Mode
from crystalc.container.oracle import Oracle
from crystalc.container.quality import Budget, measure
from crystalc.language import LanguageModel
from crystalc.nn.generate import windows
from crystalc.nn.language import LanguageNet
from tests.language_models import random_model, tiny_config, torch_logits


def model() -> LanguageModel:
    return random_model(tiny_config(dim=32, heads=4, neurons=(40, 24), ffn=24, context=16), 4)


def ids(made: LanguageModel) -> np.ndarray:
    return windows(LanguageNet.from_model(made), 40, seed=2).numpy().ravel()


def test_what_rounding_is_expected_to_cost_is_what_it_costs() -> None:
    """Within a factor: the sum over matrices, each with the error that can be carried on."""
    made = model()
    felt = feel(made)
    expected = sum(
        costs(np.abs(made.tensors[key]).max(axis=1) / 127.0, m).sum() for key, m in felt.items()
    )
    back, _ = read(write(made, "q8", moments=felt))
    found = measure(torch_logits, made, back, ids(made), 640).kl
    assert found / 3 < expected < 3 * found


@pytest.mark.parametrize("mode", ["q8", "int16"])
def test_bytes_go_where_they_help_most(mode: Mode) -> None:
    made = model()
    felt = feel(made, mode)
    plain, some = write(made, mode, moments=felt), spend(made, mode, felt, 0.0, 4000)
    sizes, kls = [], []
    for extra in (NOTHING, some, spend(made, mode, felt, 0.0, math.inf)):
        data = write(made, mode, moments=felt, extra=extra, panels=False)
        back, _ = read(data)
        sizes.append(len(data))
        kls.append(measure(torch_logits, made, back, ids(made), 640).kl)
    assert sizes[0] < sizes[1] < sizes[0] + 4000 + 64 * 5 * 40 < sizes[2] + 64 * 5 * 40
    assert kls[1] < 0.8 * kls[0] and kls[2] < kls[1]
    assert len(plain) and set(some.fine) <= set(felt)


def test_nothing_is_spent_where_it_is_good_enough() -> None:
    made = model()
    assert spend(made, "q8", feel(made), 1.0, math.inf) == NOTHING
    assert spend(made, "f32", feel(made), 0.0, math.inf) == NOTHING
    assert spend(made, "q8", {}, 0.0, math.inf) == NOTHING


def test_rows_of_huge_numbers_stay_as_they_are() -> None:
    made = model()
    head = made.tensors["head.weight"].copy()
    head[3] *= 1e9
    made = replace(made, tensors={**made.tensors, "head.weight": head})
    extra = spend(made, "q8", feel(model()), 0.0, math.inf)
    assert 3 not in extra.fine["head.weight"] and 4 in extra.fine["head.weight"]


def test_q8_gets_more_bits_until_its_budget_holds() -> None:
    made = model()
    text = Text(ids(made), "")
    plain, _ = read(write(made, "q8", moments=feel(made)))
    cost = measure(Oracle(), made, plain, text.ids, len(text.ids))
    tight = Budget(1.0, cost.kl / 50, 0.0)
    assert tight.excess(convert(made, "q8", text, budget=tight).quality) == []
