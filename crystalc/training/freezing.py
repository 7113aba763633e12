"""Graceful freezing: a neuron that has stopped moving becomes a constant, on a schedule."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crystalc.training.recipe import Recipe


def data_radius(data: Tensor) -> float:
    """Root mean square distance of the data [B, D] from their mean: the unit of movement."""
    centred = data - data.mean(dim=0)
    return max(float(centred.square().sum(dim=1).mean().sqrt()), 1e-12)


def allowance(recipe: Recipe, epoch: int, neurons: int) -> int:
    """How many of ``neurons`` may be frozen as ``epoch`` starts: a ramp up to ``recipe.frozen``."""
    start, end = recipe.freezing
    progress = 1.0 if epoch >= end else max(0.0, (epoch - start + 1) / (end - start + 1))
    return math.floor(recipe.frozen * neurons * progress)


def neurons_to_freeze(movement: Tensor, ready: Tensor, room: int) -> Tensor:
    """Mask [N] of at most ``room`` of the ``ready`` neurons, those that moved least first."""
    mask = torch.zeros(len(ready), dtype=torch.bool)
    candidates = torch.nonzero(ready).flatten()
    mask[candidates[movement[candidates].argsort(stable=True)[: max(room, 0)]]] = True
    return mask
