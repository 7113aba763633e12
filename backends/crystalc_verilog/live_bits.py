"""Which bits of a circuit become wires, adders and registers once constants and copies are gone.

A net is a bit that a cell computes, or its inverse: cells that only rename bits have none of their
own. What no output needs is left out, bit by bit, as synthesis leaves it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from crystalc_verilog.circuit import Cell
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import EVERYWHERE, Schedule, live_cells

Bit = tuple[int, int]
"""(cell, bit) that a cell computes."""

Net = tuple[int, int, bool] | bool
"""The same, and is it inverted; or a constant."""


@dataclass(frozen=True)
class Adder:
    """Positions of an adder that are needed: where ``both`` operands are wires, where ``one`` is,
    and the whole length of the carry ``chain``.
    """

    both: int
    one: int
    chain: int


class LiveBits:
    """The nets of a scheduled circuit and what needs them."""

    def __init__(self, lowered: Lowered, schedule: Schedule) -> None:
        self.lowered, self.schedule = lowered, schedule
        self.cells = lowered.circuit.cells
        self.live = live_cells(lowered)
        self.nets: dict[int, list[Net]] = {}
        for c in self.live:
            self.nets[c] = self._made(c, self.cells[c])

    def _made(self, c: int, cell: Cell) -> list[Net]:
        """The bits of a cell, the lowest first."""
        width = cell.type.width
        if cell.kind == "const":
            return [bool(cell.low >> k & 1) for k in range(width)]
        if cell.kind == "join":
            return self._joined(cell, width)
        if cell.kind == "add" and not cell.params[2]:
            a, b = self.operands(cell)
            start = _start(a, b)
            own: list[Net] = [(c, k, False) for k in range(start, width)]
            return [x if x is not False else y for x, y in zip(a[:start], b, strict=False)] + own
        if cell.kind == "table":
            return self._looked_up(c, cell)
        if cell.kind not in ("left", "bits", "flip", "lift"):
            return [(c, k, False) for k in range(width)]
        bits = self.nets[cell.args[0]]
        if cell.kind == "left":
            return [*[False] * cell.params[0], *bits]
        if cell.kind == "bits":
            return [*bits, *[bits[-1]] * (cell.params[0] + width)][cell.params[0] :][:width]
        if cell.kind == "flip":
            return [_inverse(n) for n in bits]
        bits = [*bits, *[bits[-1]] * width][:width]
        return [*bits[:-1], _inverse(bits[-1])]

    def _joined(self, cell: Cell, width: int) -> list[Net]:
        bits: list[Net] = []
        for arg, shift in zip(cell.args, cell.params, strict=True):
            bits += [False] * (shift - len(bits))
            bits += self.nets[arg]
        return (bits + [False] * width)[:width]

    def _looked_up(self, c: int, cell: Cell) -> list[Net]:
        """The bits of a table, of which some are constant, or a bit of the index."""
        index, entries = self.nets[cell.args[0]], self.lowered.circuit.contents[cell.params[0]]
        bits: list[Net] = []
        for k in range(cell.type.width):
            column = [bool(v >> k & 1) for v in entries]
            plain = [n for n in (False, True) if all(v == n for v in column)]
            alike = [
                (_inverse(net) if turned else net)
                for j, net in enumerate(index)
                for turned in (False, True)
                if all(v == (bool(i >> j & 1) != turned) for i, v in enumerate(column))
            ]
            bits.append([*plain, *alike, (c, k, False)][0])
        return bits

    def operands(self, cell: Cell) -> tuple[list[Net], list[Net]]:
        """Both operands of an adder, shifted and extended to its width."""
        width, pair = cell.type.width, []
        for arg, shift in zip(cell.args, cell.params, strict=False):
            bits = [*[False] * shift, *self.nets[arg]]
            top = bits[-1] if self.cells[arg].type.signed else False
            pair.append([*bits, *[top] * width][:width])
        return pair[0], pair[1]

    @property
    def until(self) -> Mapping[Bit, int]:
        """The last stage that needs a bit or its inverse; what nothing needs is not there."""
        return self._needs[0]

    @property
    def readers(self) -> Mapping[Bit, int]:
        """How many cells read a bit or its inverse, or outputs are."""
        return self._needs[1]

    @cached_property
    def _needs(self) -> tuple[dict[Bit, int], Counter[Bit]]:
        found: dict[Bit, int] = {}
        readers: Counter[Bit] = Counter()
        last = len(self.schedule.ranks) - 1
        for c in self.lowered.outputs:
            _count(found, readers, self.nets[c], last)
        for c in reversed(self.live):
            for nets in self._read(c, self.cells[c], found):
                _count(found, readers, nets, self.schedule.stage[c])
        return found, readers

    def _read(self, c: int, cell: Cell, found: Mapping[Bit, int]) -> list[Sequence[Net]]:
        """The nets that a cell with bits of its own needs."""
        own = [(c, k) in found for k in range(cell.type.width)]
        if not any(own):
            return []
        if cell.kind == "add":
            a, b = self.operands(cell)
            top, start = len(own) - own[::-1].index(True), 0 if cell.params[2] else _start(a, b)
            return [a[start:top], b[start:top]]
        if cell.kind == "saturate":
            return [self.nets[cell.args[0]][cell.params[0] :]]
        return [self.nets[a] for a in cell.args]

    def needed(self, c: int) -> int:
        """Bits of a cell, its own, that something needs."""
        return sum((c, k) in self.until for k in range(self.cells[c].type.width))

    def adder(self, c: int) -> Adder:
        """The positions of an adder, up to the highest that is needed."""
        a, b = self.operands(self.cells[c])
        minus = self.cells[c].params[2]
        tops = [k + 1 for k in range(len(a)) if (c, k) in self.until]
        start = next((k for k, n in enumerate(b) if n is not False), 0) if minus else _start(a, b)
        pairs = list(zip(a, b, strict=True))[start : max(tops, default=0)]
        wires = [(isinstance(x, tuple), isinstance(y, tuple)) for x, y in pairs]
        return Adder(sum(x and y for x, y in wires), sum(x != y for x, y in wires), len(pairs))

    def inverted(self) -> int:
        """Bits that adders read inverted, those of look-up tables left out."""
        turned: set[Bit] = set()
        for c in self.live:
            if self.cells[c].kind == "add" and self.needed(c):
                nets = [n for pair in self.operands(self.cells[c]) for n in pair]
                turned |= {n[:2] for n in nets if isinstance(n, tuple) and n[2]}
        return sum(self.cells[c].kind not in ("table", "clip") for c, _ in turned)

    def absorbed(self, c: int) -> list[Bit]:
        """Bits that nothing but this adder reads, as its second operand where the first is a wire:
        a look-up table of the adder can compute them.
        """
        pairs = zip(*self.operands(self.cells[c]), strict=True)
        bits = [b[:2] for a, b in pairs if isinstance(a, tuple) and isinstance(b, tuple)]
        return [b for b in bits if self.readers[b] == 1]

    def registers(self, ends: bool = True) -> int:
        """Bits of registers: each bit once a rank, inverted or not. Without ``ends``: none in the
        first and the last rank.
        """
        low, high = (0, len(self.schedule.ranks)) if ends else (1, len(self.schedule.ranks) - 1)
        total = 0
        for (c, _), last in self.until.items():
            if self.cells[c].kind not in EVERYWHERE:
                first = self.schedule.stage[c] + (self.cells[c].kind != "input")
                total += max(0, min(last + 1, high) - max(first, low))
        return total


def _start(a: Sequence[Net], b: Sequence[Net]) -> int:
    """The first place where both operands are more than 0."""
    both = (k for k, pair in enumerate(zip(a, b, strict=True)) if False not in pair)
    return next(both, len(a))


def _inverse(net: Net) -> Net:
    return not net if isinstance(net, bool) else (net[0], net[1], not net[2])


def _count(found: dict[Bit, int], readers: Counter[Bit], nets: Sequence[Net], stage: int) -> None:
    for net in nets:
        if isinstance(net, tuple):
            found[net[:2]] = max(found.get(net[:2], -1), stage)
            readers[net[:2]] += 1
