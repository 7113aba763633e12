"""The geometric field: N neurons that are points, each with a kernel around it.

d_n = metric(x, p_n)      z_n = score(d_n; T_n, r_n)      w_n = kernel(z_n)      y = sum_n w_n v_n
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.checkpoint import Activation, Kernel, Metric
from crystalc.diagnostics import refuse

LAPLACE_FLOOR = 0.1  # w = exp(-d / (|T| + 0.1)): the kernel never gets sharper than this


@dataclass(frozen=True)
class FieldShape:
    """What a field computes, without its numbers. Raises CompileError if parts clash."""

    dim: int
    outputs: int
    metric: Metric = "l2"
    kernel: Kernel = "radial"
    activation: Activation | None = "gelu"
    normalized: bool = False

    def __post_init__(self) -> None:
        if self.kernel == "radial" and self.activation is None:
            raise refuse("the radial kernel needs an activation", hint="relu or gelu")
        if self.kernel != "radial" and self.activation is not None:
            raise refuse(f"the {self.kernel} kernel takes no activation")
        if self.kernel == "radial" and self.normalized:
            raise refuse("the radial kernel cannot be normalised", hint="use laplace or gauss")


def squared_l2(x: Tensor, p: Tensor) -> Tensor:
    """[B, D], [N, D] -> [B, N]: |x|^2 - 2 x.p + |p|^2, one matrix product; never below 0."""
    norms = (x * x).sum(1, keepdim=True) + (p * p).sum(1)
    return torch.addmm(norms, x, p.t(), alpha=-2.0).clamp_min(0.0)


def distances(x: Tensor, p: Tensor, metric: Metric, exact: bool) -> Tensor:
    """[B, D], [N, D] -> [B, N] distances; ``exact`` takes differences first (no cancellation)."""
    if metric == "l1":
        return torch.cdist(x, p, p=1.0)
    if exact:
        return torch.cdist(x, p, compute_mode="donot_use_mm_for_euclid_dist")
    return squared_l2(x, p).clamp_min(1e-12).sqrt()


class GeometricField(nn.Module):
    """[B, D] -> [B, O]. Parameters: positions [N, D], values [N, O], temperature [N], radius [N].

    ``radius`` is there for the radial kernel only. ``frozen`` [N] marks compile-time constants.
    In training mode l2 takes the expanded form; in eval mode differences are taken first.
    ``noise_energy``: sum of the variances of noise on a training input; as it adds just that to
    every squared l2 distance, training mode takes it off again.
    """

    frozen: Tensor

    def __init__(self, shape: FieldShape, neurons: int) -> None:
        super().__init__()
        self.shape = shape
        self.noise_energy = 0.0
        self.positions = nn.Parameter(torch.zeros(neurons, shape.dim))
        self.values = nn.Parameter(torch.zeros(neurons, shape.outputs))
        self.temperature = nn.Parameter(torch.ones(neurons))
        radius = nn.Parameter(torch.zeros(neurons)) if shape.kernel == "radial" else None
        self.register_parameter("radius", radius)
        self.register_buffer("frozen", torch.zeros(neurons, dtype=torch.bool))

    def __len__(self) -> int:
        return int(self.positions.shape[0])

    def squared_distances(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, N]: square of the metric's distance."""
        if self.shape.metric == "l2" and self.training:
            return (squared_l2(x, self.positions) - self.noise_energy).clamp_min(0.0)
        return distances(x, self.positions, self.shape.metric, exact=True).square()

    def scores(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, N]: what the kernel's univariate function is applied to."""
        if self.shape.kernel == "laplace":
            d = distances(x, self.positions, self.shape.metric, exact=not self.training)
            return -d / (self.temperature.abs() + LAPLACE_FLOOR)
        d2 = self.squared_distances(x)
        if self.shape.kernel == "gauss":
            return -d2 / self.temperature.square()
        return (cast(Tensor, self.radius) - d2) / self.temperature

    def weights(self, scores: Tensor) -> Tensor:
        """[B, N] -> [B, N]: kernel of the scores (softmax over the neurons when normalised)."""
        if self.shape.normalized:
            return torch.softmax(scores, dim=1)
        if self.shape.kernel != "radial":
            return scores.exp()
        if self.shape.activation == "relu":
            return F.relu(scores)
        return F.gelu(scores, approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, O]."""
        return self.weights(self.scores(x)) @ self.values
