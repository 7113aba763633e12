"""Checkpoint -> float graph: the model written out in the IR, nothing optimised yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import refuse
from crystalc.ir import Builder, FloatType, Graph, Loc, Op, TensorType

F32 = FloatType(32)

LAPLACE_FLOOR = 0.1
"""Added to |T| of the laplace kernel, as the original project trains it."""


def lower(checkpoint: Checkpoint) -> Graph:
    """The float graph of a classifier checkpoint. Raises CompileError for any other kind."""
    kind = checkpoint.config.kind
    if kind != "classifier":
        raise refuse(
            f"a model of kind '{kind}' can be inspected but not compiled yet",
            "config.kind",
            hint="compile a model of kind 'classifier'",
        )
    return _Lowering(checkpoint).run()


class _Lowering:
    """Builds the graph node by node; every method returns the id of the value it made."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config = checkpoint.config
        self.tensors = checkpoint.tensors
        self.active = ~checkpoint.frozen
        self.build = Builder(checkpoint.source)

    def run(self) -> Graph:
        c, b = self.config, self.build
        x = b.op(Op.INPUT, (), TensorType((c.inputs,), F32), Loc("input"))
        if c.projection:
            x = self.affine(x, "projection.weight", "projection.bias", c.dim)
        w = self.weights(self.distance(x))
        values = self.per_neuron("values")
        y = self.op(Op.MATMUL, (w, values), b.nodes[values].type.shape[1], "field.values")
        if c.head:
            y = self.affine(y, "head.weight", "head.bias", c.outputs)
        elif "bias" in self.tensors:
            bias = self.const(self.tensors["bias"], "bias", "bias")
            y = self.op(Op.ADD, (y, bias), c.outputs, "bias")
        b.op(Op.OUTPUT, (y,), TensorType((c.outputs,), F32), Loc("output"))
        return b.graph()

    def op(self, op: Op, inputs: tuple[int, ...], size: int, key: str, **attrs: str | bool) -> int:
        return self.build.op(op, inputs, TensorType((size,), F32), Loc(key), **attrs)

    def const(
        self,
        value: NDArray[np.generic],
        key: str,
        role: str,
        active: NDArray[np.bool_] | None = None,
    ) -> int:
        return self.build.const(value, F32, Loc(key), active, role=role)

    def per_neuron(self, role: str, value: NDArray[np.generic] | None = None) -> int:
        key = f"field.{role}"
        return self.const(self.tensors[key] if value is None else value, key, role, self.active)

    def affine(self, x: int, weight: str, bias: str, size: int) -> int:
        w = self.const(self.tensors[weight], weight, "weight")
        y = self.op(Op.MATMUL, (x, w), size, weight, transposed=True)
        return self.op(Op.ADD, (y, self.const(self.tensors[bias], bias, "bias")), size, bias)

    def distance(self, x: int) -> int:
        """The metric's distance (l1), or its square (l2)."""
        points = self.per_neuron("positions")
        n = self.config.neurons
        return self.op(Op.DISTANCE, (x, points), n, "field.positions", metric=self.config.metric)

    def weights(self, d: int) -> int:
        """Kernel weights [N] from ``distance``."""
        kernel, n = self.config.kernel, self.config.neurons
        squared = self.config.metric == "l2"
        if kernel == "laplace" and squared:
            d = self.op(Op.SQRT, (d,), n, "field.positions")
        if kernel != "laplace" and not squared:
            d = self.op(Op.MUL, (d, d), n, "field.positions")
        return self.radial(d) if kernel == "radial" else self.exponential(d)

    def radial(self, d: int) -> int:
        n, act = self.config.neurons, self.config.activation
        inside = self.op(Op.SUB, (self.per_neuron("radius"), d), n, "field.radius")
        z = self.op(Op.DIV, (inside, self.per_neuron("temperature")), n, "field.temperature")
        return self.op(Op.RELU if act == "relu" else Op.GELU, (z,), n, "field.temperature")

    def exponential(self, d: int) -> int:
        n, t = self.config.neurons, self.tensors["field.temperature"].astype(np.float64)
        scale = np.abs(t) + LAPLACE_FLOOR if self.config.kernel == "laplace" else t * t
        zero = self.const(np.zeros(1), "field.temperature", "other")
        minus = self.op(Op.SUB, (zero, d), n, "field.temperature")
        tau = self.per_neuron("temperature", scale)
        z = self.op(Op.DIV, (minus, tau), n, "field.temperature")
        last = Op.SOFTMAX if self.config.normalized else Op.EXP
        return self.op(last, (z,), n, "field.temperature")
