"""What stands after a sum in a folded design: one element after another.

Every constant with one number per output is a table of the running index. Look-ups and divisions
are units of their own, so the circuit of a pass is cut into segments at them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crystalc.ir import FixedType, Graph, Node, Op
from crystalc_verilog.circuit import Circuit, Linear
from crystalc_verilog.files import fixed
from crystalc_verilog.head import Head
from crystalc_verilog.lower import Lowered
from crystalc_verilog.passes import elem, unfit

Value = int | Linear


@dataclass(frozen=True)
class Segment:
    """A circuit with one output. ``ports``: what each of its inputs is: value, square, least or
    index; ``states``: the active constants it reads by index.
    """

    lowered: Lowered
    ports: tuple[str, ...]
    states: tuple[int, ...]

    @property
    def output(self) -> FixedType:
        """Type of the result."""
        return self.lowered.circuit.cells[self.lowered.outputs[0]].type


def index_bits(size: int) -> int:
    """Wires of an index below ``size``."""
    return max(1, (size - 1).bit_length())


def rotated(entries: list[int], first: int) -> list[int]:
    """The table of ``entries`` by the low bits of an address that begins at ``first``."""
    full = 1 << index_bits(len(entries))
    padded = entries + [entries[0]] * (full - len(entries))
    return [padded[(k - first) % full] for k in range(full)]


def segment(
    graph: Graph, goal: int, start: int, source: Head | FixedType, size: int, first: int
) -> Segment:
    """The circuit of node ``goal`` from node ``start``, whose number comes from the lanes as
    ``source`` says, or as it is. ``first``: the address of element 0.
    """
    made = _Element(graph, size, first, start)
    made.begin(source)
    out = made.cell(goal)
    inputs = tuple(made.ports.values())
    return Segment(
        Lowered(made.circuit, inputs, (out,), ()), tuple(made.ports), tuple(sorted(made.states))
    )


class _Element:
    def __init__(self, graph: Graph, size: int, first: int, start: int) -> None:
        self.graph, self.size, self.first, self.start = graph, size, first, start
        self.circuit = Circuit()
        self.values: dict[int, Value] = {}
        self.ports: dict[str, int] = {}
        self.states: set[int] = set()

    def port(self, name: str, low: int, high: int) -> int:
        if name not in self.ports:
            order = ("value", "square", "least", "index").index(name)
            self.ports[name] = self.circuit.make("input", (), (order,), low, max(high, low + 1))
        return self.ports[name]

    @property
    def index(self) -> int:
        return self.port("index", 0, (1 << index_bits(self.size)) - 1)

    def begin(self, source: Head | FixedType) -> None:
        """The value of the start node."""
        if isinstance(source, FixedType):
            self.values[self.start] = self.port("value", source.low, source.high)
            return
        total = Linear({self.port("value", source.low, source.high): 1})
        if source.square:
            total = total.plus(Linear({self.square(): 1}), source.square)
        scaled = self.scaled(total, [1 << s for s in source.scales])
        if source.shift is None:
            self.values[self.start] = scaled
            return
        [cell] = self.circuit.linear([scaled])
        self.values[self.start] = self.circuit.saturate(
            cell, source.shift, elem(self.graph, self.start)
        )

    def square(self) -> int:
        kinds = [elem(self.graph, i) for i in self.graph.find(Op.SUMSQ)]
        return self.port("square", 0, max(k.high for k in kinds))

    def value(self, i: int) -> Value:
        if i not in self.values:
            node = self.graph[i]
            if node.op not in RULES:
                raise unfit(node)
            self.values[i] = RULES[node.op](self, i, node)
            if len(self.graph.users(i)) > 1:
                self.cell(i)
        return self.values[i]

    def cell(self, i: int) -> int:
        """The value as a cell, no wider than its type."""
        made = self.value(i)
        if isinstance(made, Linear):
            [made] = self.circuit.linear([made])
        kind = elem(self.graph, i)
        cell = self.circuit.narrow(made, kind.low, kind.high)
        self.values[i] = cell
        return cell

    def sum(self, i: int) -> Linear:
        made = self.value(i)
        return made if isinstance(made, Linear) else self.as_sum(made)

    def as_sum(self, cell: int) -> Linear:
        known = self.circuit.cells[cell]
        return Linear({}, known.low) if known.kind == "const" else Linear({cell: 1})

    def indexed(self, entries: list[int]) -> int:
        """entries[index], or the one entry there is."""
        if len(set(entries)) == 1:
            return self.circuit.const(entries[0])
        return self.circuit.table(self.index, rotated(entries, self.first))

    def const(self, i: int, node: Node) -> int:
        if node.data().ndim != 1:
            raise unfit(node)
        if not node.is_state:
            return self.indexed([int(v) for v in node.data()])
        self.states.add(i)
        kind = fixed(node.type.elem)
        alone = node.data().size == 1 < self.size
        where = self.circuit.const(self.first % 2) if alone else self.index
        return self.circuit.make("memory", (where,), (i,), kind.low, kind.high)

    def sumsq(self, i: int, node: Node) -> int:
        return self.square()

    def least(self, i: int, node: Node) -> int:
        kind = elem(self.graph, node.inputs[0])
        return self.port("least", kind.low, kind.high)

    def add(self, i: int, node: Node) -> Linear:
        a, b = (self.sum(j) for j in node.inputs)
        return a.plus(b, 1 if node.op is Op.ADD else -1)

    def shift(self, i: int, node: Node) -> Linear:
        return self.sum(node.inputs[0]).times(1 << int(node.attrs["left"]))

    def mul(self, i: int, node: Node) -> int:
        return self.circuit.mul(self.cell(node.inputs[0]), self.cell(node.inputs[1]))

    def relu(self, i: int, node: Node) -> int:
        return self.circuit.relu(self.cell(node.inputs[0]))

    def requant(self, i: int, node: Node) -> int:
        factors, shift = self.graph[node.inputs[1]], int(node.attrs["shift"])
        if factors.is_frozen_const:
            weights = [int(v) for v in factors.data()]
            free = min([shift, *(_twos(w) for w in weights)])
            shift -= free
            scaled = self.scaled(self.sum(node.inputs[0]), [w >> free for w in weights])
        else:
            x, factor = self.cell(node.inputs[0]), self.cell(node.inputs[1])
            scaled = self.as_sum(self.circuit.mul(x, factor))
        [cell] = self.circuit.linear([scaled.plus(Linear({}, 1 << shift >> 1))])
        return self.circuit.saturate(cell, shift, fixed(node.type.elem))

    def scaled(self, total: Linear, weights: list[int]) -> Linear:
        """total * weights[index]: a choice between shifts where those will do."""
        kinds = sorted(set(weights))
        if len(kinds) == 1:
            return total.times(kinds[0])
        [x] = self.circuit.linear([total])
        if any(abs(w) & (abs(w) - 1) for w in kinds):
            return self.as_sum(self.circuit.mul(x, self.indexed(weights)))
        options = [self.circuit.linear([self.as_sum(x).times(w)])[0] for w in kinds]
        made = options[0]
        for kind, option in zip(kinds[1:], options[1:], strict=True):
            chosen = self.indexed([int(w == kind) for w in weights])
            made = self.circuit.choose(chosen, option, made)
        return self.as_sum(made)


def _twos(value: int) -> int:
    """How often 2 divides ``value``; 62 for 0."""
    return (value & -value).bit_length() - 1 if value else 62


RULES: Mapping[Op, Callable[[_Element, int, Node], Value]] = {
    Op.CONST: _Element.const,
    Op.SUMSQ: _Element.sumsq,
    Op.MIN: _Element.least,
    Op.ADD: _Element.add,
    Op.SUB: _Element.add,
    Op.SHIFT: _Element.shift,
    Op.MUL: _Element.mul,
    Op.RELU: _Element.relu,
    Op.REQUANT: _Element.requant,
}
