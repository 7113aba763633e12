"""Fixed graph -> circuit. Sums stay symbolic until an op needs their value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from numpy.typing import NDArray

from crystalc.ir import FixedType, Graph, Node, Op
from crystalc_verilog.circuit import Circuit, Linear

Vector = list[int] | list[Linear]
"""Cells, or sums not made yet."""


@dataclass(frozen=True)
class State:
    """Active constant: ``words`` of ``type`` from ``address`` on, row by row."""

    node: int
    address: int
    shape: tuple[int, ...]
    type: FixedType
    initial: tuple[int, ...]
    memory: bool

    @property
    def words(self) -> int:
        """How many numbers it holds."""
        return len(self.initial)


@dataclass(frozen=True)
class Lowered:
    """A circuit with its ends: cells of each input element, of each output, and the states."""

    circuit: Circuit
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    states: tuple[State, ...]


def lower(graph: Graph) -> Lowered:
    """Every op of a verified fixed graph as cells."""
    low = _Lowering(graph)
    for i, node in graph:
        low.values[i] = RULES[node.op](low, i, node)
        if len(graph.users(i)) != 1:
            low.cells(i)
    inputs = low.cells(graph.find(Op.INPUT)[0])
    outputs = low.cells(graph.find(Op.OUTPUT)[0])
    return Lowered(low.circuit, tuple(inputs), tuple(outputs), tuple(low.states.values()))


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.circuit = Circuit()
        self.values: dict[int, Vector] = {}
        self.states: dict[int, State] = {}

    def cells(self, i: int) -> list[int]:
        """The value of node ``i`` as cells, no wider than its type."""
        made = self.values[i]
        if made and isinstance(made[0], Linear):
            made = self.circuit.linear([r for r in made if isinstance(r, Linear)])
        elem = _fixed(self.graph[i])
        cells = [self.circuit.narrow(c, elem.low, elem.high) for c in made if isinstance(c, int)]
        self.values[i] = cells
        return cells

    def sums(self, i: int, size: int) -> list[Linear]:
        """The value of node ``i`` as sums, one element repeated where ``size`` is larger."""
        made = self.values[i]
        if len(made) != size:
            made = self.cells(i) * size
        return [c if isinstance(c, Linear) else self.sum_of(c) for c in made]

    def sum_of(self, cell: int) -> Linear:
        known = self.circuit.cells[cell]
        return Linear({}, known.low) if known.kind == "const" else Linear({cell: 1})

    def spread(self, i: int, size: int) -> list[int]:
        """The value of node ``i`` as ``size`` cells."""
        made = self.cells(i)
        return made if len(made) == size else made * size

    def frozen(self, i: int) -> NDArray[Any] | None:
        """The value of a frozen constant, else None."""
        node = self.graph[i]
        return node.data() if node.is_frozen_const else None

    def input(self, i: int, node: Node) -> Vector:
        elem = _fixed(node)
        places = range(0, node.type.shape[0] * elem.width, elem.width)
        return [self.circuit.make("input", (), (at,), elem.low, elem.high) for at in places]

    def const(self, i: int, node: Node) -> Vector:
        """A table's rows stay where they are; every other constant becomes cells, flat."""
        flat = [int(v) for v in node.data().reshape(-1)]
        if not node.is_state:
            return [self.circuit.const(v) for v in flat] if node.data().ndim == 1 else []
        elem = _fixed(node)
        memory = any(self.graph[u].op is Op.LOOKUP for u in self.graph.users(i))
        address = sum(s.words for s in self.states.values())
        shape = tuple(int(n) for n in node.type.shape)
        self.states[i] = State(i, address, shape, elem, tuple(flat), memory)
        if memory:
            return []
        ends = (elem.low, elem.high)
        return [self.circuit.make("state", (), (i, k), *ends) for k in range(len(flat))]

    def matmul(self, i: int, node: Node) -> Vector:
        x, weight = self.cells(node.inputs[0]), self.frozen(node.inputs[1])
        turned = bool(node.attrs.get("transposed"))
        if weight is not None:
            rows = weight if turned else weight.T
            return [self.weighted(x, row) for row in rows]
        cells = self.cells(node.inputs[1])
        n = node.type.shape[0]
        columns = [
            cells[o * len(x) : (o + 1) * len(x)] if turned else cells[o::n] for o in range(n)
        ]
        return [self.products(x, column) for column in columns]

    def weighted(self, x: Sequence[int], row: NDArray[Any]) -> Linear:
        total = Linear()
        for cell, weight in zip(x, row.tolist(), strict=True):
            total = total.plus(self.sum_of(cell), int(weight))
        return total

    def products(self, x: Sequence[int], w: Sequence[int]) -> Linear:
        made = (self.sum_of(self.circuit.mul(a, b)) for a, b in zip(x, w, strict=True))
        return reduce(Linear.plus, made, Linear())

    def distance(self, i: int, node: Node) -> Vector:
        fracs = [_fixed(self.graph[j]).frac for j in node.inputs]
        up = [1 << (max(fracs) - f) for f in fracs]
        x = [self.sum_of(c).times(up[0]) for c in self.cells(node.inputs[0])]
        points = self.points(node.inputs[1])
        cost = self.square if node.attrs["metric"] == "l2" else self.magnitude
        size = len(x)
        rows = []
        for n in range(node.type.shape[0]):
            row = points[n * size : (n + 1) * size]
            apart = [a.plus(p, -up[1]) for a, p in zip(x, row, strict=True)]
            rows.append(reduce(Linear.plus, (self.sum_of(cost(a)) for a in apart), Linear()))
        return rows

    def points(self, i: int) -> list[Linear]:
        value = self.frozen(i)
        if value is not None:
            return [Linear({}, int(v)) for v in value.reshape(-1)]
        return [self.sum_of(c) for c in self.cells(i)]

    def square(self, apart: Linear) -> int:
        return self.cost(apart, lambda v: v * v, lambda c: self.circuit.mul(c, c))

    def magnitude(self, apart: Linear) -> int:
        return self.cost(apart, abs, self.circuit.absolute)

    def cost(self, apart: Linear, f: Callable[[int], int], direct: Callable[[int], int]) -> int:
        """f of a difference; where one number is left in it, a table of that number."""
        if len(apart.weights) == 1:
            [(cell, weight)] = apart.weights.items()
            whole = lambda v: f(v * weight + apart.offset)  # noqa: E731
            return self.circuit.function(
                cell, whole, lambda _: direct(self.circuit.linear([apart])[0])
            )
        return direct(self.circuit.linear([apart])[0])

    def sumsq(self, i: int, node: Node) -> Vector:
        squares = (self.square(self.sum_of(c)) for c in self.cells(node.inputs[0]))
        return [reduce(Linear.plus, map(self.sum_of, squares), Linear())]

    def add(self, i: int, node: Node) -> Vector:
        factor = 1 if node.op is Op.ADD else -1
        a, b = (self.sums(j, node.type.shape[0]) for j in node.inputs)
        return [p.plus(q, factor) for p, q in zip(a, b, strict=True)]

    def shift(self, i: int, node: Node) -> Vector:
        factor = 1 << int(node.attrs["left"])
        return [row.times(factor) for row in self.sums(node.inputs[0], node.type.shape[0])]

    def mul(self, i: int, node: Node) -> Vector:
        a, b = (self.spread(j, node.type.shape[0]) for j in node.inputs)
        return [self.circuit.mul(p, q) for p, q in zip(a, b, strict=True)]

    def relu(self, i: int, node: Node) -> Vector:
        return [self.circuit.relu(c) for c in self.cells(node.inputs[0])]

    def requant(self, i: int, node: Node) -> Vector:
        """Rounding is one more constant of the sum before; a power of two is a shift."""
        n, shift, out = node.type.shape[0], int(node.attrs["shift"]), _fixed(node)
        factors = self.frozen(node.inputs[1])
        if factors is None:
            pairs = zip(self.cells(node.inputs[0]), self.spread(node.inputs[1], n), strict=True)
            rows = [self.sum_of(self.circuit.mul(a, b)) for a, b in pairs]
            return self.rounded(rows, [shift] * n, out)
        weights = [int(v) for v in factors.reshape(-1)] * (n if len(factors) == 1 < n else 1)
        if any(abs(w) & (abs(w) - 1) for w in weights):
            self.cells(node.inputs[0])
        free = [min(_twos(w), shift) for w in weights]
        sums = self.sums(node.inputs[0], n)
        rows = [s.times(w >> f) for s, w, f in zip(sums, weights, free, strict=True)]
        return self.rounded(rows, [shift - f for f in free], out)

    def rounded(self, rows: list[Linear], shifts: list[int], out: FixedType) -> Vector:
        halves = [Linear({}, 1 << s >> 1) for s in shifts]
        cells = self.circuit.linear([r.plus(h) for r, h in zip(rows, halves, strict=True)])
        return [self.circuit.saturate(c, s, out) for c, s in zip(cells, shifts, strict=True)]

    def lookup(self, i: int, node: Node) -> Vector:
        index, table = self.cells(node.inputs[0]), node.inputs[1]
        value, elem = self.frozen(table), _fixed(node)
        rows, length = self.graph[table].type.shape
        if value is not None:
            return [self.circuit.table(c, value[k % rows].tolist()) for k, c in enumerate(index)]
        ends = (elem.low, elem.high)
        return [
            self.circuit.make("memory", (c,), (table, (k % rows) * length, length), *ends)
            for k, c in enumerate(index)
        ]

    def least(self, i: int, node: Node) -> Vector:
        def pick(a: int, b: int) -> int:
            return self.circuit.choose(self.circuit.less(b, a), b, a)

        return [_tree(self.cells(node.inputs[0]), pick)]

    def argmax(self, i: int, node: Node) -> Vector:
        c = self.circuit

        def later(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
            more = c.less(a[0], b[0])
            return c.choose(more, b[0], a[0]), c.choose(more, b[1], a[1])

        numbered = [(v, c.const(k)) for k, v in enumerate(self.cells(node.inputs[0]))]
        return [_tree(numbered, later)[1]]

    def div(self, i: int, node: Node) -> Vector:
        """Long division, a bit of the quotient after the other."""
        n, shift = node.type.shape[0], int(node.attrs["shift"])
        pairs = zip(self.spread(node.inputs[0], n), self.spread(node.inputs[1], n), strict=True)
        return [self.quotient(a, b, shift) for a, b in pairs]

    def quotient(self, a: int, b: int, shift: int) -> int:
        """floor(((a << shift) * 2 + b') / 2b'), b' = max(b, 1)."""
        c = self.circuit
        one = c.const(1)
        b = c.choose(c.less(b, one), one, b)
        top = c.linear([Linear({a: 2 << shift}).plus(self.sum_of(b))])[0]
        negative = c.less(top, c.const(0))
        # floor(t / m) = -floor((m - 1 - t) / m) where t < 0
        flipped = c.linear([Linear({}, -1).plus(self.sum_of(b), 2).plus(self.sum_of(top), -1)])[0]
        q = self.divide(c.relu(c.choose(negative, flipped, top)), c.left(b, 1))
        return c.choose(negative, c.minus(c.const(0), q), q)

    def divide(self, a: int, b: int) -> int:
        """floor(a / b) of a >= 0 and b >= 1."""
        c = self.circuit
        rest, quotient = c.const(0), Linear()
        for bit in range(c.cells[a].type.width - 1, -1, -1):
            digit = c.bits(a, bit, 0, 1)
            rest = c.linear([self.sum_of(rest).times(2).plus(self.sum_of(digit))])[0]
            small = c.less(rest, b)
            most = min(c.bounds(rest)[1], c.bounds(b)[1] - 1)
            rest = c.narrow(c.choose(small, rest, c.minus(rest, b)), 0, most)
            quotient = quotient.plus(self.sum_of(c.flip(small)).times(1 << bit))
        return c.linear([quotient])[0]

    def output(self, i: int, node: Node) -> Vector:
        return list(self.cells(node.inputs[0]))


def _tree(items: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    """Neighbours joined, then their results: order is kept, depth is logarithmic."""
    while len(items) > 1:
        pairs = [join(a, b) for a, b in zip(items[::2], items[1::2], strict=False)]
        items = pairs + items[len(pairs) * 2 :]
    return items[0]


def _fixed(node: Node) -> FixedType:
    assert isinstance(node.type.elem, FixedType)
    return node.type.elem


def _twos(value: int) -> int:
    """How often 2 divides ``value``; 62 for 0."""
    return (value & -value).bit_length() - 1 if value else 62


RULES: Mapping[Op, Callable[[_Lowering, int, Node], Vector]] = {
    Op.INPUT: _Lowering.input,
    Op.CONST: _Lowering.const,
    Op.OUTPUT: _Lowering.output,
    Op.MATMUL: _Lowering.matmul,
    Op.DISTANCE: _Lowering.distance,
    Op.SUMSQ: _Lowering.sumsq,
    Op.ADD: _Lowering.add,
    Op.SUB: _Lowering.add,
    Op.MUL: _Lowering.mul,
    Op.SHIFT: _Lowering.shift,
    Op.RELU: _Lowering.relu,
    Op.REQUANT: _Lowering.requant,
    Op.LOOKUP: _Lowering.lookup,
    Op.MIN: _Lowering.least,
    Op.ARGMAX: _Lowering.argmax,
    Op.DIV: _Lowering.div,
}
