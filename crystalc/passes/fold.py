"""fold and reciprocal: everything that is known at compile time is computed at compile time.

Both work on the float graph and are exact in real arithmetic.

fold        ``(w @ values) @ head.T`` -> ``w @ (values @ head.T)``, and any op whose operands are
            all frozen constants -> its value
reciprocal  ``x / c`` -> ``x * (1 / c)``, and ``(0 - x) * c`` -> ``x * -c``

A divisor that is active stays a division: its owner may rewrite it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crystalc.interpret import FLOAT
from crystalc.ir import Builder, Graph, Node, Op, without_dead_nodes
from crystalc.passes.rows import copy

Rule = Callable[[Builder, Node, list[int]], int | None]
"""``(build, node, operands) -> id`` of the replacement, or None to keep the node."""


@dataclass(frozen=True)
class Fold:
    """No options. Leaves a fixed graph as it is."""

    name: ClassVar[str] = "fold"

    def run(self, graph: Graph) -> Graph:
        return _apply(graph, _head, _constants)


@dataclass(frozen=True)
class Reciprocal:
    """No options. Leaves a fixed graph as it is."""

    name: ClassVar[str] = "reciprocal"

    def run(self, graph: Graph) -> Graph:
        return _apply(graph, _divisor, _negation, _constants)


def _apply(graph: Graph, *rules: Rule) -> Graph:
    if graph.is_fixed:
        return graph
    for rule in rules:
        graph = without_dead_nodes(_rewrite(graph, rule))
    return graph


def _rewrite(graph: Graph, rule: Rule) -> Graph:
    """``graph`` with every node replaced by what ``rule`` makes of it, or copied."""
    build = Builder(graph.source)
    ids: dict[int, int] = {}
    for i, node in graph:
        made = rule(build, node, [ids[j] for j in node.inputs])
        ids[i] = copy(build, node, ids) if made is None else made
    return build.graph()


def _head(build: Builder, node: Node, args: list[int]) -> int | None:
    """A transposed MATMUL right after a plain one."""
    if node.op is not Op.MATMUL or not node.attrs.get("transposed"):
        return None
    inner, head = build.nodes[args[0]], build.nodes[args[1]]
    if inner.op is not Op.MATMUL or inner.attrs.get("transposed"):
        return None
    values = build.nodes[inner.inputs[1]]
    if values.op is not Op.CONST or not head.is_frozen_const:
        return None
    if values.type.elem != node.type.elem or head.type.elem != node.type.elem:
        return None  # bytes stay bytes
    product = values.data() @ head.data().T
    folded = build.const(product, values.type.elem, values.loc, values.active, "values")
    return build.op(Op.MATMUL, (inner.inputs[0], folded), node.type, values.loc)


def _divisor(build: Builder, node: Node, args: list[int]) -> int | None:
    if node.op is not Op.DIV or not build.nodes[args[1]].is_frozen_const:
        return None
    divisor = build.nodes[args[1]]
    inverse = build.const(1.0 / divisor.data(), divisor.type.elem, divisor.loc, role="scale")
    return build.op(Op.MUL, (args[0], inverse), node.type, node.loc)


def _negation(build: Builder, node: Node, args: list[int]) -> int | None:
    if node.op is not Op.MUL or not build.nodes[args[1]].is_frozen_const:
        return None
    minus = build.nodes[args[0]]
    if minus.op is not Op.SUB or not _is_zero(build.nodes[minus.inputs[0]]):
        return None
    factor = build.nodes[args[1]]
    negated = build.const(-factor.data(), factor.type.elem, factor.loc, role="scale")
    return build.op(Op.MUL, (minus.inputs[1], negated), node.type, node.loc)


def _is_zero(node: Node) -> bool:
    return node.is_frozen_const and not np.any(node.data())


def _constants(build: Builder, node: Node, args: list[int]) -> int | None:
    operands = [build.nodes[j] for j in args]
    if node.op in (Op.INPUT, Op.CONST, Op.OUTPUT) or not operands:
        return None
    if not all(o.is_frozen_const for o in operands):
        return None
    value = FLOAT[node.op](node, *(o.data() for o in operands))
    return build.const(value, node.type.elem, node.loc)
