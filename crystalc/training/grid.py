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
from crystalc.training import optimizer
from crystalc.training.dataset import Dataset
from crystalc.training.epoch import evaluate, run_epoch
from crystalc.training.loop import Result
from crystalc.training.recipe import Recipe

EPOCHS = 60
SLOWER = 0.25
"""Learning rate of the fine-tuning, as a share of the recipe's."""


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
    field = model.field
    field.noise_energy = recipe.noise**2 * field.shape.dim  # type: ignore[assignment, operator]
    parametrize.register_parametrization(field, "positions", OnGrid(recipe.grid))
    tuned = replace(recipe, epochs=EPOCHS, lr=recipe.lr * SLOWER, schedule="cosine")
    adam = optimizer.adam(model)
    generator = torch.Generator().manual_seed(recipe.seed)
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    validation = torch.from_numpy(data.validation.x), torch.from_numpy(data.validation.y)
    best, kept = (-1.0, 0.0), model.state_dict()
    for epoch in range(EPOCHS):
        model.train()
        run_epoch(lambda xb, _: model(xb), adam, tuned, epoch, x, y, generator)
        accuracy, loss = evaluate(model.eval(), *validation)
        if (accuracy, -loss) > best:
            best = accuracy, -loss
            kept = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(kept)
    parametrize.remove_parametrizations(field, "positions")
    return replace(result, model=model.eval())
