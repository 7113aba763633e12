"""Rounding that carries errors on: what it costs by its own measure, and in a model's logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from crystalc.container import read, write
from crystalc.container.convert import feel
from crystalc.container.feedback import REACH, Moments, settle
from crystalc.container.quality import measure
from crystalc.diagnostics import CompileError
from crystalc.language import LanguageModel
from crystalc.nn.generate import windows
from crystalc.nn.language import LanguageNet
from crystalc.nn.sensitivity import moments
from tests.language_models import KERNELS, random_model, tiny_config, torch_logits

RNG = np.random.default_rng(1)
STEPS = np.full((30, 20), 0.1)
WANTED = RNG.normal(size=STEPS.shape)


def moment(size: int, seed: int) -> Any:
    """Of numbers that a few causes have in common."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 4)) @ rng.normal(size=(4, size)) + 0.3 * rng.normal(size=(200, size))
    return x.T @ x


def cost(levels: Any, m: Moments) -> float:
    error = levels * STEPS - WANTED
    rows = np.eye(len(error)) if m.rows is None else m.rows
    return float(np.trace(rows @ error @ m.columns @ error.T))


@pytest.mark.parametrize("rows", [None, moment(30, 3)], ids=["columns", "both"])
def test_errors_go_where_they_are_felt_least(rows: Any) -> None:
    m = Moments(moment(20, 2), rows)
    levels = settle(WANTED, STEPS, -127, 127, m)
    assert cost(levels, m) < 0.5 * cost(np.rint(WANTED / STEPS), m)
    assert np.abs(levels - WANTED / STEPS).max() <= REACH + 0.5


def test_both_sides_count() -> None:
    one, both = Moments(moment(20, 2)), Moments(moment(20, 2), moment(30, 3))
    found = [cost(settle(WANTED, STEPS, -127, 127, m), both) for m in (one, both)]
    assert found[1] < 0.6 * found[0]


@pytest.mark.parametrize("nothing", [np.eye(20), np.zeros((20, 20)), np.full((20, 20), np.inf)])
def test_without_correlation_it_is_rounding_to_nearest(nothing: Any) -> None:
    levels = settle(WANTED, STEPS, -5, 5, Moments(nothing))
    assert np.array_equal(levels, np.clip(np.rint(WANTED / STEPS), -5, 5))


def test_levels_stay_in_their_range_and_rows_of_zeros_are_zero() -> None:
    steps, wanted = STEPS.copy(), WANTED.copy()
    steps[3], wanted[3] = 0, 0
    levels = settle(wanted, steps, 0, 4, Moments(moment(20, 4), moment(30, 5)))
    assert levels.min() == 0 and levels.max() == 4 and not levels[3].any()


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_a_model_feels_less_of_it(kernel: dict[str, Any]) -> None:
    config = tiny_config(dim=32, heads=4, neurons=(40, 24), ffn=24, context=16, **kernel)
    made = random_model(config, 4)
    net = LanguageNet.from_model(made)
    felt = moments(made, windows(net, 60, seed=1).numpy())
    ids = windows(net, 20, seed=2).numpy().ravel()
    for mode in ("int8", "q8", "q8q4"):
        files = [read(write(made, mode, moments=m))[0] for m in ({}, felt)]
        plain, carried = (measure(torch_logits, made, f, ids, len(ids)).kl for f in files)
        assert carried < 0.8 * plain


def test_moments_of_the_head_are_those_of_chances() -> None:
    """Its inputs are the last norm's outputs; the gradient of a drawn label has covariance
    diag(p) - p p^T."""
    made = random_model(tiny_config(context=16), 5)
    ids = windows(LanguageNet.from_model(made), 1000, seed=3)
    found = moments(made, ids.numpy())["head.weight"]
    p = torch.softmax(torch.tensor(torch_logits(made, ids.numpy())).flatten(0, 1), 1).numpy()
    assert found.rows is not None
    fisher = (np.diag(p.sum(0)) - p.T @ p) / len(p)
    assert np.abs(found.rows - fisher).max() < 0.08 * np.abs(fisher).max()
    net = LanguageNet.from_model(made)
    seen: list[Any] = []
    net.norm.register_forward_hook(lambda _, __, out: seen.append(out.detach().double()))
    net(ids)
    h = seen[0].flatten(0, 1).numpy()
    assert np.allclose(found.columns, h.T @ h / len(h), rtol=1e-3, atol=1e-2 * np.abs(h).max())


def test_a_model_without_finite_logits_is_refused() -> None:
    made = random_model(tiny_config(), 6)
    broken = LanguageModel(
        made.config, {**made.tensors, "head.weight": made.tensors["head.weight"] * np.inf}
    )
    with pytest.raises(CompileError, match="logits are not finite"):
        feel(broken)
