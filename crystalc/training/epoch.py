"""One pass over the training data, and accuracy: shared by crystals and by what they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from crystalc.diagnostics import refuse
from crystalc.training.optimizer import rate
from crystalc.training.recipe import Recipe

Predict = Callable[[Tensor, Tensor | None], Tensor]  # (x [B, I], cache rows or None) -> logits


def batches(
    x: Tensor, y: Tensor, cache: Tensor | None, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Every sample once, in a new order; the last batch may be smaller."""
    order = torch.randperm(len(x), generator=generator)
    for part in torch.split(order, size):
        yield x[part], y[part], None if cache is None else cache[part]


def run_epoch(
    predict: Predict,
    adam: torch.optim.Optimizer,
    recipe: Recipe,
    epoch: int,
    x: Tensor,
    y: Tensor,
    generator: torch.Generator,
    cache: Tensor | None = None,
) -> float:
    """Train for one epoch; returns the mean loss. Raises CompileError when it is not finite."""
    steps, total = -(-len(x) // recipe.batch), 0.0
    for i, (xb, yb, cb) in enumerate(batches(x, y, cache, recipe.batch, generator)):
        for group in adam.param_groups:
            group["lr"] = rate(recipe, (epoch + i / steps) / recipe.epochs)
        if recipe.noise:
            xb = xb + recipe.noise * torch.randn(xb.shape, generator=generator)
        loss = F.cross_entropy(predict(xb, cb), yb)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        total += float(loss.detach()) * len(yb)
    if not total < float("inf"):
        raise refuse(f"training diverged in epoch {epoch + 1}", hint="a smaller --lr")
    return total / len(x)


@torch.no_grad()
def evaluate(forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> tuple[float, float]:
    """(accuracy in 0..1, mean cross-entropy) over samples [n, I] of classes [n]."""
    logits = torch.cat([forward(part) for part in torch.split(x, 2048)])
    right = (logits.argmax(dim=1) == y).float().mean()
    return float(right), float(F.cross_entropy(logits, y))
