"""Checkpoint -> float graph: the model written out in the IR, nothing optimised yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import refuse
from crystalc.frontend.lower_field import F32, FieldLowering
from crystalc.ir import Builder, Graph, Loc, Op, TensorType


def lower(checkpoint: Checkpoint) -> Graph:
    """The float graph of a classifier checkpoint. Raises CompileError for any other kind."""
    kind = checkpoint.config.kind
    if kind != "classifier":
        raise refuse(
            f"a model of kind '{kind}' without its config can be inspected but not compiled",
            "config.kind",
            hint="docs/checkpoints.md says what a config holds: heads, activation, tokens",
        )
    return _Lowering(checkpoint).run()


class _Lowering:
    """Builds the graph node by node; every method returns the id of the value it made."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config = checkpoint.config
        self.tensors = checkpoint.tensors
        self.build = Builder(checkpoint.source)

    def run(self) -> Graph:
        c, b = self.config, self.build
        x = b.op(Op.INPUT, (), TensorType((c.inputs,), F32), Loc("input"))
        if c.projection:
            x = self.affine(x, "projection.weight", "projection.bias", c.dim)
        y = FieldLowering(b, c, self.tensors).run(x)
        if c.head:
            y = self.affine(y, "head.weight", "head.bias", c.outputs)
        elif "bias" in self.tensors:
            bias = self.const(self.tensors["bias"], "bias", "bias")
            y = self.op(Op.ADD, (y, bias), c.outputs, "bias")
        b.op(Op.OUTPUT, (y,), TensorType((c.outputs,), F32), Loc("output"))
        return b.graph()

    def op(self, op: Op, inputs: tuple[int, ...], size: int, key: str, **attrs: bool) -> int:
        return self.build.op(op, inputs, TensorType((size,), F32), Loc(key), **attrs)

    def const(self, value: NDArray[np.generic], key: str, role: str) -> int:
        return self.build.const(value, F32, Loc(key), role=role)

    def affine(self, x: int, weight: str, bias: str, size: int) -> int:
        w = self.const(self.tensors[weight], weight, "weight")
        y = self.op(Op.MATMUL, (x, w), size, weight, transposed=True)
        return self.op(Op.ADD, (y, self.const(self.tensors[bias], bias, "bias")), size, bias)
