"""Exact integer intervals of a fixed graph: how wide must each value be?

The intervals hold for every input that the INPUT type can represent and for every value that an
active constant's type can represent, so a type that contains its interval can never overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import FixedType, Graph, Node, Op

Array = NDArray[Any]


@dataclass(frozen=True)
class Interval:
    """Elementwise bounds, Python integers in object arrays of the value's shape: no overflow."""

    low: Array
    high: Array

    @property
    def hull(self) -> tuple[int, int]:
        """Smallest and largest element over the whole tensor."""
        return int(self.low.min()), int(self.high.max())

    @property
    def magnitude(self) -> int:
        """Largest absolute value of any element."""
        return max(map(abs, self.hull))


def _exact(a: Array) -> Array:
    return np.asarray(a).astype(object)


def _full(node: Node) -> Interval:
    elem = node.type.elem
    assert isinstance(elem, FixedType)
    low = np.full(node.type.shape, elem.low, dtype=object)
    return Interval(low, np.full(node.type.shape, elem.high, dtype=object))


def of_const(node: Node) -> Interval:
    """Exact for frozen rows, the full type for active ones."""
    value, full = _exact(node.data()), _full(node)
    if node.active is None:
        return Interval(value, value)
    rows = node.active.reshape((-1,) + (1,) * (value.ndim - 1))
    return Interval(np.where(rows, full.low, value), np.where(rows, full.high, value))


def _product(a: Interval, b: Interval) -> Interval:
    corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    low, high = corners[0], corners[0]
    for c in corners[1:]:
        low, high = np.minimum(low, c), np.maximum(high, c)
    return Interval(low, high)


def _square(a: Interval) -> Interval:
    low, high = a.low * a.low, a.high * a.high
    least = np.where((a.low <= 0) & (a.high >= 0), 0, np.minimum(low, high))
    return Interval(least, np.maximum(low, high))


def _matmul(node: Node, x: Interval, w: Interval) -> Interval:
    if node.attrs.get("transposed"):
        w = Interval(w.low.T, w.high.T)
    terms = _product(Interval(x.low[:, None], x.high[:, None]), w)
    return Interval(terms.low.sum(0), terms.high.sum(0))


def _distance(node: Node, x: Interval, p: Interval) -> Interval:
    delta = Interval(x.low[None, :] - p.high, x.high[None, :] - p.low)
    cost = _square(delta) if node.attrs["metric"] == "l2" else _magnitude(delta)
    return Interval(cost.low.sum(-1), cost.high.sum(-1))


def _magnitude(a: Interval) -> Interval:
    high = np.maximum(np.abs(a.low), np.abs(a.high))
    low = np.where((a.low <= 0) & (a.high >= 0), 0, np.minimum(np.abs(a.low), np.abs(a.high)))
    return Interval(low, high)


def _sumsq(_: Node, x: Interval) -> Interval:
    square = _square(x)
    return Interval(np.array([square.low.sum()]), np.array([square.high.sum()]))


def _requant(node: Node, x: Interval, mul: Interval) -> Interval:
    elem, shift = node.type.elem, int(node.attrs["shift"])
    assert isinstance(elem, FixedType)
    wide, half = _product(x, mul), 1 << (shift - 1)
    low, high = (wide.low + half) >> shift, (wide.high + half) >> shift
    return Interval(
        np.minimum(np.maximum(low, elem.low), elem.high),
        np.minimum(np.maximum(high, elem.low), elem.high),
    )


def _lookup(node: Node, _: Interval, table: Interval) -> Interval:
    low, high = table.low.min(-1), table.high.max(-1)
    shape = node.type.shape
    return Interval(np.broadcast_to(low, shape), np.broadcast_to(high, shape))


def _div(node: Node, a: Interval, b: Interval) -> Interval:
    """Widest at the smallest divisor; the oracle raises a divisor below 1 to 1."""
    shift, least = int(node.attrs["shift"]), max(1, int(b.low.min()))

    def quotient(v: Array, d: int) -> Array:
        return np.asarray(((v << shift) * 2 + d) // (2 * d))

    most = max(1, int(b.high.max()))
    ends = [quotient(v, d) for v in (a.low, a.high) for d in (least, most)]
    return Interval(np.minimum.reduce(ends), np.maximum.reduce(ends))


def _argmax(_: Node, x: Interval) -> Interval:
    return Interval(np.array([0], dtype=object), np.array([len(x.low) - 1], dtype=object))


RULES: Mapping[Op, Callable[..., Interval]] = {
    Op.OUTPUT: lambda node, x: x,
    Op.MATMUL: _matmul,
    Op.DISTANCE: _distance,
    Op.SUMSQ: _sumsq,
    Op.ADD: lambda node, a, b: Interval(a.low + b.low, a.high + b.high),
    Op.SUB: lambda node, a, b: Interval(a.low - b.high, a.high - b.low),
    Op.MUL: lambda node, a, b: _product(a, b),
    Op.RELU: lambda node, x: Interval(np.maximum(x.low, 0), np.maximum(x.high, 0)),
    Op.SHIFT: lambda node, x: Interval(
        x.low << int(node.attrs["left"]), x.high << int(node.attrs["left"])
    ),
    Op.REQUANT: _requant,
    Op.LOOKUP: _lookup,
    Op.DIV: _div,
    Op.MIN: lambda node, x: Interval(np.array([x.low.min()]), np.array([x.high.min()])),
    Op.ARGMAX: _argmax,
}


def intervals(graph: Graph) -> list[Interval]:
    """The interval of every node of a fixed graph, by id."""
    out: list[Interval] = []
    for _, node in graph:
        out.append(infer(graph, node, out))
    return out


def infer(graph: Graph, node: Node, known: list[Interval]) -> Interval:
    """The interval of ``node`` from those of its operands (before its own type is known)."""
    if node.op is Op.INPUT:
        return _full(node)
    if node.op is Op.CONST:
        return of_const(node)
    args = [known[j] for j in node.inputs]
    if node.op is Op.DISTANCE:
        args = _aligned(args, [graph[j].type.elem for j in node.inputs])
    return RULES[node.op](node, *args)


def _aligned(args: list[Interval], elems: list[Any]) -> list[Interval]:
    frac = max(e.frac for e in elems)
    return [
        Interval(a.low << (frac - e.frac), a.high << (frac - e.frac))
        for a, e in zip(args, elems, strict=True)
    ]


def smallest_type(low: int, high: int, frac: int) -> FixedType:
    """The narrowest FixedType with this binary point that holds ``low``..``high``."""
    if low >= 0:
        return FixedType(False, max(1, int(high).bit_length()), frac)
    return FixedType(True, 1 + max(max(high, 0).bit_length(), int(~low).bit_length()), frac)
