"""What each word of the emitted netlist computes, as a polynomial of the proof's variables.

A cell is believed to compute what its name says; every belief is left behind as a lemma for SAT.
The polynomial holds modulo 2**width. Who reads a word as a number shows first that it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from crystalc_verilog.proof.atoms import Atoms, fit
from crystalc_verilog.proof.netlist import Bit, Bits, Instance, Netlist, Register
from crystalc_verilog.proof.poly import Poly, constant, key, plus, scaled, times

Tables = Mapping[str, Sequence[int]]
"""Entries of each table module, as its text gives them: a claim, for SAT to confirm."""

LINEAR = frozenset({"crystal_add", "crystal_mul", "crystal_abs"})


class Unproved(Exception):
    """A place where the argument does not go through; says why."""


@dataclass(frozen=True)
class Word:
    """The bits are ``poly`` modulo 2**width, and low <= poly <= high."""

    poly: Poly
    low: int
    high: int


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
        """The number that a reader sees. Raises Unproved where it might not be the polynomial."""
        word = self.word(bits)
        low, high = _span(len(bits), signed)
        if low <= word.low and word.high <= high:
            return word
        least, most = self.atoms.known.get(key(word.poly), (word.low, word.high))
        if low <= least and most <= high:
            return Word(word.poly, least, most)
        name = self.netlist.name(bits)
        raise Unproved(f"{name} may leave its {len(bits)} bits: {word.low}..{word.high}")

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
        """Zeros below, copies of the sign or zeros above, an inverted bit."""
        if bits[0] == "0":
            inner = self.word(bits[1:])
            return Word(scaled(inner.poly, 2), 2 * inner.low, 2 * inner.high)
        if len(bits) == 1 and bits[0] in self.netlist.inverted:
            inner = self.read((self.netlist.inverted[bits[0]],), signed=False)
            return Word(plus(constant(1), inner.poly, -1), 1 - inner.high, 1 - inner.low)
        if len(bits) > 1 and bits[-1] == "0":
            return self.read(bits[:-1], signed=False)
        if len(bits) > 1 and bits[-1] == bits[-2]:
            return self.read(bits[:-1], signed=True)
        raise Unproved(f"{self.netlist.name(bits)} is no whole word")

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
        if inner.low < -(1 << (width - 1)) or inner.high >= 1 << width:
            return self.opaque(cell)
        self.read(index, signed=inner.low < 0)
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


def _span(width: int, signed: bool) -> tuple[int, int]:
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)


def _add(w: Words, cell: Instance) -> Word:
    wa, sa, la, wb, sb, lb, minus, _ = cell.params
    _expect(cell, (wa, wb, cell.params[7]))
    a, b = w.read(cell.args[0], bool(sa)), w.read(cell.args[1], bool(sb))
    w.use(CellLemma(cell.kind, cell.params), cell)
    factor = -(1 << lb) if minus else 1 << lb
    ends = (factor * b.low, factor * b.high)
    poly = plus(scaled(a.poly, 1 << la), b.poly, factor)
    return Word(poly, (a.low << la) + min(ends), (a.high << la) + max(ends))


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
