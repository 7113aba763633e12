"""legalize: a squared distance to frozen points becomes a constant matrix-vector product.

    |x - p_n|^2  =  |x|^2 + |p_n|^2 - 2 p_n.x

In integers this is exact and always done. In float it loses digits where the distance is small
against |x|, which the square root of the laplace kernel would amplify without bound, and a narrow
kernel far from the origin by |p|^2 / T: those distances keep their direct form. Active points keep
it too, so that their owner rewrites plain positions and nothing that is derived from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from crystalc.ir import ELEMENTWISE, Builder, Graph, Node, Op, TensorType, without_dead_nodes
from crystalc.passes.rows import copy
from crystalc.passes.sized import DERIVED, SizedBuilder
from crystalc.ranges import smallest_type

SHARPEST = 2.0**10
"""Largest |p|^2 / T of a kernel whose distance is expanded: it costs 10 of 24 bits at most."""


@dataclass(frozen=True)
class Legalize:
    """No options."""

    name: ClassVar[str] = "legalize"

    def run(self, graph: Graph) -> Graph:
        made = _fixed(graph) if graph.is_fixed else _float(graph)
        return without_dead_nodes(made)


def _expandable(graph: Graph, node: Node) -> bool:
    if node.op is not Op.DISTANCE or node.attrs["metric"] != "l2" or len(node.inputs) != 2:
        return False
    return graph[node.inputs[1]].is_frozen_const


def _float(graph: Graph) -> Graph:
    build = Builder(graph.source)
    ids: dict[int, int] = {}
    for i, node in graph:
        expand = _expandable(graph, node) and not _cancels(graph, i)
        ids[i] = (_expand_float if expand else copy)(build, node, ids)
    return build.graph()


def _cancels(graph: Graph, distance: int) -> bool:
    """Would the expanded form lose digits that the kernel after it needs?"""
    readers = [graph[i] for i in _elementwise_readers(graph, distance)]
    if any(node.op is Op.SQRT for node in readers):
        return True
    norms = np.square(graph[graph[distance].inputs[1]].data()).sum(-1)
    divisors = [graph[node.inputs[1]] for node in readers if node.op is Op.DIV]
    return any(
        bool((norms > SHARPEST * np.abs(d.data())).any()) for d in divisors if d.op is Op.CONST
    )


def _elementwise_readers(graph: Graph, value: int) -> list[int]:
    """Every elementwise node whose operands come down to ``value`` and constants or others."""
    chain = [value]
    for i, node in graph:
        if node.op in ELEMENTWISE and set(node.inputs) & set(chain):
            chain.append(i)
    return chain[1:]


def _expand_float(build: Builder, node: Node, ids: dict[int, int]) -> int:
    x, points = (ids[j] for j in node.inputs)
    p, elem, loc = build.nodes[points].data(), node.type.elem, node.loc
    one = TensorType((1,), elem)
    norms = build.const((p * p).sum(-1), elem, loc, role="offset")
    double = build.const(2 * p, elem, loc, role="positions")
    square = build.op(Op.SUMSQ, (x,), one, loc)
    dot = build.op(Op.MATMUL, (x, double), node.type, loc, transposed=True)
    total = build.op(Op.ADD, (square, norms), node.type, loc)
    return build.op(Op.SUB, (total, dot), node.type, loc)


def _fixed(graph: Graph) -> Graph:
    """The sum's interval is looser than the distance's, so the values after it are sized anew."""
    build = SizedBuilder(graph.source)
    ids: dict[int, int] = {}
    for i, node in graph:
        if _expandable(graph, node):
            ids[i] = _expand_fixed(build, node, ids)
            continue
        moved = replace(node, inputs=tuple(ids[j] for j in node.inputs))
        ids[i] = build.add(build.narrowed(moved) if node.op in DERIVED else moved)
    return build.graph()


def _expand_fixed(build: SizedBuilder, node: Node, ids: dict[int, int]) -> int:
    """D^2 at twice the finer of the two binary points, exact."""
    x, points = (ids[j] for j in node.inputs)
    n, p, loc = node.type.shape[0], build.nodes[points].data(), node.loc
    coarse = (build.frac(x), build.frac(points))
    frac = max(coarse)
    norms = ((p << (frac - coarse[1])) ** 2).sum(-1)
    offset_type = smallest_type(int(norms.min()), int(norms.max()), 2 * frac)
    offset = build.const(norms, offset_type, loc, role="offset")
    square = build.sized(Op.SUMSQ, (x,), 1, 2 * coarse[0], loc)
    square = _shift(build, square, 2 * (frac - coarse[0]), 2 * frac)
    dot = build.sized(Op.MATMUL, (x, points), n, sum(coarse), loc, transposed=True)
    double = _shift(build, dot, 2 * frac - sum(coarse) + 1, 2 * frac)
    total = build.sized(Op.ADD, (square, offset), n, 2 * frac, loc)
    return build.sized(Op.SUB, (total, double), n, 2 * frac, loc)


def _shift(build: SizedBuilder, value: int, left: int, frac: int) -> int:
    if not left:
        return value
    node = build.nodes[value]
    return build.sized(Op.SHIFT, (value,), node.type.shape[0], frac, node.loc, left=left)
