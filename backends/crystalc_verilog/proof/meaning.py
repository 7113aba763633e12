"""What the fixed graph means, element by element, from the op table of docs/ir.md.

Sums are polynomials of the proof's variables. An op that is no sum becomes a Function of them,
which the caller finds in the emitted design.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystalc.ir import FixedType, Graph, Node, Op
from crystalc.ranges import Interval, intervals
from crystalc_verilog.proof.atoms import Atoms, Range
from crystalc_verilog.proof.poly import Poly, constant, is_constant, key, plus, scaled, times

Resolve = Callable[["Function"], Poly]
"""From a function to the variable that stands for its value."""


@dataclass(frozen=True)
class Function:
    """Element ``element`` of node ``node``: ``kind`` applied to the numbers ``args``.

    ``params``: requant: shift, least, most, factor; lookup: entries from the least index on;
    kernel, a lookup of a requant: those of the requant, the least index, the entries; div: shift;
    memory: node of the table, its row. ``range``: least and largest result.
    """

    kind: str
    node: int
    element: int
    args: tuple[Poly, ...]
    spans: tuple[Range, ...]
    params: tuple[int, ...]
    range: Range

    @property
    def content(self) -> tuple[Any, ...]:
        """Equal for equal functions of equal numbers."""
        return (self.kind, self.params, tuple(map(key, self.args)))


class Meaning:
    """``elements[i]``: the flat elements of node i; ``given``: those that are there already."""

    def __init__(self, graph: Graph, atoms: Atoms, resolve: Resolve) -> None:
        self.graph, self.atoms, self.resolve = graph, atoms, resolve
        self.intervals: Sequence[Interval] = intervals(graph)
        self.elements: dict[int, list[Poly]] = {}
        self.placed: Callable[[int], None] = lambda i: None
        self.indices: dict[int, Function] = {}
        self.given: dict[int, list[Poly]] = {}
        self._users: dict[int, list[Node]] = {}
        for _, node in graph:
            for j in node.inputs:
                self._users.setdefault(j, []).append(node)

    def run(self) -> list[Poly]:
        """Every node in order; the elements of the output."""
        for i, node in self.graph:
            self.elements[i] = self.given.get(i) or RULES[node.op](self, i, node)
            self.placed(i)
            self._remember(i)
        return self.elements[self.graph.find(Op.OUTPUT)[0]]

    def _remember(self, i: int) -> None:
        """The graph's own intervals are as good as the terms' or better."""
        if self.graph[i].op is Op.CONST:
            return
        for k, poly in enumerate(self.elements[i]):
            if not is_constant(poly):
                self.atoms.learn(poly, *self.span(i, k))

    def span(self, i: int, k: int) -> Range:
        """Least and largest value of element k of node i."""
        held = self.intervals[i]
        k = 0 if held.low.size == 1 else k
        return int(held.low.reshape(-1)[k]), int(held.high.reshape(-1)[k])

    def close(self, a: Poly, span: Range) -> Range:
        """What ``a`` lies between, by ``span`` and by its terms: the design leaves out bits that
        no vector needs.
        """
        low, high = self.atoms.bounds(a)
        return max(low, span[0]), min(high, span[1])

    def operand(self, i: int, k: int) -> Poly:
        """Element k of node i; one element is repeated."""
        made = self.elements[i]
        return made[k] if len(made) > 1 else made[0]

    def input(self, i: int, node: Node) -> list[Poly]:
        return [self.atoms.fresh(*self.span(i, k)) for k in range(node.type.shape[0])]

    def const(self, i: int, node: Node) -> list[Poly]:
        if node.is_state:
            return [self.atoms.fresh(*self.span(i, k)) for k in range(node.data().size)]
        return [constant(int(v)) for v in node.data().reshape(-1)]

    def output(self, i: int, node: Node) -> list[Poly]:
        return self.elements[node.inputs[0]]

    def matmul(self, i: int, node: Node) -> list[Poly]:
        x, w = (self.elements[j] for j in node.inputs)
        size, count = len(x), node.type.shape[0]
        turned = bool(node.attrs.get("transposed"))
        rows = [w[o * size : (o + 1) * size] if turned else w[o::count] for o in range(count)]
        return [_total(times(a, b) for a, b in zip(x, row, strict=True)) for row in rows]

    def distance(self, i: int, node: Node) -> list[Poly]:
        fracs = [_fixed(self.graph[j]).frac for j in node.inputs]
        x, p = (
            [scaled(e, 1 << (max(fracs) - f)) for e in self.elements[j]]
            for j, f in zip(node.inputs, fracs, strict=True)
        )
        size = len(x)
        return [
            _total(
                self.cost(plus(a, b, -1), node)
                for a, b in zip(x, p[n * size : (n + 1) * size], strict=True)
            )
            for n in range(node.type.shape[0])
        ]

    def cost(self, apart: Poly, node: Node) -> Poly:
        if node.attrs["metric"] == "l2":
            return times(apart, apart)
        low = high = 0
        for monomial, weight in apart.items():
            [ends] = [self.atoms.ranges[v] for v in monomial] or [(1, 1)]
            low += min(weight * e for e in ends)
            high += max(weight * e for e in ends)
        return self.atoms.absolute(apart, low, high)

    def sumsq(self, i: int, node: Node) -> list[Poly]:
        return [_total(times(a, a) for a in self.elements[node.inputs[0]])]

    def add(self, i: int, node: Node) -> list[Poly]:
        factor = 1 if node.op is Op.ADD else -1
        a, b = node.inputs
        n = node.type.shape[0]
        return [plus(self.operand(a, k), self.operand(b, k), factor) for k in range(n)]

    def mul(self, i: int, node: Node) -> list[Poly]:
        a, b = node.inputs
        return [times(self.operand(a, k), self.operand(b, k)) for k in range(node.type.shape[0])]

    def shift(self, i: int, node: Node) -> list[Poly]:
        factor = 1 << int(node.attrs["left"])
        return [scaled(a, factor) for a in self.elements[node.inputs[0]]]

    def relu(self, i: int, node: Node) -> list[Poly]:
        made = []
        for k, a in enumerate(self.elements[node.inputs[0]]):
            span = self.span(node.inputs[0], k)
            if span[0] >= 0:
                made.append(a)
                continue
            low, high = self.close(a, span)
            ends = (max(low, 0), max(high, 0))
            made.append(self.function("relu", i, k, (a,), ((low, high),), (), ends))
        return made

    def requant(self, i: int, node: Node) -> list[Poly]:
        shift, elem = int(node.attrs["shift"]), _fixed(node)
        made = []
        for k in range(node.type.shape[0]):
            x, m = (self.operand(j, k) for j in node.inputs)
            if not is_constant(m):
                x, m = times(x, m), constant(1)
                ends = [
                    a * b
                    for a in self.span(node.inputs[0], k)
                    for b in self.span(node.inputs[1], k)
                ]
                span = (min(ends), max(ends))
            else:
                span = self.span(node.inputs[0], k)
            made.append(self.rounded(i, k, x, span, (shift, elem, m.get((), 0))))
        return made

    def rounded(
        self, i: int, k: int, a: Poly, span: Range, how: tuple[int, FixedType, int]
    ) -> Poly:
        """A sum where nothing is cut off, else a function."""
        shift, elem, factor = how
        half = 1 << (shift - 1)
        ends = [(v * factor + half) >> shift for v in span]
        whole = all(w * factor % (1 << shift) == 0 for m, w in a.items() if m)
        if whole and elem.low <= min(ends) and max(ends) <= elem.high:
            moved = {m: w * factor >> shift for m, w in a.items() if m}
            return plus(moved, constant((a.get((), 0) * factor + half) >> shift))
        params, span = (shift, elem.low, elem.high, factor), self.close(a, span)
        low, high = sorted(min(max(v * factor + half >> shift, elem.low), elem.high) for v in span)
        if low < 0 or low == high or not self._only_index(i):
            return self.function("requant", i, k, (a,), (span,), params, (low, high))
        index = self.atoms.fresh(low, high)
        [(v,)] = index
        self.indices[v] = Function("requant", i, k, (a,), (span,), params, (low, high))
        return index

    def _only_index(self, i: int) -> bool:
        """Does node i only choose entries of constant tables? Such an index need not stand in the
        design: a kernel is one function from the sum on.
        """
        return all(
            node.op is Op.LOOKUP and node.inputs[0] == i and not self.graph[node.inputs[1]].is_state
            for node in self._users[i]
        )

    def lookup(self, i: int, node: Node) -> list[Poly]:
        index, table = node.inputs
        rows, length = self.graph[table].type.shape
        made = []
        for k, a in enumerate(self.elements[index]):
            first, last = self.span(index, k)
            if self.graph[table].is_state:
                params: tuple[int, ...] = (table, (k % rows) * length)
                made.append(self.function("memory", i, k, (a,), ((first, last),), params))
                continue
            entries = tuple(self.graph[table].data()[k % rows, first : last + 1].tolist())
            made.append(self.looked_up(i, k, a, (first, last), entries))
        return made

    def looked_up(self, i: int, k: int, a: Poly, span: Range, entries: tuple[int, ...]) -> Poly:
        """A lookup, with the rounding before it where that is only its index."""
        inner = self.indices.get(next(iter(a))[0]) if len(a) == 1 and () not in a else None
        if inner is None:
            return self.function("lookup", i, k, (a,), (span,), entries)
        if min(entries) == max(entries):
            return constant(entries[0])
        params = (*inner.params, span[0], *entries)
        ends = (min(entries), max(entries))
        return self.resolve(Function("kernel", i, k, inner.args, inner.spans, params, ends))

    def several(self, i: int, node: Node) -> list[Poly]:
        """argmax and min: one function of all elements."""
        source = node.inputs[0]
        args = tuple(self.elements[source])
        spans = tuple(self.close(a, self.span(source, k)) for k, a in enumerate(args))
        if len(args) == 1:
            return [args[0] if node.op is Op.MIN else constant(0)]
        return [self.function(node.op.value, i, 0, args, spans, ())]

    def div(self, i: int, node: Node) -> list[Poly]:
        made = []
        for k in range(node.type.shape[0]):
            args = tuple(self.operand(j, k) for j in node.inputs)
            spans = tuple(
                self.close(a, self.span(j, k)) for a, j in zip(args, node.inputs, strict=True)
            )
            made.append(self.function("div", i, k, args, spans, (int(node.attrs["shift"]),)))
        return made

    def function(
        self,
        kind: str,
        node: int,
        element: int,
        args: tuple[Poly, ...],
        spans: tuple[Range, ...],
        params: tuple[int, ...],
        ends: Range | None = None,
    ) -> Poly:
        """The variable of a function, or its value where it has only one. ``ends``: closer ones
        of its values than the graph's.
        """
        low, high = ends or self.span(node, element)
        if kind == "lookup":
            low, high = min(params), max(params)
        if low == high:
            return constant(low)
        return self.resolve(Function(kind, node, element, args, spans, params, (low, high)))


def _total(parts: Any) -> Poly:
    total: dict[tuple[int, ...], int] = {}
    for part in parts:
        for monomial, weight in part.items():
            total[monomial] = total.get(monomial, 0) + weight
    return {m: w for m, w in total.items() if w}


def _fixed(node: Node) -> FixedType:
    assert isinstance(node.type.elem, FixedType)
    return node.type.elem


RULES: Mapping[Op, Callable[[Meaning, int, Node], list[Poly]]] = {
    Op.INPUT: Meaning.input,
    Op.CONST: Meaning.const,
    Op.OUTPUT: Meaning.output,
    Op.MATMUL: Meaning.matmul,
    Op.DISTANCE: Meaning.distance,
    Op.SUMSQ: Meaning.sumsq,
    Op.ADD: Meaning.add,
    Op.SUB: Meaning.add,
    Op.MUL: Meaning.mul,
    Op.SHIFT: Meaning.shift,
    Op.RELU: Meaning.relu,
    Op.REQUANT: Meaning.requant,
    Op.LOOKUP: Meaning.lookup,
    Op.MIN: Meaning.several,
    Op.ARGMAX: Meaning.several,
    Op.DIV: Meaning.div,
}
