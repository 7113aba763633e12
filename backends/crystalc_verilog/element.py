"""What stands between two matrix products of a folded design: one element after another.

Every value with one number per output becomes a function of the running index: constants are
tables of it. The result is a circuit of three inputs: sum, sum of squares, index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crystalc.diagnostics import CompileError, refuse
from crystalc.ir import FixedType, Graph, Node, Op
from crystalc_verilog.circuit import Circuit, Linear
from crystalc_verilog.cmvm import Term
from crystalc_verilog.files import fixed
from crystalc_verilog.lower import Lowered

PRODUCTS = frozenset({Op.MATMUL, Op.DISTANCE})

Value = int | Linear


def post(graph: Graph, value: int, size: int) -> tuple[Lowered, int, int | None]:
    """The circuit of node ``value`` for one element; its MATMUL or DISTANCE, and its SUMSQ.

    Raises CompileError, located, where an op needs more than that.
    """
    made = _Element(graph, size)
    root, square = made.ends(value)
    widths = [made.field(root)]
    widths.append(made.field(square) if square is not None else FixedType(False, 1))
    index = FixedType(False, index_bits(size))
    inputs, at = [], 0
    for elem, high in ((widths[0], None), (widths[1], None), (index, size - 1)):
        top = elem.high if high is None else high
        inputs.append(made.circuit.make("input", (), (at,), elem.low, max(top, elem.low + 1)))
        at += elem.width
    made.values[root] = inputs[0]
    if square is not None:
        made.values[square] = inputs[1]
    made.index = inputs[2]
    return Lowered(made.circuit, tuple(inputs), (made.cell(value),), ()), root, square


def index_bits(size: int) -> int:
    """Wires of an index below ``size``."""
    return max(1, (size - 1).bit_length())


def unfit(node: Node) -> CompileError:
    """The refusal of an op that a folded design has no unit for."""
    what = "active neurons" if node.is_state else f"'{node.op.value}' here"
    hint = "use -O arch=parallel"
    return refuse(f"-O arch=folded has no place for {what}", node.loc.key, node.loc.index, hint)


class _Element:
    def __init__(self, graph: Graph, size: int) -> None:
        self.graph, self.size = graph, size
        self.circuit = Circuit()
        self.values: dict[int, Value] = {}
        self.index = -1

    def field(self, i: int) -> FixedType:
        return fixed(self.graph[i].type.elem)

    def ends(self, value: int) -> tuple[int, int | None]:
        """The one product and the at most one SUMSQ that ``value`` is computed from."""
        found: dict[Op, set[int]] = {Op.MATMUL: set(), Op.SUMSQ: set()}
        todo = [value]
        while todo:
            i = todo.pop()
            node = self.graph[i]
            if node.op in PRODUCTS or node.op is Op.SUMSQ:
                found[Op.SUMSQ if node.op is Op.SUMSQ else Op.MATMUL].add(i)
            elif node.op in RULES:
                todo += node.inputs
            elif not node.is_frozen_const:
                raise unfit(node)
        products, squares = sorted(found[Op.MATMUL]), sorted(found[Op.SUMSQ])
        if len(products) != 1 or len(squares) > 1:
            raise unfit(self.graph[value])
        if squares and self.graph[squares[0]].inputs[0] != self.graph[products[0]].inputs[0]:
            raise unfit(self.graph[squares[0]])
        return products[0], squares[0] if squares else None

    def value(self, i: int) -> Value:
        if i not in self.values:
            node = self.graph[i]
            made = self.const(node) if node.op is Op.CONST else RULES[node.op](self, node)
            self.values[i] = made
            if len(self.graph.users(i)) > 1:
                self.cell(i)
        return self.values[i]

    def cell(self, i: int) -> int:
        """The value as a cell, no wider than its type."""
        made = self.value(i)
        if isinstance(made, Linear):
            [made] = self.circuit.linear([made])
        elem = self.field(i)
        cell = self.circuit.narrow(made, elem.low, elem.high)
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
        if len(entries) == 1:
            return self.circuit.const(entries[0])
        return self.circuit.table(self.index, entries)

    def const(self, node: Node) -> int:
        return self.indexed([int(v) for v in node.data()])

    def add(self, node: Node) -> Linear:
        a, b = (self.sum(j) for j in node.inputs)
        return a.plus(b, 1 if node.op is Op.ADD else -1)

    def shift(self, node: Node) -> Linear:
        return self.sum(node.inputs[0]).times(1 << int(node.attrs["left"]))

    def mul(self, node: Node) -> int:
        return self.circuit.mul(self.cell(node.inputs[0]), self.cell(node.inputs[1]))

    def relu(self, node: Node) -> int:
        return self.circuit.relu(self.cell(node.inputs[0]))

    def requant(self, node: Node) -> int:
        factors = self.graph[node.inputs[1]]
        if not factors.is_frozen_const:
            raise unfit(factors)
        weights = [int(v) for v in factors.data()]
        free = min([int(node.attrs["shift"]), *(_twos(w) for w in weights)])
        shift = int(node.attrs["shift"]) - free
        scaled = self.scaled(node.inputs[0], [w >> free for w in weights])
        [cell] = self.circuit.linear([scaled.plus(Linear({}, 1 << shift >> 1))])
        return self.circuit.saturate(cell, shift, fixed(node.type.elem))

    def scaled(self, i: int, weights: list[int]) -> Linear:
        """The value times weights[index]: a choice between shifts where those will do."""
        kinds = sorted(set(weights))
        if len(kinds) == 1:
            return self.sum(i).times(kinds[0])
        x = self.cell(i)
        if any(abs(w) & (abs(w) - 1) for w in kinds):
            return self.as_sum(self.circuit.mul(x, self.indexed(weights)))
        options = [self.circuit.linear([self.as_sum(x).times(w)])[0] for w in kinds]
        made = options[0]
        for kind, option in zip(kinds[1:], options[1:], strict=True):
            chosen = self.indexed([int(w == kind) for w in weights])
            made = self.circuit.choose(chosen, option, made)
        return self.as_sum(made)

    def lookup(self, node: Node) -> int:
        """One table over neuron and index together."""
        index, table = self.cell(node.inputs[0]), self.graph[node.inputs[1]]
        if not table.is_frozen_const:
            raise unfit(table)
        rows = table.data().tolist()
        if len(rows) == 1:
            return self.circuit.table(index, rows[0])
        bits = len(rows[0]).bit_length() - 1
        address = self.circuit.add(Term(self.index, bits), Term(index, 0))
        return self.circuit.table(self.circuit.settle(address), [v for row in rows for v in row])


def _twos(value: int) -> int:
    """How often 2 divides ``value``; 62 for 0."""
    return (value & -value).bit_length() - 1 if value else 62


RULES: Mapping[Op, Callable[[_Element, Node], Value]] = {
    Op.ADD: _Element.add,
    Op.SUB: _Element.add,
    Op.SHIFT: _Element.shift,
    Op.MUL: _Element.mul,
    Op.RELU: _Element.relu,
    Op.REQUANT: _Element.requant,
    Op.LOOKUP: _Element.lookup,
}
