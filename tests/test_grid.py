"""Points on a grid: they are multiples of the step, and the model still knows its digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystalc.diagnostics import CompileError
from crystalc.training.dataset import Dataset, Part
from crystalc.training.grid import OnGrid, on_grid
from crystalc.training.loop import fit
from crystalc.training.recipe import Recipe
from crystalc.training.report import accuracy


def blobs() -> Dataset:
    """Three clouds in four dimensions."""
    rng = np.random.default_rng(0)
    y = np.arange(180) % 3
    centres = np.array([[0, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]])
    x = (centres[y] + 0.15 * rng.standard_normal((180, 4))).astype(np.float32)
    part = [Part(x[a:b], y[a:b].astype(np.int64)) for a, b in ((0, 100), (100, 140), (140, 180))]
    return Dataset("blobs", 3, *part, sha256="")


def test_points_are_multiples_and_accuracy_stays() -> None:
    recipe = Recipe(neurons=6, epochs=25, batch=16, activation="relu", grid=0.25)
    data = blobs()
    before = fit(recipe, data)
    after = on_grid(recipe, data, before)
    steps = after.model.to_checkpoint().tensors["field.positions"] / recipe.grid
    assert np.array_equal(steps, np.round(steps))
    assert not np.array_equal(steps, before.model.to_checkpoint().tensors["field.positions"] / 0.25)
    assert accuracy(after, data.test) >= accuracy(before, data.test) - 0.05
    assert np.array_equal(after.model.to_checkpoint().frozen, before.model.to_checkpoint().frozen)


def test_gradients_pass_the_rounding() -> None:
    x = torch.tensor([0.3, -1.1], requires_grad=True)
    y = OnGrid(0.5)(x)
    y.sum().backward()
    assert y.tolist() == [0.5, -1.0]
    assert x.grad is not None and x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("step", [-0.25, 0.3, float("nan"), 2048.0])
def test_a_step_that_no_binary_number_is_made_of_is_refused(step: float) -> None:
    with pytest.raises(CompileError, match="grid"):
        Recipe(grid=step)
