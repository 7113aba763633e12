"""A circuit of scalar integer cells: exact intervals, shared by content, with a depth each.

A cell's value is known to lie in ``low..high`` for every input and every state, so its wires are
as many as that takes and no adder ever overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crystalc.ir import FixedType
from crystalc.ranges import smallest_type
from crystalc_verilog.cmvm import Pair, Term, share
from crystalc_verilog.rails import TRIES, Heap, Piece
from crystalc_verilog.reach import reach

TABLE_LIMIT = 64
"""A function of at most this many values is a table: one 6-input look-up per bit."""

WIRES = frozenset({"left", "bits", "flip", "lift", "join"})
"""Kinds that are no logic of their own."""

DEPTH: Mapping[str, int] = {
    "input": 0,
    "const": 0,
    "state": 0,
    "left": 0,
    "bits": 0,
    "flip": 0,
    "lift": 0,
    "join": 0,
    "add": 1,
    "saturate": 1,
    "clip": 1,
    "relu": 1,
    "abs": 1,
    "less": 1,
    "choose": 1,
    "table": 1,
    "memory": 1,
    "mul": 3,
}
"""Depth of a cell in adders."""

LATE = 2
"""A term that is so many adders deeper than another is added last."""

WIDEST = 1 << 10
"""Bits that no sum has."""


@dataclass(frozen=True)
class Cell:
    """``args`` are cells, ``params`` integers whose meaning depends on ``kind`` (see Circuit)."""

    kind: str
    args: tuple[int, ...]
    params: tuple[int, ...]
    low: int
    high: int

    @property
    def type(self) -> FixedType:
        """The narrowest format that holds every value."""
        return smallest_type(self.low, self.high, 0)


@dataclass(frozen=True)
class Linear:
    """sum of weight * cell, plus ``offset``."""

    weights: Mapping[int, int] = field(default_factory=dict)
    offset: int = 0

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        """self + factor * other."""
        total = dict(self.weights)
        for cell, weight in other.weights.items():
            total[cell] = total.get(cell, 0) + factor * weight
        kept = {cell: weight for cell, weight in total.items() if weight}
        return Linear(kept, self.offset + factor * other.offset)

    def times(self, factor: int) -> Linear:
        """factor * self."""
        return Linear().plus(self, factor)


@dataclass(frozen=True)
class Value:
    """An unsigned cell that stands for its number less ``bias``."""

    cell: int
    bias: int


class Circuit:
    """Cells in order of definition. Methods return a cell's number."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.depth: list[int] = []
        self.tables: dict[tuple[int, ...], int] = {}
        self.contents: list[tuple[int, ...]] = []
        self.sums: dict[int, Linear] = {}
        self._known: dict[Cell, int] = {}

    def make(
        self, kind: str, args: Sequence[int], params: Sequence[int], low: int, high: int
    ) -> int:
        """The cell, or the one that is there already; a constant when it has one value."""
        if low == high and kind != "const":
            return self.const(low)
        cell = Cell(kind, tuple(args), tuple(params), low, high)
        if cell not in self._known:
            self._known[cell] = len(self.cells)
            self.cells.append(cell)
            self.depth.append(DEPTH[kind] + max((self.depth[a] for a in args), default=0))
        return self._known[cell]

    def const(self, value: int) -> int:
        """A literal."""
        return self.make("const", (), (), value, value)

    def is_const(self, a: int) -> bool:
        """Has the cell one value only?"""
        return self.cells[a].kind == "const"

    def bounds(self, a: int) -> tuple[int, int]:
        """Least and largest value."""
        return self.cells[a].low, self.cells[a].high

    def left(self, a: int, shift: int) -> int:
        """a << shift: wires."""
        low, high = self.bounds(a)
        return self.make("left", (a,), (shift,), low << shift, high << shift) if shift else a

    def right(self, a: int, shift: int) -> int:
        """floor(a / 2**shift): wires."""
        low, high = self.bounds(a)
        return self.bits(a, shift, low >> shift, high >> shift)

    def bits(self, a: int, shift: int, low: int, high: int) -> int:
        """The wires of ``a`` from ``shift`` on, as many as low..high takes, read as such."""
        if not shift and (low, high) == self.bounds(a):
            return a
        return self.make("bits", (a,), (shift,), low, high)

    def narrow(self, a: int, low: int, high: int) -> int:
        """``a``, of which the caller knows that it lies in low..high."""
        known = self.bounds(a)
        return self.bits(a, 0, max(low, known[0]), min(high, known[1]))

    def add(self, a: Term, b: Term) -> Term:
        """a + b as a term: common shifts and a minus before both stay outside the adder."""
        if a.negative and not b.negative:
            a, b = b, a
        outer, minus = min(a.shift, b.shift), a.negative != b.negative
        shifts = (a.shift - outer, b.shift - outer)
        (al, ah), (bl, bh) = self.bounds(a.value), self.bounds(b.value)
        al, ah, bl, bh = al << shifts[0], ah << shifts[0], bl << shifts[1], bh << shifts[1]
        low, high = (al - bh, ah - bl) if minus else (al + bl, ah + bh)
        made = self.make("add", (a.value, b.value), (*shifts, int(minus)), low, high)
        return Term(made, outer, a.negative)

    def modulo(self, a: int, width: int) -> int:
        """The low ``width`` bits of an unsigned cell."""
        return a if self.cells[a].high >> width == 0 else self.bits(a, 0, 0, (1 << width) - 1)

    def join(self, parts: Sequence[tuple[int, int]]) -> int:
        """sum of cell << shift of unsigned cells that do not overlap, the lowest first: wires."""
        if len(parts) == 1:
            return self.left(*parts[0])
        ends = [self.bounds(c) for c, _ in parts]
        low, high = (sum(e[k] << s for e, (_, s) in zip(ends, parts, strict=True)) for k in (0, 1))
        return self.make("join", [c for c, _ in parts], [s for _, s in parts], low, high)

    def logic(self, a: int) -> bool:
        """Is the cell computed by look-up tables that an adder behind it can take in?"""
        cell = self.cells[a]
        if cell.kind in WIRES:
            return cell.kind == "flip" or any(map(self.logic, cell.args))
        return cell.kind == "table"

    def minus(self, a: int, b: int) -> int:
        """a - b."""
        return self.settle(self.add(Term(a, 0), Term(b, 0, True)))

    def settle(self, term: Term) -> int:
        """A term as a cell."""
        if term.negative:
            term = self.add(Term(self.const(0), term.shift), term)
        return self.left(term.value, term.shift)

    def linear(self, rows: Sequence[Linear]) -> list[int]:
        """All sums together, so that they share what they have in common."""
        used = sorted({cell for row in rows for cell in row.weights})
        late = self._late(rows, used)
        early = [cell for cell in used if cell not in late]
        place = {cell: k for k, cell in enumerate(early)}
        shared = [{place[c]: w for c, w in row.weights.items() if c in place} for row in rows]
        values = [self._unsigned(cell) for cell in early]
        network = share(shared, [self.cells[v.cell].high for v in values])
        for pair in network.pairs:
            values.append(self._pair(values, pair))
        return [
            self._sum(row, [(values[t.value], t) for t in terms] + self._rest(row, late))
            for row, terms in zip(rows, network.sums, strict=True)
        ]

    def _unsigned(self, cell: int) -> Value:
        """A signed cell with its sign bit inverted is unsigned: half its range more."""
        low, high = self.bounds(cell)
        if low >= 0:
            return Value(cell, 0)
        half = 1 << (self.cells[cell].type.width - 1)
        return Value(self.make("lift", (cell,), (), low + half, max(high, 0) + half), half)

    def _pair(self, values: Sequence[Value], pair: Pair) -> Value:
        left, right = values[pair.left], values[pair.right]
        heap = Heap(self, WIDEST)
        second = Piece(right.cell, pair.right_shift, pair.minus)
        made = heap.added([Piece(left.cell, pair.left_shift)], [second])
        bias = (left.bias << pair.left_shift) - heap.constant
        other = right.bias << pair.right_shift
        return Value(self.left(made.cell, made.shift), bias + (-other if pair.minus else other))

    def _sum(self, row: Linear, terms: Sequence[tuple[Value, Term]]) -> int:
        """One sum of shared values and late terms, in the range that it can take."""
        mark = len(self.cells)
        if len(terms) < 3 and not row.offset and not any(v.bias for v, _ in terms):
            plain = [_moved(Term(v.cell, 0), t) for v, t in terms]
            made = self.settle(self.add(*plain)) if len(plain) == 2 else self._one(plain)
        else:
            made = self._settled(row, terms)
        if made >= mark:
            self.sums[made] = row
        return made

    def _one(self, terms: Sequence[Term]) -> int:
        return self.settle(terms[0]) if terms else self.const(0)

    def _settled(self, row: Linear, terms: Sequence[tuple[Value, Term]]) -> int:
        """Pieces added modulo the width of the result; their constant is looked for first."""
        low, high = reach(self, row)
        width = smallest_type(low, high, 0).width
        pieces = [Piece(v.cell, t.shift, t.negative) for v, t in terms]
        bias = sum((-v.bias if t.negative else v.bias) << t.shift for v, t in terms)
        missing = row.offset - bias
        if not pieces or low == high:
            return self.const(low)
        given, mark = 0, len(self.cells)
        for _ in range(TRIES):
            self._forget(mark)
            heap = Heap(self, width)
            made, used = heap.total(pieces, given)
            [made] = heap.positive([made])
            rest = (missing + heap.constant - given * used) % (1 << width)
            if not rest or (given and not used):
                break
            given = (given * used + rest) % (1 << width)
        if rest:
            made = heap.add(made, heap.literal(rest))
        return self._wrapped(self.left(made.cell, made.shift), width, low, high)

    def _forget(self, mark: int) -> None:
        """Take back the cells from ``mark`` on."""
        for cell in self.cells[mark:]:
            del self._known[cell]
        del self.cells[mark:], self.depth[mark:]

    def _wrapped(self, a: int, width: int, low: int, high: int) -> int:
        """The low ``width`` bits of an unsigned cell as the number in low..high that they are."""
        cell = self.modulo(a, width)
        top = self.cells[cell].high
        if top < 1 << (width - 1):
            low = max(low, 0)
        return self.bits(cell, 0, low, min(high, top))

    def _late(self, rows: Sequence[Linear], used: Sequence[int]) -> set[int]:
        """Plain terms that are ready long after the others; shared pairs must not wait for them."""
        first = min((self.depth[c] for c in used), default=0)
        deep = {c for c in used if self.depth[c] > first + LATE}
        weights = ((c, abs(w)) for row in rows for c, w in row.weights.items() if c in deep)
        return deep - {c for c, w in weights if w & (w - 1)}

    def _rest(self, row: Linear, late: set[int]) -> list[tuple[Value, Term]]:
        """The terms of a sum that take no part in sharing."""
        return [
            (self._unsigned(c), Term(c, abs(w).bit_length() - 1, w < 0))
            for c, w in row.weights.items()
            if c in late
        ]

    def saturate(self, a: int, shift: int, out: FixedType) -> int:
        """floor(a / 2**shift) clipped to the range of ``out``."""
        low, high = (v >> shift for v in self.bounds(a))
        if low >= out.low and high <= out.high:
            return self.right(a, shift)
        ends = [min(max(v, out.low), out.high) for v in (low, high)]
        return self.make("saturate", (a,), (shift, int(out.signed), out.width), *ends)

    def relu(self, a: int) -> int:
        """max(a, 0)."""
        low, high = self.bounds(a)
        return a if low >= 0 else self.make("relu", (a,), (), 0, max(high, 0))

    def absolute(self, a: int) -> int:
        """|a|."""
        low, high = self.bounds(a)
        if low >= 0:
            return a
        return self.make("abs", (a,), (), 0 if high >= 0 else -high, max(-low, high))

    def table(self, index: int, entries: Sequence[int]) -> int:
        """entries[index]; ``index`` is unsigned and reaches none beyond the entries.

        A saturated index need not be: its low bits are looked up, and what is beyond an end takes
        the entry there. That is a third fewer look-up tables than to saturate first.
        """
        cell = self.cells[index]
        if cell.kind == "saturate" and cell.high == (1 << cell.type.width) - 1:
            return self._clipped(cell, entries)
        low, high = self.bounds(index)
        reached = entries[low : high + 1]
        content = tuple(map(int, entries[: high + 1]))
        known = self.tables.setdefault(content, len(self.tables))
        if known == len(self.contents):
            self.contents.append(content)
        return self.make("table", (index,), (known,), int(min(reached)), int(max(reached)))

    def _clipped(self, index: Cell, entries: Sequence[int]) -> int:
        [a], shift, width = index.args, index.params[0], index.type.width
        low, high = (v >> shift for v in self.bounds(a))
        inside = self.table(self.bits(a, shift, 0, (1 << width) - 1), entries)
        below = self.bits(a, self.cells[a].type.width - 1, 0, 1) if low < 0 else self.const(0)
        rest = max(high, ~low).bit_length() - width
        above = self.bits(a, shift + width, 0, (1 << rest) - 1) if rest > 0 else self.const(0)
        ends = (int(entries[0]), int(entries[index.high]))
        return self.make("clip", (below, above, inside), ends, *self.bounds(inside))

    def function(self, a: int, f: Callable[[int], int], direct: Callable[[int], int]) -> int:
        """f(a), as a table where ``a`` has few values, else by ``direct``'s cells."""
        low, high = self.bounds(a)
        bits = self.cells[a].type
        if bits.high - bits.low >= TABLE_LIMIT or low == high:
            return direct(a)
        if low >= 0:
            return self.table(a, [f(v) for v in range(high + 1)])
        half = 1 << (bits.width - 1)
        index = self.bits(a, 0, 0, 2 * half - 1)
        entries = [f(v if v < half else v - 2 * half) for v in range(2 * half)]
        return self.table(index, entries)

    def mul(self, a: int, b: int) -> int:
        """a * b, a multiplier unless one of them is constant."""
        if self.is_const(a):
            a, b = b, a
        if self.is_const(b):
            return self.linear([Linear({a: self.cells[b].low})])[0]
        ends = [x * y for x in self.bounds(a) for y in self.bounds(b)]
        low = max(min(ends), 0) if a == b else min(ends)
        return self.make("mul", (a, b), (), low, max(ends))

    def less(self, a: int, b: int) -> int:
        """1 where a < b."""
        (al, ah), (bl, bh) = self.bounds(a), self.bounds(b)
        return self.make("less", (a, b), (), int(ah < bl), int(al < bh))

    def flip(self, a: int) -> int:
        """2**w - 1 - a of an unsigned cell of w bits: every bit inverted."""
        if self.is_const(a):
            low = self.cells[a].low
            return self.const((1 << self.cells[a].type.width) - 1 - low)
        return self.make("flip", (a,), (), 0, (1 << self.cells[a].type.width) - 1)

    def choose(self, condition: int, a: int, b: int) -> int:
        """a where ``condition``, else b."""
        if self.is_const(condition) or a == b:
            return a if self.cells[condition].low else b
        (al, ah), (bl, bh) = self.bounds(a), self.bounds(b)
        return self.make("choose", (condition, a, b), (), min(al, bl), max(ah, bh))


def _moved(term: Term, by: Term) -> Term:
    """``term`` shifted and negated as ``by`` says."""
    return Term(term.value, term.shift + by.shift, term.negative != by.negative)
