"""Graceful freezing: a neuron that has stopped moving becomes a constant, as the schedule allows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crystalc.training.recipe import Recipe

CALM_EPOCHS = 3  # a neuron must have been calm for so many epochs in a row


def data_radius(data: Tensor) -> float:
    """Root mean square distance of the data [B, D] from their mean: the unit of movement."""
    centred = data - data.mean(dim=0)
    return max(float(centred.square().sum(dim=1).mean().sqrt()), 1e-12)


def calm_epochs(before: Tensor, after: Tensor, calm: Tensor, threshold: float) -> Tensor:
    """[N] epochs in a row that each neuron moved less than ``threshold``, this epoch included."""
    movement = (after - before).norm(dim=1)
    return torch.where(movement < threshold, calm + 1, torch.zeros_like(calm))


def allowance(recipe: Recipe, epoch: int) -> int:
    """How many neurons may be frozen at the start of ``epoch``: a ramp up to ``recipe.frozen``."""
    start, end = recipe.freeze_start * recipe.epochs, recipe.freeze_end * recipe.epochs
    progress = (epoch - start) / max(end - start, 1e-9) if epoch < end else 1.0
    return math.floor(recipe.frozen * recipe.neurons * min(1.0, max(0.0, progress)))


def neurons_to_freeze(movement: Tensor, calm: Tensor, room: int) -> Tensor:
    """Mask [N] of at most ``room`` calm neurons, the calmest first."""
    mask = torch.zeros(len(calm), dtype=torch.bool)
    ready = torch.nonzero(calm >= CALM_EPOCHS).flatten()
    mask[ready[movement[ready].argsort()[: max(room, 0)]]] = True
    return mask
