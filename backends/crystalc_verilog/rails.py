"""Sums of many unsigned cells with few adders in a row.

A piece is a cell that stands at some bit of the sum, to be added or taken off. Pieces that do not
overlap lie side by side in one operand, a rail, and cost nothing; two rails are one adder. Only
bits where both operands have one cost look-up tables, so nothing is ever extended by its sign:
a rail to be taken off is added bit by bit inverted, and the constant that this leaves over is
settled once, modulo the width of the result.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystalc_verilog.circuit import Circuit

TRIES = 4
"""How often the constant is looked for before it gets an adder of its own."""


@dataclass(frozen=True)
class Piece:
    """``+- cell << shift`` of an unsigned cell."""

    cell: int
    shift: int
    negative: bool = False


Rail = list[Piece]


class Heap:
    """Adds pieces, level by level, into one. ``constant`` is what is then missing."""

    def __init__(self, circuit: Circuit, width: int) -> None:
        self.circuit, self.width = circuit, width
        self.constant = 0

    def total(self, pieces: Sequence[Piece], given: int) -> tuple[Piece, bool]:
        """One piece that, with ``constant``, is the sum of ``pieces``; and was ``given``, a
        constant, added on the way, where an operand was to spare?
        """
        left = [(self.circuit.depth[p.cell], k, p) for k, p in enumerate(pieces)]
        heapq.heapify(left)
        level, count, used = 0, len(left), False
        while True:
            now: list[Piece] = []
            while left and left[0][0] <= level:
                now.append(heapq.heappop(left)[2])
            ready = len(now)
            now, here = self.halved(now, 0 if used or left else given)
            used |= here
            if not left and (last := self.whole(now)):
                return last, used
            level = max(level + 1, left[0][0] if left and len(now) == ready else 0)
            for piece in now:
                heapq.heappush(left, (self.circuit.depth[piece.cell], count, piece))
                count += 1

    def whole(self, pieces: Sequence[Piece]) -> Piece | None:
        """The one piece that ``pieces`` are if they lie side by side."""
        if len({p.negative for p in pieces}) > 1 or len(rails := self.rails(pieces)) > 1:
            return None
        return replace(self.joined(rails[0]), negative=pieces[0].negative)

    def halved(self, pieces: Sequence[Piece], given: int) -> tuple[list[Piece], bool]:
        """Rails of ``pieces`` added two by two; and was ``given`` added to the one left over?"""
        plus, minus = (self.rails(p for p in pieces if p.negative == s) for s in (False, True))
        made = [piece for rails in (plus, minus) for piece in self.paired(rails)]
        rest = [*plus, *minus]
        count = len(made) * 2 + len(rest)
        if len(rest) == 2:
            made.append(self.added(*rest))
        elif rest and given and count > 1 and not _odd_later(count):
            return [*made, self.added(self.positive(rest[0]), [self.literal(given)])], True
        elif rest:
            made += rest[0]
        return made, False

    def paired(self, rails: list[Rail]) -> list[Piece]:
        """Sums of two rails each, of which at most one is left. The one that ends lowest goes with
        the one that ends highest: their sum is seldom wider than that.
        """
        rails.sort(key=lambda rail: self.end(rail[-1]))
        return [self.added(rails.pop(0), rails.pop()) for _ in range(len(rails) // 2)]

    def literal(self, value: int) -> Piece:
        """A constant."""
        low = (value & -value).bit_length() - 1 if value else 0
        return Piece(self.circuit.const(value >> low), low)

    def rails(self, pieces: Iterable[Piece]) -> list[Rail]:
        """As few rails as the pieces have bits at any place: each goes where it fits closest."""
        rails: list[Rail] = []
        ends: list[int] = []
        for piece in sorted(pieces, key=lambda p: (p.shift, p.cell)):
            free = [k for k, end in enumerate(ends) if end <= piece.shift]
            k = max(free, key=ends.__getitem__) if free else len(rails)
            if not free:
                rails.append([])
                ends.append(0)
            rails[k].append(piece)
            ends[k] = self.end(piece)
        return rails

    def end(self, piece: Piece) -> int:
        """The place above the highest bit of a piece."""
        return piece.shift + self.circuit.cells[piece.cell].high.bit_length()

    def positive(self, rail: Rail) -> Rail:
        """A rail to be added: inverted if it was to be taken off."""
        return [self.inverted(p) if p.negative else p for p in rail]

    def inverted(self, piece: Piece) -> Piece:
        """-c = (2**w - 1 - c) - (2**w - 1)."""
        cell = self.circuit.flip(piece.cell)
        self.constant -= self.circuit.cells[cell].high << piece.shift
        return Piece(cell, piece.shift)

    def added(self, a: Rail, b: Rail) -> Piece:
        """Two rails as one piece. What is inverted or a table stands second: there it costs
        nothing.
        """
        negative = a[0].negative and b[0].negative
        if not negative:
            a, b = (b, a) if a[0].negative else (a, b)
            a, b = self.positive(a), self.positive(b)
        first, second = self.joined(a), self.joined(b)
        return replace(self.add(first, second), negative=negative)

    def joined(self, rail: Rail) -> Piece:
        """A rail as one cell."""
        low = rail[0].shift
        return Piece(self.circuit.join([(p.cell, p.shift - low) for p in rail]), low)

    def add(self, a: Piece, b: Piece) -> Piece:
        """a + b, modulo the width of the result."""
        outer, c = min(a.shift, b.shift), self.circuit
        if self.end(a) <= b.shift or self.end(b) <= a.shift:
            parts = sorted((p.shift - outer, p.cell) for p in (a, b))
            return Piece(c.join([(cell, shift) for shift, cell in parts]), outer)
        if c.logic(a.cell) and not c.logic(b.cell):
            a, b = b, a
        shifts = (a.shift - outer, b.shift - outer)
        ends = [
            sum(end << s for end, s in zip(pair, shifts, strict=True))
            for pair in zip(c.bounds(a.cell), c.bounds(b.cell), strict=True)
        ]
        made = c.make("add", (a.cell, b.cell), (*shifts, 0), *ends)
        return Piece(c.modulo(made, max(1, self.width - outer)), outer)


def _odd_later(rails: int) -> bool:
    """Will there be an odd number of rails, more than one, once these are added two by two?"""
    while (rails := (rails + 1) // 2) > 1:
        if rails % 2:
            return True
    return False
