"""What each word of the emitted netlist computes, as a polynomial of the proof's variables.

A cell is believed to compute what its name says; every belief is left behind as a lemma for SAT.
The polynomial holds modulo 2**width. Who reads a word as a number shows first that it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from crystalc_verilog.proof.atoms import Atoms, fit
from crystalc_verilog.proof.netlist import Bit, Bits, Instance, Netlist, Register
from crystalc_verilog.proof.poly import Poly, constant, key, plus, scaled, times

Tables = Mapping[str, Sequence[int]]
"""Entries of each table module, as its text gives them: a claim, for SAT to confirm."""

ALL = 1 << 30
"""More bits than any word has."""

LINEAR = frozenset({"crystal_add", "crystal_mul", "crystal_abs"})


class Unproved(Exception):
    """A place where the argument does not go through; says why."""


@dataclass(frozen=True)
class Word:
    """The lowest ``right`` bits (of those there are) are ``poly`` modulo 2**right;
    low <= poly <= high.
    """

    poly: Poly
    low: int
    high: int
    right: int = ALL


@dataclass(frozen=True)
class CellLemma:
    """The primitive ``kind`` with ``params`` computes what its name says, modulo its width."""

    kind: str
    params: tuple[int, ...]


@dataclass(frozen=True)
class TableLemma:
    """Table module ``kind`` of ``index`` bits: entry u mod 2**index is values[u - low]."""

    kind: str
    index: int
    width: int
    low: int
    values: tuple[int, ...]


Lemma = CellLemma | TableLemma


@dataclass
class Words:
    """Reads the netlist. ``given``: words that are variables or already proved."""

    netlist: Netlist
    atoms: Atoms
    tables: Tables
    given: dict[Bits, Word] = field(default_factory=dict)
    lemmas: dict[Lemma, list[Instance]] = field(default_factory=dict)
    loads: Mapping[Bit, int] = field(default_factory=dict)
    _known: dict[Bits, Word] = field(default_factory=dict)
    _stages: dict[Bits, int | None] = field(default_factory=dict)

    def word(self, bits: Bits) -> Word:
        """What ``bits`` are. Raises Unproved."""
        if bits in self.given:
            return self.given[bits]
        if bits not in self._known:
            self._known[bits] = self._word(bits)
        return self._known[bits]

    def read(self, bits: Bits, signed: bool) -> Word:
        """The number that a reader sees. Raises Unproved where it might not be a polynomial."""
        word = self.operand(bits, signed)
        if word.right < ALL:
            name = self.netlist.name(bits)
            raise Unproved(f"{name} may leave its {len(bits)} bits: {word.low}..{word.high}")
        return word

    def operand(self, bits: Bits, signed: bool) -> Word:
        """The number that a reader sees; where it might be no polynomial, how many of its lowest
        bits are right. All numbers with the same bits differ by multiples of 2**width.
        """
        word = self.word(bits)
        if word.right < len(bits):
            return word
        found = _within(word, len(bits), signed)
        if found is None:
            least, most = self.atoms.bounds(word.poly)
            close = Word(word.poly, max(least, word.low), min(most, word.high))
            found = _within(close, len(bits), signed)
        return found or Word(word.poly, word.low, word.high, len(bits))

    def _word(self, bits: Bits) -> Word:
        if all(bit in ("0", "1") for bit in bits):
            value = sum(1 << k for k, bit in enumerate(bits) if bit == "1")
            return Word(constant(value), value, value)
        made, _ = self.netlist.driver.get(bits[0], (None, 0))
        if isinstance(made, Register) and made.q == bits:
            return self.word(made.d)
        if isinstance(made, Instance) and made.out == bits:
            return self._cell(made)
        return self._composed(bits)

    def _composed(self, bits: Bits) -> Word:
        """Words side by side, copies of the sign above, inverted bits."""
        if len(bits) > 1 and bits[-1] == bits[-2] and bits[-1] not in ("0", "1"):
            return self.read(bits[:-1], signed=True)
        total, at = Word({}, 0, 0), 0
        while at < len(bits):
            part = self._part(bits[at:])
            word = self._flipped(part)
            if at + len(part) < len(bits) and word is not None:
                word = self.operand(part, signed=False)
            if word is None:
                raise Unproved(f"{self.netlist.name(bits)} is no whole word")
            total = _sum(total, word, 1 << at, at)
            at += len(part)
        return total

    def _part(self, bits: Bits) -> Bits:
        """The whole word, the inverted bits or the constants that ``bits`` begin with."""
        netlist = self.netlist
        if bits[0] in ("0", "1"):
            return bits[: _run(b in ("0", "1") for b in bits)]
        plain = tuple(netlist.inverted.get(b, b) for b in bits)
        for n in range(len(bits), 0, -1):
            if plain[:n] in self.given:
                return bits[:n]
        made, _ = netlist.driver.get(plain[0], (None, 0))
        whole = _result(made) if made is not None else ()
        return bits[: max(1, _run(a == b for a, b in zip(plain, whole, strict=False)))]

    def _flipped(self, bits: Bits) -> Word | None:
        """A whole word, as it is or inverted: its highest bit, all bits, all others; constants."""
        inverted = self.netlist.inverted
        plain = tuple(inverted.get(b, b) for b in bits)
        if plain == bits:
            return self.word(bits) if self._whole(bits) else None
        if not self._whole(plain):
            return None
        word, half = self.word(plain), 1 << (len(bits) - 1)
        below, top = {b in inverted for b in bits[:-1]}, bits[-1] in inverted
        if top and (below == {False} or (not below and word.low < 0)):
            return _sum(_number(half), word, 1, 0)
        if below <= {True}:
            return _sum(_number(2 * half - 1 if top else half - 1), word, -1, 0)
        return None

    def _whole(self, bits: Bits) -> bool:
        made, _ = self.netlist.driver.get(bits[0], (None, 0))
        known = bits in self.given or all(b in ("0", "1") for b in bits)
        return known or (made is not None and _result(made) == bits)

    def _cell(self, cell: Instance) -> Word:
        rule = RULES.get(cell.kind)
        if rule is not None:
            return rule(self, cell)
        if cell.kind in self.tables:
            return self._table(cell)
        return self.opaque(cell)

    def opaque(self, cell: Instance) -> Word:
        """A word of which nothing is known but its bits."""
        low, high = _span(len(cell.out), False)
        return Word(self.atoms.shared(("wire", cell.out), low, high), low, high)

    def use(self, lemma: Lemma, cell: Instance) -> None:
        """Note that the argument rests on ``lemma``."""
        self.lemmas.setdefault(lemma, []).append(cell)

    def _table(self, cell: Instance) -> Word:
        """A table of a number: a polynomial or a function of one variable, or else opaque."""
        [index] = cell.args
        inner = self.word(index)
        width = len(index)
        if inner.right < width or inner.high - inner.low >= 1 << width:
            return self.opaque(cell)
        entries = self.tables[cell.kind]
        values = [entries[u & ((1 << width) - 1)] for u in range(inner.low, inner.high + 1)]
        lemma = TableLemma(cell.kind, width, len(cell.out), inner.low, tuple(values))
        fitted, single = fit(inner.low, values), self.atoms.single(inner.poly)
        if fitted is None and single is None:
            return self.opaque(cell)
        self.use(lemma, cell)
        if fitted is not None:
            a, b, c = fitted
            poly = plus(scaled(times(inner.poly, inner.poly), a), inner.poly, b)
            return Word(plus(poly, constant(c)), min(values), max(values))
        assert single is not None
        at = self.atoms.at
        poly = self.atoms.function(single, lambda v: values[at(inner.poly, single, v) - inner.low])
        return Word(poly, min(values), max(values))

    def stage(self, bits: Bits) -> int | None:
        """The rank that holds what ``bits`` are computed from; None for constants and state.

        Raises Unproved where data of two ranks meet, or a register does not move with its rank.
        """
        if bits not in self._stages:
            self._stages[bits] = self._stage(bits)
        return self._stages[bits]

    def _stage(self, bits: Bits) -> int | None:
        drivers = {id(m): m for m in (self.netlist.driver.get(b, (None,))[0] for b in bits) if m}
        found = {s for made in drivers.values() for s in self._stages_of(made)}
        if any(b in self.netlist.ports["in_data"] for b in bits):
            found.add(-1)
        found |= {
            s
            for b in bits
            if b in self.netlist.inverted
            and (s := self.stage((self.netlist.inverted[b],))) is not None
        }
        if len(found) > 1:
            raise Unproved(f"{self.netlist.name(bits)} mixes the data of ranks {sorted(found)}")
        return next(iter(found), None)

    def _stages_of(self, made: Instance | Register) -> set[int]:
        if isinstance(made, Instance):
            args = made.args[4:] if made.kind == "crystal_memory" else made.args
            if made.kind == "crystal_bank":
                return set()
            return {s for a in args if (s := self.stage(a)) is not None}
        name, before = self.netlist.name(made.q), self.stage(made.d)
        if made.enable not in self.loads:
            raise Unproved(f"register {name} does not move with a rank")
        rank = self.loads[made.enable]
        if before is not None and before != rank - 1:
            raise Unproved(f"register {name} of rank {rank} takes the data of rank {before}")
        return {rank}


def _result(made: Instance | Register) -> Bits:
    return made.out if isinstance(made, Instance) else made.q


def _number(value: int) -> Word:
    return Word(constant(value), value, value)


def _run(same: Iterable[bool]) -> int:
    """How many are true before the first that is not."""
    return sum(1 for _ in takewhile(bool, same))


def _sum(a: Word, b: Word, factor: int, shift: int) -> Word:
    """a + factor * b, where ``factor`` is a multiple of 2**shift."""
    ends = (factor * b.low, factor * b.high)
    right = min(a.right, b.right + shift)
    return Word(plus(a.poly, b.poly, factor), a.low + min(ends), a.high + max(ends), right)


def _within(word: Word, width: int, signed: bool) -> Word | None:
    """The one number of ``width`` bits that ``word`` always is, if there is one."""
    low, high = _span(width, signed)
    more = -((word.low - low) >> width) << width
    if word.high + more > high:
        return None
    return Word(plus(word.poly, constant(more)), word.low + more, word.high + more)


def _span(width: int, signed: bool) -> tuple[int, int]:
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


def _add(w: Words, cell: Instance) -> Word:
    wa, sa, la, wb, sb, lb, minus, _ = cell.params
    _expect(cell, (wa, wb, cell.params[7]))
    a, b = w.operand(cell.args[0], bool(sa)), w.operand(cell.args[1], bool(sb))
    w.use(CellLemma(cell.kind, cell.params), cell)
    left = _sum(Word({}, 0, 0), a, 1 << la, la)
    return _sum(left, b, -(1 << lb) if minus else 1 << lb, lb)


def _mul(w: Words, cell: Instance) -> Word:
    wa, sa, wb, sb, wy = cell.params
    _expect(cell, (wa, wb, wy))
    a, b = w.read(cell.args[0], bool(sa)), w.read(cell.args[1], bool(sb))
    w.use(CellLemma(cell.kind, cell.params), cell)
    ends = [p * q for p in (a.low, a.high) for q in (b.low, b.high)]
    same = key(a.poly) == key(b.poly)
    return Word(times(a.poly, b.poly), max(min(ends), 0) if same else min(ends), max(ends))


def _abs(w: Words, cell: Instance) -> Word:
    wa, wy = cell.params
    _expect(cell, (wa, wy))
    a = w.read(cell.args[0], signed=True)
    w.use(CellLemma(cell.kind, cell.params), cell)
    most = max(-a.low, a.high)
    return Word(w.atoms.absolute(a.poly, a.low, a.high), 0, most)


def _bits(w: Words, cell: Instance) -> Word:
    """The low bits of a word are the same polynomial; anything else is opaque."""
    wa, shift, wy = cell.params
    _expect(cell, (wa, wy))
    if shift or wy > wa:
        return w.opaque(cell)
    w.use(CellLemma(cell.kind, cell.params), cell)
    return w.word(cell.args[0])


def _expect(cell: Instance, widths: tuple[int, ...]) -> None:
    if tuple(map(len, cell.ports)) != widths:
        raise Unproved(f"the ports of {cell.name} are not as wide as its parameters say")


RULES: Mapping[str, Callable[[Words, Instance], Word]] = {
    "crystal_add": _add,
    "crystal_mul": _mul,
    "crystal_abs": _abs,
    "crystal_bits": _bits,
}
"""Cells whose result is a polynomial; all others belong to a function that SAT proves whole."""
