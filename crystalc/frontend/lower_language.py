"""Language model -> float graph over a whole sequence: token ids [T] in, logits [T, V] out."""

from __future__ import annotations

import numpy as np

from crystalc.frontend.lower_field import F32, FieldLowering
from crystalc.ir import Builder, Graph, Loc, Op, TensorType
from crystalc.language import LanguageModel


def lower_language(model: LanguageModel, length: int | None = None) -> Graph:
    """The float graph for sequences of ``length`` tokens (default: the whole context)."""
    return _Lowering(model, length or model.config.context).run()


class _Lowering:
    """Builds the graph node by node; every method returns the id of the value it made."""

    def __init__(self, model: LanguageModel, length: int) -> None:
        self.config, self.tensors, self.length = model.config, model.tensors, length
        self.build = Builder(model.source)

    def run(self) -> Graph:
        c, b = self.config, self.build
        tokens = b.op(Op.INPUT, (), TensorType((self.length,), F32), Loc("input"))
        x = self.op(Op.EMBED, (tokens, self.const("tokens.weight")), c.dim, "tokens.weight")
        places = self.tensors["positions.weight"][: self.length]
        at = b.const(places, F32, Loc("positions.weight"), role="weight")
        x = self.op(Op.ADD, (x, at), c.dim, "positions.weight")
        for block in range(c.blocks):
            x = self.block(x, f"blocks.{block}.")
        logits = self.linear(self.norm(x, "norm"), "head")
        b.op(Op.OUTPUT, (logits,), b.nodes[logits].type, Loc("output"))
        return b.graph()

    def op(self, op: Op, inputs: tuple[int, ...], size: int, key: str, **attrs: int | bool) -> int:
        return self.build.op(op, inputs, TensorType((self.length, size), F32), Loc(key), **attrs)

    def const(self, key: str, role: str = "weight") -> int:
        return self.build.const(self.tensors[key], F32, Loc(key), role=role)

    def add(self, x: int, y: int, key: str) -> int:
        return self.op(Op.ADD, (x, y), self.config.dim, key)

    def block(self, x: int, block: str) -> int:
        """Attention, field and feed-forward, each added to the stream that it reads."""
        if self.config.kind == "causal_lm":
            x = self.add(x, self.attention(self.norm(x, block + "norm1"), block), block + "norm1")
        x = self.add(x, self.field(self.norm(x, block + "norm2"), block), block + "norm2")
        if not self.config.ffn:
            return x
        return self.add(x, self.ffn(self.norm(x, block + "norm3"), block), block + "norm3")

    def norm(self, x: int, key: str) -> int:
        epsilon = self.build.const(np.array([self.config.epsilon]), F32, Loc(key))
        parts = self.const(key + ".weight"), self.const(key + ".bias", "bias")
        return self.op(Op.NORM, (x, *parts, epsilon), self.config.dim, key)

    def linear(self, x: int, key: str) -> int:
        """x @ weight.T, plus the bias where there is one."""
        weight = self.const(key + ".weight")
        size = self.build.nodes[weight].type.shape[0]
        y = self.op(Op.MATMUL, (x, weight), size, key + ".weight", transposed=True)
        return self.biased(y, size, key + ".bias")

    def biased(self, y: int, size: int, key: str) -> int:
        if key not in self.tensors:
            return y
        return self.op(Op.ADD, (y, self.const(key, "bias")), size, key)

    def attention(self, x: int, block: str) -> int:
        parts = (self.linear(x, f"{block}attention.{p}") for p in ("query", "key", "value"))
        heads, dim = self.config.heads, self.config.dim
        mixed = self.op(Op.ATTENTION, tuple(parts), dim, block + "attention", heads=heads)
        return self.linear(mixed, block + "attention.output")

    def field(self, x: int, block: str) -> int:
        prefix = block + "field."
        made = FieldLowering(self.build, self.config, self.tensors, prefix, (self.length,))
        return self.biased(made.run(x), self.config.dim, prefix + "bias")

    def ffn(self, x: int, block: str) -> int:
        up = self.linear(x, block + "ffn.up")
        hidden = self.op(Op.GELU, (up,), self.config.ffn, block + "ffn.up")
        return self.linear(hidden, block + "ffn.down")
