"""Language models in the IR: the oracle says what torch's own functions say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crystalc.error_bound import error_bound
from crystalc.frontend.lower_language import lower_language
from crystalc.interpret import interpret
from crystalc.text import constants, parse
from crystalc.verify import check, verify
from tests.language_models import KERNELS, random_model, tiny_config, torch_logits

SHAPES: list[dict[str, Any]] = [{}, {"ffn": 0}, {"kind": "flat_lm", "heads": 1}, {"neurons": (4,)}]


def _ids(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 23, (4, length))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_oracle_agrees_with_torch(kernel: dict[str, Any], shape: dict[str, Any]) -> None:
    """binary64 against binary64: 1e-10 of the largest logit."""
    model = random_model(tiny_config(**kernel, **shape), biases=bool(shape))
    ids = _ids(3, model.config.context)
    got = interpret(check(lower_language(model)), ids)
    wanted = torch_logits(model, ids)
    assert got.shape == wanted.shape == (4, 6, 23)
    assert np.abs(got - wanted).max() <= 1e-10 * np.abs(wanted).max()


@pytest.mark.parametrize("kernel", KERNELS)
def test_single_precision_stays_within_the_bound(kernel: dict[str, Any]) -> None:
    model = random_model(tiny_config(**kernel), seed=5)
    graph, ids = lower_language(model), _ids(7, model.config.context)
    error = np.abs(torch_logits(model, ids, torch.float32) - interpret(graph, ids))
    bound = error_bound(graph, ids)
    assert (error <= bound).all()
    assert bound.max() < 1e-2 * np.abs(interpret(graph, ids)).max()  # and says something


def test_a_later_token_changes_no_earlier_logit() -> None:
    model = random_model(tiny_config())
    graph = lower_language(model)
    ids = _ids(1, 6)
    other = ids.copy()
    other[:, 4] = (other[:, 4] + 1) % 23
    first, second = interpret(graph, ids), interpret(graph, other)
    assert np.array_equal(first[:, :4], second[:, :4])
    assert not np.array_equal(first[:, 4:], second[:, 4:])


def test_a_flat_model_sees_no_other_token() -> None:
    model = random_model(tiny_config(kind="flat_lm", heads=1))
    ids = _ids(1, 6)
    other = ids.copy()
    other[:, 0] = (other[:, 0] + 1) % 23
    first, second = (interpret(lower_language(model), x) for x in (ids, other))
    assert np.array_equal(first[:, 1:], second[:, 1:])


def test_shorter_sequences_are_a_prefix() -> None:
    model = random_model(tiny_config())
    ids = _ids(1, 6)
    whole = interpret(lower_language(model), ids)[:, :3]
    short = interpret(lower_language(model, 3), ids[:, :3])
    assert np.allclose(whole, short, rtol=1e-12, atol=1e-12)


def test_the_dump_reads_back() -> None:
    graph = lower_language(random_model(tiny_config()))
    assert str(parse(str(graph), constants(graph))) == str(graph)


def test_a_head_count_that_does_not_divide_is_refused() -> None:
    graph = lower_language(random_model(tiny_config(heads=3)))
    assert any("in 3 heads" in str(d) for d in verify(graph))
