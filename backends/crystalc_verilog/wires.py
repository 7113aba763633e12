"""Cells as Verilog: one instance of a hand-written primitive, or one wire, for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from crystalc_verilog.circuit import Cell, Circuit
from crystalc_verilog.lower import Lowered, State
from crystalc_verilog.schedule import EVERYWHERE, Schedule

PRIMITIVES: Mapping[str, str] = {
    "add": "add.v",
    "mul": "mul.v",
    "bits": "bits.v",
    "saturate": "saturate.v",
    "relu": "relu.v",
    "abs": "abs.v",
    "less": "less.v",
    "choose": "choose.v",
    "memory": "memory.v",
}
"""Kinds of cells that are instances, and the file of the primitive."""

COLUMNS = 96


def literal(value: int, width: int) -> str:
    """``value`` as ``width`` bits: 8'hff."""
    return f"{width}'h{value & ((1 << width) - 1):x}"


def packed(values: Iterable[int], width: int) -> str:
    """Numbers side by side, the first in the lowest bits, as one literal."""
    total, count = 0, 0
    for value in values:
        total |= (value & ((1 << width) - 1)) << (count * width)
        count += 1
    return literal(total, count * width)


def wrapped(before: str, items: Sequence[str], after: str) -> list[str]:
    """``before{items}after`` over as many lines as it takes."""
    lines, line = [], before + "{"
    for k, item in enumerate(items):
        text = item + ("," if k < len(items) - 1 else "}" + after)
        if len(line) + 1 + len(text) > COLUMNS:
            lines.append(line)
            line = "   "
        line += " " + text if not line.endswith("{") else text
    return [*lines, line]


@dataclass(frozen=True)
class Table:
    """One ``case``: ``lines`` of its items, and the most frequent entry."""

    name: str
    index_width: int
    width: int
    lines: Sequence[str]
    default: str


