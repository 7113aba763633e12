"""Points on a coarse grid: each coordinate of each neuron a multiple of one step.

Hardware with constants for wires adds once for every signed digit of a coordinate, so a coarse
grid is area. The points are rounded in every forward pass, gradients go through as if they were
not, and everything else adapts to where they came to rest.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from crystalc.nn.classifier import CrystalClassifier
from crystalc.training.dataset import Dataset
from crystalc.training.finetune import fine_tune
from crystalc.training.loop import Result
from crystalc.training.recipe import Recipe


class OnGrid(nn.Module):
    """Rounds to multiples of ``step``; the gradient is that of the identity."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x + (torch.floor(x / self.step + 0.5) * self.step - x).detach()


def on_grid(recipe: Recipe, data: Dataset, result: Result) -> Result:
    """``result`` with its model fine-tuned on the recipe's grid; the best epoch on validation.

    The frozen flags stay: they say what the compiler may take for constant.
    """
    model = CrystalClassifier.from_checkpoint(result.model.to_checkpoint())
    parametrize.register_parametrization(model.field, "positions", OnGrid(recipe.grid))
    fine_tune(model, model, recipe, data, torch.Generator().manual_seed(recipe.seed))
    parametrize.remove_parametrizations(model.field, "positions")
    return replace(result, model=model.eval())
