"""quantize: float graph -> fixed graph. Only this and ``quantize_weights`` change values.

Activations have one power-of-two scale each (their FixedType), weights one real scale per output,
which a REQUANT multiplier carries. A kernel is a function of one number, the integer distance, so
it becomes one table per neuron; a clamp is enough for radial with relu. ``docs/ir.md`` tells the
whole contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.interpret import values
from crystalc.ir import FixedType, Graph, Node, Op, TensorType, without_dead_nodes
from crystalc.passes import quantize_field
from crystalc.passes.calibrate import (
    best_type,
    multipliers,
    round_half_up,
    row_scale,
    shifts,
    to_fixed,
    without_spare_bits,
)
from crystalc.passes.rows import Field, fields
from crystalc.passes.sized import SizedBuilder
from crystalc.ranges import smallest_type

Array = NDArray[Any]

LOGIT_BITS = 16


@dataclass(frozen=True)
class Quantize:
    """``width``: bits of inputs, activations and weights, 4..16.

    ``samples`` [n, inputs]: real inputs from which every range is taken. ``power_of_two``: every
    REQUANT multiplier is one (with a sign), so that hardware needs a shift and no multiplier, and
    the input has no bit that the samples leave 0.
    """

    width: int
    samples: Array
    power_of_two: bool = False
    name: ClassVar[str] = "quantize"

    def run(self, graph: Graph) -> Graph:
        if not 4 <= self.width <= 16:
            raise refuse(f"--width {self.width} is outside 4..16")
        return without_dead_nodes(_Quantizer(graph, self).run())


class _Quantizer:
    """Walks the float graph once; ``real`` holds its values on the samples."""

    def __init__(self, graph: Graph, options: Quantize) -> None:
        self.graph, self.width = graph, options.width
        self.power_of_two = options.power_of_two
        self.real = values(graph, options.samples)
        self.build = SizedBuilder(graph.source)
        self.ids: dict[int, int] = {}
        self.fields = {f.joins[0]: f for f in fields(graph)}
        self.inside = {i for f in self.fields.values() for i in (*f.chain, *f.joins)}

    def run(self) -> Graph:
        for i, node in self.graph:
            if node.op is Op.INPUT:
                self.ids[i] = self.input(i, node)
            elif i in self.fields:
                self.ids[self.last(i)] = self.field(self.fields[i])
            elif node.op is Op.MATMUL and i not in self.inside:
                self.ids[self.last(i)] = self.affine(i, node)
            elif node.op in (Op.OUTPUT, Op.ARGMAX):
                self.ids[i] = self.tail(node)
            elif node.op is not Op.CONST and i not in self.ids and not self.absorbed(i):
                raise refuse(
                    f"a '{node.op.value}' here has no fixed form",
                    node.loc.key,
                    hint="compile with --arithmetic float",
                )
        return self.build.graph()

    def absorbed(self, i: int) -> bool:
        """Part of a field, or the bias of a matrix product before it."""
        return i in self.inside or any(self.last(j) == i for j in self.graph[i].inputs)

    def last(self, i: int) -> int:
        """``i``, or the ADD of a frozen constant that is its only reader."""
        users = self.graph.users(i)
        if (
            len(users) == 1
            and self.graph[users[0]].op is Op.ADD
            and self.bias(users[0]) is not None
        ):
            return users[0]
        return i

    def bias(self, add: int) -> Array | None:
        for j in self.graph[add].inputs:
            if self.graph[j].is_frozen_const:
                return self.graph[j].data()
        return None

    def input(self, i: int, node: Node) -> int:
        elem = best_type(self.real[i], self.width)
        if self.power_of_two:
            elem = without_spare_bits(elem, self.real[i])
        return self.build.op(Op.INPUT, (), TensorType(node.type.shape, elem), node.loc)

    def tail(self, node: Node) -> int:
        x = self.ids[node.inputs[0]]
        elem = self.build.nodes[x].type.elem
        if node.op is Op.ARGMAX:
            elem = smallest_type(0, max(1, self.build.nodes[x].type.shape[0] - 1), 0)
        return self.build.op(node.op, (x,), TensorType(node.type.shape, elem), node.loc)

    def affine(self, i: int, node: Node) -> int:
        """A dense layer: integers in, one scale per output, activations of ``width`` bits out."""
        x, w = self.ids[node.inputs[0]], self.graph[node.inputs[1]]
        axis = 1 if node.attrs.get("transposed") else 0
        scale = row_scale(w.data(), axis, self.width, self.power_of_two)
        q = round_half_up(w.data() / (scale[:, None] if axis else scale))
        elem = FixedType(True, self.width)
        weight = self.build.const(q, elem, w.loc, role="weight")
        attrs = dict(node.attrs)
        acc = self.build.sized(
            Op.MATMUL, (x, weight), len(scale), self.build.frac(x), node.loc, **attrs
        )
        out = best_type(self.real[self.last(i)], self.width, signed=True)
        return self.rescale(acc, scale, i, out)

    def field(self, field: Field) -> int:
        acc, scale = quantize_field.build(
            self.build, self.graph, field, self.ids, self.real, self.width, self.power_of_two
        )
        join = field.joins[0]
        largest = np.abs(self.real[self.last(join)]).max() * 2.0
        out = best_type(np.array([-largest, largest]), LOGIT_BITS, signed=True)
        return self.rescale(acc, scale, join, out)

    def rescale(self, acc: int, scale: Array, i: int, out: FixedType) -> int:
        """acc * scale + bias in the type ``out``; ``i`` is the float MATMUL this stands for."""
        build, loc, n = self.build, self.graph[i].loc, len(scale)
        real_scale = scale * 2.0 ** -build.frac(acc)
        add = self.last(i)
        bias = self.bias(add) if add != i else None
        if bias is not None:
            q = round_half_up(np.broadcast_to(bias, (n,)) / real_scale)
            elem = smallest_type(int(q.min()), int(q.max()), build.frac(acc))
            const = build.const(q, elem, self.graph[add].loc, role="bias")
            acc = build.sized(Op.ADD, (acc, const), n, build.frac(acc), loc)
        return self.requant(acc, real_scale * 2.0**out.frac, out, i)

    def requant(self, acc: int, ratio: Array, out: FixedType, i: int) -> int:
        build, loc = self.build, self.graph[i].loc
        elem = build.nodes[acc].type.elem
        assert isinstance(elem, FixedType)
        m, shift = (shifts if self.power_of_two else multipliers)(ratio, elem.width)
        mul = build.const(m, smallest_type(int(m.min()), int(m.max()), 0), loc, role="scale")
        type_ = TensorType((len(m),), out)
        return build.op(Op.REQUANT, (acc, mul), type_, loc, shift=shift)


def quantize_inputs(graph: Graph, x: Array) -> NDArray[np.int64]:
    """Real inputs [batch, I] as integers of the fixed graph's input type."""
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    return to_fixed(x, elem)
