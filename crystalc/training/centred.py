"""A radial field written about the centre of the data, which trains better than it stands.

    r - |x - p|^2  =  o - |z|^2 + 2 q.z      z = x - centre, q = p - centre, o = r - |q|^2

With the offset o in the radius's place a step of a position does not shift the whole neuron by
2 p.dp, and the inputs that its gradient sees have mean 0. The function is the same.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from crystalc.nn.field import FieldShape, GeometricField

Rows = dict[str, Tensor]  # per-neuron tensors of a field, by name


class CentredField(GeometricField):
    """[B, D] -> [B, O]. ``radius`` [N] holds the offsets; ``positions`` are those of the field."""

    def __init__(self, shape: FieldShape, neurons: int, centre: Tensor) -> None:
        super().__init__(shape, neurons)
        self.centre = centre

    def scores(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, N]."""
        z, q = x - self.centre, self.positions - self.centre
        offset = cast(Tensor, self.radius) + self.noise_energy * self.training
        energy = (z * z).sum(dim=1, keepdim=True)
        return (torch.addmm(offset, z, q.t(), alpha=2.0) - energy) / self.temperature


def can_centre(shape: FieldShape) -> bool:
    """True for the fields that a CentredField can stand for."""
    return shape.kernel == "radial" and shape.metric == "l2"


def to_offset(rows: Rows, centre: Tensor) -> Rows:
    """Rows with radii to rows with offsets."""
    return {**rows, "radius": rows["radius"] - (rows["positions"] - centre).square().sum(dim=1)}


def to_radius(rows: Rows, centre: Tensor) -> Rows:
    """Rows with offsets to rows with radii."""
    return {**rows, "radius": rows["radius"] + (rows["positions"] - centre).square().sum(dim=1)}