def table(name: str, entries: Sequence[int], width: int, assign: str = "=") -> Table:
    """The ``case`` of ``entries`` of ``width`` bits; ``assign`` is ``<=`` in a clocked one."""
    default = Counter(entries).most_common(1)[0][0]
    index_width = max(1, (len(entries) - 1).bit_length())
    items = [
        f"{index_width}'d{k}: y {assign} {literal(v, width)};"
        for k, v in enumerate(entries)
        if v != default
    ]
    per_line = max(1, 80 // (len(items[-1]) + 1)) if items else 1
    lines = [" ".join(items[k : k + per_line]) for k in range(0, len(items), per_line)]
    return Table(name, index_width, width, lines, literal(default, width))


LOOKUP_LIMIT = 256
"""A table of at most this many entries is written bit by bit."""


def lookup(name: str, entries: Sequence[int], width: int) -> Table:
    """The same table as a constant for each bit of its entries."""
    default = Counter(entries).most_common(1)[0][0]
    index_width = max(1, (len(entries) - 1).bit_length())
    size = 1 << index_width
    every = [*entries, *[default] * (size - len(entries))]
    lines = []
    for bit in range(width):
        ones = literal(sum((v >> bit & 1) << k for k, v in enumerate(every)), size)
        lines.append(f"localparam [{size - 1}:0] B{bit} = {ones};")
    lines += wrapped("assign y = ", [f"B{bit}[index]" for bit in reversed(range(width))], ";")
    return Table(name, index_width, width, lines, literal(default, width))


class Wires:
    """Writes the body of the module: ranks of registers, and the cells between them."""

    def __init__(
        self,
        lowered: Lowered,
        schedule: Schedule,
        name: str,
        address_bits: int,
        output_width: int,
    ) -> None:
        self.circuit: Circuit = lowered.circuit
        self.lowered, self.schedule, self.name = lowered, schedule, name
        self.address_bits, self.output_width = address_bits, output_width
        self.states = {s.node: s for s in lowered.states}
        self.held = [set(rank) for rank in schedule.ranks]

    def lines(self) -> list[str]:
        """The whole body."""
        out = self.control()
        for state in self.lowered.states:
            if not state.memory:
                out += ["", *self.bank(state)]
        by_stage: dict[int, list[int]] = {}
        for c, stage in self.schedule.stage.items():
            by_stage.setdefault(stage, []).append(c)
        for r in range(len(self.schedule.ranks)):
            out += ["", *self.rank(r)]
            for c in by_stage.get(r, []):
                out += self.cell(c)
        return [*out, "", *self.ends()]

    def control(self) -> list[str]:
        """Valid and ready of every rank; a write waits until nothing is on its way."""
        n = len(self.schedule.ranks)
        out = [f"wire valid_{k}, ready_{k};" for k in range(n + 1)]
        free = " & ~cfg_valid" if self.states else ""
        out += [
            f"assign valid_0 = in_valid{free};",
            f"assign in_ready = ready_0{free};",
            f"assign out_valid = valid_{n};",
            f"assign ready_{n} = out_ready;",
        ]
        if self.states:
            busy = " | ".join(f"valid_{k}" for k in range(1, n + 1))
            out += [f"assign cfg_ready = ~({busy});", "wire cfg_write = cfg_valid & cfg_ready;"]
        return out

    def bank(self, state: State) -> list[str]:
        width, bits = state.type.width, state.words * state.type.width
        wire = f"s{state.node:04d}"
        return [
            f"wire [{bits - 1}:0] {wire};",
            f"crystal_bank #({state.words}, {width}, {self.address_bits}, {state.address},",
            f"    {packed(state.initial, width)})",
            f"    bank_{state.node:04d}",
            f"    (clk, cfg_write, cfg_address, cfg_data[{width - 1}:0], {wire});",
            f"wire unused_{wire} = &{{1'b0, {wire}}};",
        ]

    def rank(self, r: int) -> list[str]:
        """The registers before stage ``r``."""
        cells = self.schedule.ranks[r]
        ports = f"valid_{r}, ready_{r}, load_{r}, valid_{r + 1}, ready_{r + 1}"
        out = [f"// rank {r}: {sum(self.width(c) for c in cells)} bits", f"wire load_{r};"]
        out.append(f"crystal_rank rank_{r} (clk, rst, {ports});")
        out += [f"reg {self.span(c)}{self.at(c, r)};" for c in cells]
        out.append(f"always @(posedge clk) if (load_{r}) begin")
        out += [f"    {self.at(c, r)} <= {self.source(c, r)};" for c in cells]
        return [*out, "end"]

    def source(self, c: int, r: int) -> str:
        """What rank ``r`` takes for cell ``c``."""
        cell = self.circuit.cells[c]
        if r == 0:
            low = cell.params[0]
            return f"in_data[{low + cell.type.width - 1}:{low}]"
        return self.read(c, r - 1)

    def read(self, c: int, stage: int) -> str:
        """The name under which stage ``stage`` reads cell ``c``."""
        cell = self.circuit.cells[c]
        if cell.kind == "const":
            return literal(cell.low, cell.type.width)
        if cell.kind == "state":
            node, k = cell.params
            width = cell.type.width
            return f"s{node:04d}[{(k + 1) * width - 1}:{k * width}]"
        if cell.kind != "input" and self.schedule.stage[c] == stage:
            return f"v{c:04d}"
        return self.at(c, stage)

    def extended(self, c: int, last: int) -> str:
        """An output with the width of the port."""
        cell, name = self.circuit.cells[c], self.read(c, last)
        if cell.kind == "const":
            return literal(cell.low, self.output_width)
        more = self.output_width - self.width(c)
        if not more:
            return name
        return f"{{{more}{{{self.sign_bit(c, name)}}}}}, {name}"

    def sign_bit(self, c: int, name: str) -> str:
        """The wire that a cell read as ``name`` is extended with."""
        cell = self.circuit.cells[c]
        if not cell.type.signed:
            return "1'b0"
        if cell.kind == "state":
            node, k = cell.params
            return f"s{node:04d}[{(k + 1) * cell.type.width - 1}]"
        return f"{name}[{cell.type.width - 1}]"

    def at(self, c: int, r: int) -> str:
        return f"v{c:04d}_{r}"

    def width(self, c: int) -> int:
        return self.circuit.cells[c].type.width

    def sign(self, c: int) -> int:
        return int(self.circuit.cells[c].type.signed)

    def span(self, c: int) -> str:
        return f"[{self.width(c) - 1}:0] "

    def cell(self, c: int) -> list[str]:
        """The declaration of a cell's wires and what drives them."""
        cell = self.circuit.cells[c]
        if cell.kind in EVERYWHERE or cell.kind == "input":
            return []
        args = [self.read(a, self.schedule.stage[c]) for a in cell.args]
        out = [f"wire {self.span(c)}v{c:04d};"]
        if cell.kind == "left":
            out.append(f"assign v{c:04d} = {{{args[0]}, {literal(0, cell.params[0])}}};")
        elif cell.kind == "flip":
            out.append(f"assign v{c:04d} = ~{args[0]};")
        elif cell.kind == "lift":
            width = self.width(c)
            out.append(f"assign v{c:04d} = {args[0]} ^ {literal(1 << (width - 1), width)};")
        elif cell.kind == "clip":
            below, above, inside = args
            first, last = (literal(v, self.width(c)) for v in cell.params)
            out.append(f"assign v{c:04d} = {below} ? {first} : |{above} ? {last} : {inside};")
        elif cell.kind == "join":
            out += wrapped(f"assign v{c:04d} = ", self.joined(cell, args), ";")
        else:
            module, ports = self.instance(c, cell)
            out.append(f"{module} c{c:04d} ({', '.join([*ports, *args])}, v{c:04d});")
        return out

    def joined(self, cell: Cell, args: Sequence[str]) -> list[str]:
        """The parts of a join, the highest first, with zeros in the gaps."""
        parts, end = [], 0
        for arg, shift, text in zip(cell.args, cell.params, args, strict=True):
            parts += [literal(0, shift - end)] * (shift > end) + [text]
            end = shift + self.width(arg)
        return parts[::-1]

    def instance(self, c: int, cell: Cell) -> tuple[str, list[str]]:
        """Module with its parameters, and the ports before the operands."""
        if cell.kind == "table":
            return f"{self.name}_t{cell.params[0]:04d}", []
        if cell.kind == "memory":
            return self.memory(cell)
        parameters = PARAMETERS[cell.kind](self, c, cell)
        return f"crystal_{cell.kind} #({', '.join(map(str, parameters))})", []

    def memory(self, cell: Cell) -> tuple[str, list[str]]:
        node, first, words = cell.params
        state, width = self.states[node], cell.type.width
        index = self.width(cell.args[0])
        numbers = (words.bit_length() - 1, index, width, self.address_bits, state.address + first)
        initial = packed(state.initial[first : first + words], width)
        ports = ["clk", "cfg_write", "cfg_address", f"cfg_data[{width - 1}:0]"]
        return f"crystal_memory #({', '.join(map(str, numbers))}, {initial})", ports

    def ends(self) -> list[str]:
        """The outputs, and the inputs that no output needs."""
        last = len(self.schedule.ranks) - 1
        names = [self.extended(c, last) for c in self.lowered.outputs]
        out = wrapped("assign out_data = ", names[::-1], ";")
        idle = [c for c in self.lowered.inputs if c not in self.held[0]]
        if idle:
            out += wrapped(
                "wire unused_inputs = &", ["1'b0", *(self.source(c, 0) for c in idle)], ";"
            )
        return out


def _operands(w: Wires, cell: Cell) -> list[tuple[int, int]]:
    return [(w.width(a), w.sign(a)) for a in cell.args]


def _add(w: Wires, c: int, cell: Cell) -> list[int]:
    (wa, sa), (wb, sb) = _operands(w, cell)
    left, right, minus = cell.params
    return [wa, sa, left, wb, sb, right, minus, w.width(c)]


def _two(w: Wires, c: int, cell: Cell) -> list[int]:
    (wa, sa), (wb, sb) = _operands(w, cell)[-2:]
    return [wa, sa, wb, sb] if cell.kind == "less" else [wa, sa, wb, sb, w.width(c)]


def _one(w: Wires, c: int, cell: Cell) -> list[int]:
    return [w.width(cell.args[0]), w.width(c)]


def _bits(w: Wires, c: int, cell: Cell) -> list[int]:
    return [w.width(cell.args[0]), cell.params[0], w.width(c)]


def _saturate(w: Wires, c: int, cell: Cell) -> list[int]:
    [(wa, sa)] = _operands(w, cell)
    return [wa, sa, cell.params[0], w.width(c), w.sign(c)]


PARAMETERS: Mapping[str, Callable[[Wires, int, Cell], list[int]]] = {
    "add": _add,
    "mul": _two,
    "less": _two,
    "choose": _two,
    "relu": _one,
    "abs": _one,
    "bits": _bits,
    "saturate": _saturate,
}
