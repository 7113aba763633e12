"""Adam whose moments follow the neurons when they freeze or are born, and the learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from crystalc.training.recipe import Recipe

Moments = dict[str, dict[str, Tensor]]  # parameter name -> {"step", "exp_avg", "exp_avg_sq"}
WARM_UP = 0.1  # share of the steps that one-cycle rises for
BETAS = (0.9, 0.99)  # .999 remembers too long how small a newborn's gradient was


def rate(recipe: Recipe, progress: float) -> float:
    """Learning rate at ``progress`` (0..1) of the run: cosine to 0, after a rise for one-cycle."""
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))
    if progress < WARM_UP:
        return recipe.lr * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / WARM_UP)))
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that take a gradient, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def adam(
    model: nn.Module, moments: Mapping[str, Mapping[str, Tensor]] | None = None
) -> torch.optim.Adam:
    """Adam over the trainable parameters of ``model``, going on from ``moments`` if given."""
    parameters = trainable(model)
    optimizer = torch.optim.Adam(list(parameters.values()), lr=0.0, betas=BETAS, fused=True)
    for name, parameter in parameters.items():
        if moments and name in moments:
            optimizer.state[parameter] = {k: t.clone() for k, t in moments[name].items()}
    return optimizer


def moments_of(optimizer: torch.optim.Adam, model: nn.Module) -> Moments:
    """Adam's state by parameter name (copies); parameters that never stepped are left out."""
    states = {name: optimizer.state.get(p) for name, p in trainable(model).items()}
    return {n: {k: t.clone() for k, t in s.items()} for n, s in states.items() if s}


def keep_rows(moments: Moments, prefix: str, kept: Tensor) -> Moments:
    """Moments of the rows ``kept`` for the parameters under ``prefix``, others as they are."""
    return {
        name: {k: t[kept] if t.dim() else t for k, t in state.items()}
        if name.startswith(prefix)
        else state
        for name, state in moments.items()
    }


def add_rows(moments: Moments, prefix: str, count: int) -> Moments:
    """Moments with ``count`` new rows for the parameters under ``prefix``.

    First moments are 0. Second moments are the mean of the others: were they 0 too, the first
    steps of a neuron whose gradient grows from nothing would be many times the learning rate.
    """

    def grown(key: str, t: Tensor) -> Tensor:
        if t.dim() == 0:
            return t
        new = t.new_zeros(count, *t.shape[1:])
        if key == "exp_avg_sq" and len(t):
            new += t.mean(dim=0)
        return torch.cat([t, new])

    return {
        name: {k: grown(k, t) for k, t in state.items()} if name.startswith(prefix) else state
        for name, state in moments.items()
    }
