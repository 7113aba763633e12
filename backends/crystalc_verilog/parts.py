"""The segments of a folded design as modules: circuits whose registers advance all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crystalc.render import render
from crystalc_verilog.circuit import Cell
from crystalc_verilog.element import Segment, index_bits
from crystalc_verilog.lower import State
from crystalc_verilog.schedule import Schedule
from crystalc_verilog.wires import Wires, literal, wrapped


@dataclass(frozen=True)
class Bus:
    """The states by node, and the wires of the bus that writes them."""

    states: Mapping[int, State]
    address_bits: int
    data_bits: int


@dataclass(frozen=True)
class Part:
    """A module by its ports and body."""

    name: str
    ports: Sequence[str]
    lines: Sequence[str]


class PartWires(Wires):
    """The body of a segment: no handshake, inputs and output without registers of their own."""

    def __init__(self, made: Segment, plan: Schedule, name: str, first: int, bus: Bus) -> None:
        width = made.output.width
        super().__init__(made.lowered, plan, name, bus.address_bits, width)
        self.made, self.first, self.bus = made, first, bus
        self.memories: list[str] = []
        self.last = len(plan.ranks) - 2

    @property
    def clocked(self) -> bool:
        """Has it registers or memories?"""
        return any(self.schedule.ranks[1 : self.last + 1]) or bool(self.made.states)

    def part(self) -> str:
        """The module."""
        ports = ["input  wire clk", "input  wire advance"] if self.clocked else []
        if self.made.states:
            ports += [
                "input  wire cfg_write",
                f"input  wire [{self.bus.address_bits - 1}:0] cfg_address",
                f"input  wire [{self.bus.data_bits - 1}:0] cfg_data",
            ]
        cells = zip(self.made.ports, self.lowered.inputs, strict=True)
        ports += [f"input  wire {self.span(c)}{name}" for name, c in cells]
        ports.append(f"output wire [{self.output_width - 1}:0] y")
        return render("verilog/part.v.j2", Part(self.name, ports, self.lines()))

    def lines(self) -> list[str]:
        out = [
            f"wire {self.span(c)}{self.at(c, 0)} = {name};"
            for name, c in zip(self.made.ports, self.lowered.inputs, strict=True)
        ]
        by_stage: dict[int, list[int]] = {}
        for c, stage in self.schedule.stage.items():
            by_stage.setdefault(stage, []).append(c)
        for r in range(self.last + 1):
            out += self.rank(r) if r else []
            for c in by_stage.get(r, []):
                out += self.cell(c)
        if self.clocked and not any(self.schedule.ranks[1 : self.last + 1]):
            out.append("wire unused_advance = &{1'b0, advance};")
        for state in self.made.states:
            if self.bus.states[state].type.width < self.bus.data_bits:
                out.append("wire unused_data = &{1'b0, cfg_data};")
                break
        return [*out, f"assign y = {self.extended(self.lowered.outputs[0], self.last)};"]

    def cell(self, c: int) -> list[str]:
        """A table of single bits is a sum of cases: tools build worse from a ``case``."""
        cell = self.circuit.cells[c]
        if cell.kind != "table" or cell.type.width > 1:
            return super().cell(c)
        entries = next(e for e, n in self.circuit.tables.items() if n == cell.params[0])
        wanted = int(2 * sum(entries) <= len(entries))
        index = self.read(cell.args[0], self.schedule.stage[c])
        bits = self.width(cell.args[0])
        cases = [f"{index} == {bits}'d{k}" for k, v in enumerate(entries) if v == wanted]
        line = f"wire v{c:04d} = {'' if wanted else '~'}|"
        return wrapped(line, cases, ";")

    def rank(self, r: int) -> list[str]:
        cells = self.schedule.ranks[r]
        if not cells:
            return []
        out = [f"reg {self.span(c)}{self.at(c, r)};" for c in cells]
        out.append("always @(posedge clk) if (advance) begin")
        return [*out, *(f"    {self.at(c, r)} <= {self.read(c, r - 1)};" for c in cells), "end"]

    def memory(self, cell: Cell) -> tuple[str, list[str]]:
        state = self.bus.states[cell.params[0]]
        name = f"{self.name}_s{state.node}"
        self.memories.append(store(name, state, self.first, self.bus, clocked=False))
        return name, ["clk", "cfg_write", "cfg_address", f"cfg_data[{state.type.width - 1}:0]"]


@dataclass(frozen=True)
class Ram:
    """A memory with one port to write and one to read; ``lines`` give it its first content.
    Of the bus addresses it takes ``count`` from ``base`` on, and puts them at ``first``.
    """

    name: str
    index_bits: int
    width: int
    address_bits: int
    base: int
    count: int
    first: int
    clocked: bool
    lines: Sequence[str]
    words: int
    decoded: bool


def ram(name: str, words: Sequence[int], width: int) -> str:
    """A clocked memory of ``words`` whose address to write is that of the word."""
    bits = index_bits(len(words))
    full = 1 << bits
    lines = _initial(words, width, full)
    made = Ram(name, bits, width, bits, 0, full, 0, True, lines, full, decoded=False)
    return render("verilog/ram.v.j2", made)


@dataclass(frozen=True)
class Rom:
    """A memory that is only read."""

    name: str
    index_bits: int
    width: int
    words: int
    lines: Sequence[str]


def rom(name: str, words: Sequence[int], width: int, ports: int = 2) -> str:
    """A clocked memory of ``words`` with two ports to read, or a block of it with one."""
    bits = index_bits(len(words))
    made = Rom(name, bits, width, 1 << bits, _initial(words, width, 1 << bits))
    return render("verilog/two.v.j2" if ports == 2 else "verilog/block.v.j2", made)


def store(name: str, state: State, first: int, bus: Bus, clocked: bool) -> str:
    """The memory of an active constant that is read by the low bits of an element's address, and
    within a row (of a table) by more.
    """
    row = state.shape[1] if len(state.shape) > 1 else 1
    rows = [list(state.initial[k : k + row]) for k in range(0, state.words, row)]
    size = index_bits(len(rows)) if len(rows) > 1 or row == 1 else 0
    bits = size + row.bit_length() - 1
    start = (first % (1 << size)) * row
    full = 1 << bits
    words = [0] * full
    for k, v in enumerate(state.initial):
        words[(start + k) % full] = v
    made = Ram(
        name,
        bits,
        state.type.width,
        bus.address_bits,
        state.address,
        state.words,
        start,
        clocked,
        _initial(words, state.type.width, full),
        full,
        decoded=bool(state.address or start or state.words < 1 << bus.address_bits),
    )
    return render("verilog/ram.v.j2", made)


def _initial(words: Sequence[int], width: int, full: int) -> list[str]:
    """The first content, a few words a line."""
    whole = [*words, *[0] * (full - len(words))]
    items = [f"store[{k}] = {literal(int(v), width)};" for k, v in enumerate(whole)]
    return [" ".join(items[k : k + 4]) for k in range(0, full, 4)]
