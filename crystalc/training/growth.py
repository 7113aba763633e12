"""Birth of neurons: where the first ones stand, and where the error asks for more."""

from __future__ import annotations

import torch
from torch import Tensor

from crystalc.nn.field import LAPLACE_FLOOR, FieldShape, distances
from crystalc.training.centred import Rows
from crystalc.training.recipe import Recipe

SAMPLE = 2048  # data points that a kernel's scale is measured on
WIDTH = {"laplace": 0.25, "gauss": 0.25}  # kernel width as a share of the median distance
WIDTH_NORMALIZED = {"laplace": 0.1, "gauss": 0.05}  # a softmax wants sharper neurons


def kernel_scale(shape: FieldShape, positions: Tensor, data: Tensor) -> Rows:
    """Temperature [N] (and radius [N]) that fit the distances from ``positions`` to ``data``.

    radial: r = median d^2, T = std d^2. gauss: T^2 = share of the median d^2. laplace: |T| + 0.1
    = share of the median d.
    """
    d = distances(data[:SAMPLE], positions, shape.metric, exact=True)
    median = d.median(dim=0).values
    if shape.kernel == "radial":
        spread = d.square().std(dim=0, correction=0).clamp_min(1e-3)
        return {"temperature": spread, "radius": median.square()}
    width = (WIDTH_NORMALIZED if shape.normalized else WIDTH)[shape.kernel]
    if shape.kernel == "gauss":
        return {"temperature": (width * median.square()).sqrt().clamp_min(1e-2)}
    return {"temperature": (width * median - LAPLACE_FLOOR).clamp_min(1e-3)}


def _rows(shape: FieldShape, positions: Tensor, values: Tensor, data: Tensor) -> Rows:
    return {"positions": positions, "values": values, **kernel_scale(shape, positions, data)}


def first_neurons(
    shape: FieldShape, recipe: Recipe, data: Tensor, generator: torch.Generator
) -> Rows:
    """Neurons at birth: positions at distinct data points [B, D], values small and random."""
    count = recipe.neurons_at_birth
    chosen = torch.randint(len(data), (count,), generator=generator)
    if count <= len(data):
        chosen = torch.randperm(len(data), generator=generator)[:count]
    values = torch.randn(count, shape.outputs, generator=generator) * 0.1
    return _rows(shape, data[chosen].clone(), values, data)


def new_neurons(
    shape: FieldShape,
    count: int,
    data: Tensor,
    error: Tensor,
    generator: torch.Generator,
) -> Rows:
    """``count`` neurons on data points [B, D] drawn in proportion to their ``error`` [B] >= 0.

    Values are 0: the function that the network computes does not change by the birth (for a
    normalised field, whose weights share out one unit, only nearly so).
    """
    weights = error.double() + 1e-9
    chosen = torch.multinomial(weights, min(count, len(data)), generator=generator)
    positions = data[chosen].clone()
    return _rows(shape, positions, torch.zeros(len(chosen), shape.outputs), data)


def neurons_due(recipe: Recipe, epoch: int) -> int:
    """How many neurons should exist at the start of this epoch: a straight line to the last."""
    share = min(1.0, epoch / max(1, recipe.grown))
    return recipe.neurons_at_birth + int(share * (recipe.neurons - recipe.neurons_at_birth))
