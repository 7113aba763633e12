"""A geometric field -> nodes of a float graph, for classifiers and language models alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Config
from crystalc.ir import Builder, FloatType, Loc, Op, TensorType
from crystalc.language import LanguageConfig

F32 = FloatType(32)

LAPLACE_FLOOR = 0.1
"""Added to |T| of the laplace kernel, as the original project trains it."""


@dataclass(frozen=True)
class FieldLowering:
    """Adds one field to ``build``. ``prefix`` begins its keys in ``tensors`` ("field.");
    ``rows`` are the axes before the last of everything it computes: () or (T,).
    """

    build: Builder
    config: Config | LanguageConfig
    tensors: Mapping[str, NDArray[Any]]
    prefix: str = "field."
    rows: tuple[int, ...] = ()

    def run(self, x: int) -> int:
        """Id of y [..., O] = kernel weights of ``x`` [..., D] times values, before any bias."""
        weights = self.weights(self.distance(x))
        values = self.parameter("values")
        width = self.build.nodes[values].type.shape[1]
        return self.op(Op.MATMUL, (weights, values), width, "values")

    @property
    def neurons(self) -> int:
        """How many."""
        return len(self.tensors[f"{self.prefix}temperature"])

    def op(self, op: Op, inputs: tuple[int, ...], size: int, part: str, **attrs: str) -> int:
        type_ = TensorType((*self.rows, size), F32)
        return self.build.op(op, inputs, type_, Loc(self.prefix + part), **attrs)

    def parameter(self, part: str, value: NDArray[Any] | None = None) -> int:
        """Constant with a row for each neuron."""
        key = self.prefix + part
        active = ~self.tensors[f"{self.prefix}frozen"].astype(np.bool_)
        given = self.tensors[key] if value is None else value
        return self.build.const(given, F32, Loc(key), active, role=part)

    def distance(self, x: int) -> int:
        """The metric's distance (l1), or its square (l2)."""
        metric = self.config.metric
        points = self.parameter("positions")
        return self.op(Op.DISTANCE, (x, points), self.neurons, "positions", metric=metric)

    def weights(self, d: int) -> int:
        """Kernel weights [N] from ``distance``."""
        kernel, n = self.config.kernel, self.neurons
        squared = self.config.metric == "l2"
        if kernel == "laplace" and squared:
            d = self.op(Op.SQRT, (d,), n, "positions")
        if kernel != "laplace" and not squared:
            d = self.op(Op.MUL, (d, d), n, "positions")
        return self.radial(d) if kernel == "radial" else self.exponential(d)

    def radial(self, d: int) -> int:
        """act((radius - d^2) / T)."""
        n, relu = self.neurons, self.config.activation == "relu"
        inside = self.op(Op.SUB, (self.parameter("radius"), d), n, "radius")
        z = self.op(Op.DIV, (inside, self.parameter("temperature")), n, "temperature")
        return self.op(Op.RELU if relu else Op.GELU, (z,), n, "temperature")

    def exponential(self, d: int) -> int:
        """exp(-d / T), or its softmax over the neurons."""
        n, t = self.neurons, self.tensors[f"{self.prefix}temperature"].astype(np.float64)
        scale = np.abs(t) + LAPLACE_FLOOR if self.config.kernel == "laplace" else t * t
        zero = self.build.const(np.zeros(1), F32, Loc(f"{self.prefix}temperature"))
        minus = self.op(Op.SUB, (zero, d), n, "temperature")
        tau = self.parameter("temperature", scale)
        z = self.op(Op.DIV, (minus, tau), n, "temperature")
        last = Op.SOFTMAX if self.config.normalized else Op.EXP
        return self.op(last, (z,), n, "temperature")
