"""What a folded design computes, one vector after another: a graph cut into passes.

A pass reads a vector from the store, computes one sum per output in the lanes (or takes the
vector's elements as they are), and puts each result into the store, into a register, or out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, refuse
from crystalc.ir import FixedType, Graph, Node, Op
from crystalc_verilog.files import fixed

Integers = NDArray[Any]

ELEMENTWISE = frozenset(
    {Op.ADD, Op.SUB, Op.MUL, Op.SHIFT, Op.RELU, Op.REQUANT, Op.LOOKUP, Op.DIV, Op.ARGMAX}
)
SCALARS = frozenset({Op.SUMSQ, Op.MIN})


@dataclass(frozen=True)
class Product:
    """Sums over a vector: ``rows`` [O, K] of integers, ``origin`` [O, K] the node and the place
    of each active one (-1: frozen), counted row by row in the constant.
    ``parts``: the vectors that the K numbers come from, with how many each has.
    """

    op: Op
    metric: str
    parts: tuple[tuple[int, int], ...]
    rows: Integers
    nodes: Integers
    places: Integers

    @property
    def active(self) -> bool:
        """Can any of the weights be rewritten?"""
        return bool((self.nodes >= 0).any())


@dataclass(frozen=True)
class Pass:
    """``spine``: nodes from the root (a product, or a vector in the store) to ``target``, each
    computed from the one before; ``product`` is None where the root is a stored vector.
    """

    target: int
    size: int
    spine: tuple[int, ...]
    product: Product | None
    scalar: bool


def unfit(node: Node, what: str = "") -> CompileError:
    """The refusal of an op, or of ``what`` about it, that a folded design has no unit for."""
    what = what or f"'{node.op.value}' here"
    hint = "use -O arch=parallel"
    return refuse(f"-O arch=folded has no place for {what}", node.loc.key, node.loc.index, hint)


def passes(graph: Graph) -> list[Pass]:
    """The passes of ``graph`` in order. Raises CompileError, located, where one does not fit."""
    stored = _stored(graph)
    scalars = _divisors(graph)
    found = [_pass(graph, i, stored, i in scalars) for i in sorted(stored | scalars)]
    last = graph.output.inputs[0]
    if graph[last].op is Op.ARGMAX:
        last = graph[last].inputs[0]
    found.append(_pass(graph, last, stored, False))
    _check_active(graph, found)
    return found


def final(graph: Graph) -> int:
    """The vector that leaves the design, before an argmax."""
    last = graph.output.inputs[0]
    return graph[last].inputs[0] if graph[last].op is Op.ARGMAX else last


def _stored(graph: Graph) -> set[int]:
    """Vectors that are read more than once or out of step."""
    readers = {Op.MATMUL, Op.DISTANCE, *SCALARS}
    found = {node.inputs[0] for _, node in graph if node.op in readers}
    return found - set(graph.find(Op.INPUT))


def _check_active(graph: Graph, found: Iterable[Pass]) -> None:
    """An active weight stands in one word: a write from the bus reaches no second one."""
    known: set[tuple[int, int]] = set()
    for product in (p.product for p in found if p.product):
        for owner, place in zip(product.nodes.flat, product.places.flat, strict=True):
            if owner < 0:
                continue
            if (owner, place) in known:
                raise unfit(graph[owner], "active weights that are read twice")
            known.add((owner, place))


def _divisors(graph: Graph) -> set[int]:
    return {node.inputs[1] for _, node in graph if node.op is Op.DIV}


def _pass(graph: Graph, target: int, stored: set[int], scalar: bool) -> Pass:
    spine = [target]
    while not (product := _product(graph, spine[-1])):
        below = [] if graph[spine[-1]].op is Op.INPUT else _below(graph, spine[-1], stored)
        if len(below) != 1:
            raise unfit(graph[spine[-1]])
        spine.append(below[0])
        if below[0] in stored:
            break
    size = int(graph[target].type.shape[0])
    return Pass(target, size, tuple(reversed(spine)), product, scalar)


def _below(graph: Graph, i: int, stored: set[int]) -> list[int]:
    """The operands of node ``i`` that are computed from the root of its pass."""
    node = graph[i]
    if node.op not in ELEMENTWISE or node.op is Op.ARGMAX:
        raise unfit(node)
    operands = node.inputs[:1] if node.op is Op.DIV else node.inputs
    return [j for j in operands if not is_side(graph, j)]


def is_side(graph: Graph, i: int) -> bool:
    """Is the value the same constant or scalar, element by element, whatever the root is?"""
    node = graph[i]
    if node.op is Op.CONST or node.op in SCALARS:
        return True
    simple = node.op in {Op.SHIFT, Op.ADD, Op.SUB}
    return simple and all(is_side(graph, j) for j in node.inputs)


def _product(graph: Graph, i: int) -> Product | None:
    """The product that node ``i`` is, or the sum of products side by side."""
    node = graph[i]
    if node.op is Op.ADD:
        parts = [_product(graph, j) for j in node.inputs]
        a, b = parts
        return _joined(a, b) if a and b and a.op is b.op is Op.MATMUL else None
    if node.op not in (Op.MATMUL, Op.DISTANCE):
        return None
    weight = graph[node.inputs[1]]
    if weight.op is not Op.CONST or len(node.inputs) != 2:
        raise unfit(node)
    rows = weight.data().astype(np.int64)
    places = np.arange(rows.size).reshape(rows.shape)
    if node.op is Op.MATMUL and not node.attrs.get("transposed"):
        rows, places = rows.T, places.T
    owner = node.inputs[1] if weight.is_state else -1
    return Product(
        node.op,
        str(node.attrs.get("metric", "")),
        ((node.inputs[0], rows.shape[1]),),
        rows,
        np.full(rows.shape, owner),
        places,
    )


def _joined(a: Product, b: Product) -> Product | None:
    if len(a.rows) != len(b.rows):
        return None
    if {i for i, _ in a.parts} & {i for i, _ in b.parts}:
        if a.parts != b.parts or a.active or b.active:
            return None
        return Product(a.op, "", a.parts, a.rows + b.rows, a.nodes, a.places)
    pairs = ((a.rows, b.rows), (a.nodes, b.nodes), (a.places, b.places))
    rows, nodes, places = (np.hstack(pair) for pair in pairs)
    return Product(a.op, "", a.parts + b.parts, rows, nodes, places)


def hull(values: Iterable[int]) -> FixedType:
    """The narrowest type for all of ``values``."""
    from crystalc.ranges import smallest_type

    known = [int(v) for v in values]
    return smallest_type(min(known), max(known), 0)


def elem(graph: Graph, i: int) -> FixedType:
    """The integer type of node ``i``."""
    return fixed(graph[i].type.elem)
