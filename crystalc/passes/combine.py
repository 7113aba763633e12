"""combine: one constant per neuron instead of two, and so one addition less.

    (square + c - dot) - k   ->   square + (c - k) - dot
    k - (square + c - dot)   ->   dot + (k - c) - square

The first is what ``legalize`` leaves before a table's index, the second before a radial kernel.
Exact in integers and in real arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.ir import Builder, FixedType, Graph, Node, Op, without_dead_nodes
from crystalc.passes.rows import copy
from crystalc.passes.sized import DERIVED, SizedBuilder
from crystalc.ranges import smallest_type


@dataclass(frozen=True)
class Combine:
    """No options."""

    name: ClassVar[str] = "combine"

    def run(self, graph: Graph) -> Graph:
        build = SizedBuilder(graph.source) if graph.is_fixed else Builder(graph.source)
        ids: dict[int, int] = {}
        for i, node in graph:
            found = _match(graph, node)
            ids[i] = _moved(build, node, ids) if found is None else _emit(build, node, found, ids)
        return without_dead_nodes(build.graph())


@dataclass(frozen=True)
class _Sum:
    """``plus + constant - minus``: operand ids in the old graph."""

    plus: int
    constant: NDArray[Any]
    minus: int


def _match(graph: Graph, node: Node) -> _Sum | None:
    if node.op is not Op.SUB:
        return None
    a, b = node.inputs
    if graph[b].is_frozen_const and (inner := _expansion(graph, a)):
        return replace(inner, constant=inner.constant - graph[b].data())
    if graph[a].is_frozen_const and (inner := _expansion(graph, b)):
        return _Sum(inner.minus, graph[a].data() - inner.constant, inner.plus)
    return None


def _expansion(graph: Graph, i: int) -> _Sum | None:
    """``(square + c) - dot`` that nothing else reads."""
    node = graph[i]
    if node.op is not Op.SUB or len(graph.users(i)) != 1:
        return None
    total, dot = node.inputs
    if graph[total].op is not Op.ADD or len(graph.users(total)) != 1:
        return None
    square, c = graph[total].inputs
    return _Sum(square, graph[c].data(), dot) if graph[c].is_frozen_const else None


def _emit(build: Builder, node: Node, found: _Sum, ids: dict[int, int]) -> int:
    elem = node.type.elem
    if isinstance(elem, FixedType):
        low, high = int(found.constant.min()), int(found.constant.max())
        elem = smallest_type(low, high, elem.frac)
    constant = build.const(found.constant, elem, node.loc, role="offset")
    total = _add(build, replace(node, op=Op.ADD, inputs=(ids[found.plus], constant)))
    return _add(build, replace(node, inputs=(total, ids[found.minus])))


def _moved(build: Builder, node: Node, ids: dict[int, int]) -> int:
    if node.op not in DERIVED:
        return copy(build, node, ids)
    return _add(build, replace(node, inputs=tuple(ids[j] for j in node.inputs)))


def _add(build: Builder, node: Node) -> int:
    """In a fixed graph the sum's width follows from its operands."""
    return build.add(build.narrowed(node) if isinstance(build, SizedBuilder) else node)
