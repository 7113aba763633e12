"""A few more epochs under a constraint: the best epoch on validation is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from crystalc.nn.classifier import CrystalClassifier
from crystalc.training import optimizer
from crystalc.training.dataset import Dataset
from crystalc.training.epoch import evaluate, run_epoch
from crystalc.training.recipe import Recipe

EPOCHS = 60
SLOWER = 0.25
"""Learning rate of the fine-tuning, as a share of the recipe's."""

Forward = Callable[[Tensor], Tensor]


def fine_tune(
    model: CrystalClassifier,
    forward: Forward,
    recipe: Recipe,
    data: Dataset,
    generator: torch.Generator,
    judge: Callable[[Tensor, Tensor], tuple[float, float]] | None = None,
    after: Callable[[], None] = lambda: None,
    rate: float = SLOWER,
    epochs: int = EPOCHS,
) -> None:
    """Train ``model`` through ``forward`` ([B, I] to logits); ``rate`` times the recipe's.

    ``judge`` gives accuracy and loss on validation samples, by default those of the model in eval
    mode; ``after`` is called after every step.
    """
    model.field.noise_energy = recipe.noise**2 * model.config().dim  # type: ignore[assignment]
    tuned = replace(recipe, epochs=epochs, lr=recipe.lr * rate, schedule="cosine")
    adam = optimizer.adam(model)
    adam.register_step_post_hook(lambda *_: after())
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    validation = torch.from_numpy(data.validation.x), torch.from_numpy(data.validation.y)
    best, kept = (-1.0, 0.0), model.state_dict()
    for epoch in range(epochs):
        model.train()
        run_epoch(lambda xb, _: forward(xb), adam, tuned, epoch, x, y, generator)
        model.eval()
        accuracy, loss = judge(*validation) if judge else evaluate(model, *validation)
        if (accuracy, -loss) > best:
            best = accuracy, -loss
            kept = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(kept)
    model.eval()
