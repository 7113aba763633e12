"""Words of a design as integer polynomials: bit k of a word is bit k of a number.

What is no polynomial of the variables before it (a comparison, a choice, a table read at an unknown
place) becomes a variable of its own, with its definition: equal definitions are one variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc_verilog.proof.atoms import SMALL, Atoms
from crystalc_verilog.proof.numeric import numeric
from crystalc_verilog.proof.poly import Key, Poly, constant, key, plus, variables

Bit = int | tuple[int, int]
"""0, 1, or (number of a polynomial, place)."""

Word = tuple[Bit, ...]
"""Lowest bit first."""

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """What a variable is: a gate of ``operands``, or (kind "number") a word read as a number."""

    kind: str
    params: tuple[tuple[str, int], ...]
    operands: tuple[Word, ...]
    width: int


@dataclass
class Symbols:
    """``made``: definitions of the variables that have one; ``samples``: values of the others."""

    atoms: Atoms
    samples: dict[int, Array] = field(default_factory=dict)
    count: int = 1
    made: dict[int, Made] = field(default_factory=dict)
    tables: list[tuple[int, ...]] = field(default_factory=list)
    small: set[int] = field(default_factory=set)
    polys: list[Poly] = field(default_factory=list)
    _ids: dict[Key, int] = field(default_factory=dict)
    _shape: list[tuple[int, int, int]] = field(default_factory=list)
    free: set[int] = field(default_factory=set)
    _unsure: dict[int, bool] = field(default_factory=dict)
    _parity: dict[int, Bit | None] = field(default_factory=dict)
    _read: dict[int, Word] = field(default_factory=dict)
    _opposite: dict[int, int] = field(default_factory=dict)
    _alias: dict[int, tuple[Word, bool]] = field(default_factory=dict)
    _of: dict[Made, Word] = field(default_factory=dict)
    _numbers: dict[tuple[Word, bool | None], Poly] = field(default_factory=dict)
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def number_of(self, poly: Poly) -> int:
        """The number of a polynomial."""
        known = key(poly)
        if known not in self._ids:
            self._ids[known] = len(self.polys)
            self.polys.append(poly)
            low, high = self.atoms.bounds(poly)
            even = min((_twos(w) for m, w in poly.items() if m), default=62)
            self._shape.append((low, high, even))
        return self._ids[known]

    def bit(self, at: int, k: int) -> Bit:
        """Bit ``k`` of polynomial ``at``: known where its range or its factors tell."""
        low, high, even = self._shape[at]
        if k < even:
            return self.polys[at].get((), 0) >> k & 1
        if at in self._alias:
            word, signed = self._alias[at]
            return word[k] if k < len(word) else word[-1] if signed else 0
        if k == 0 and (known := self._lowest(at)) is not None:
            return known
        if low >= 0 and k >= high.bit_length():
            return 0
        if high < 0 and k >= (~low).bit_length():
            return 1
        return at, min(k, max(high.bit_length(), (~low).bit_length()))

    def _lowest(self, at: int) -> Bit | None:
        """The lowest bit, where it is that of one word read as a number, or its opposite."""
        if at not in self._parity:
            self._parity[at] = None
            odd = [m for m, w in self.polys[at].items() if m and w % 2]
            word = self._read.get(odd[0][0]) if len(odd) == 1 and len(odd[0]) == 1 else None
            if word is not None:
                flip = self.polys[at].get((), 0) % 2
                self._parity[at] = self.inverted(word[0]) if flip else word[0]
        return self._parity[at]

    def word(self, poly: Poly, width: int) -> Word:
        """``poly`` modulo 2**width."""
        at = self.number_of(self._near(poly, width))
        return tuple(self.bit(at, k) for k in range(width))

    def inverted(self, bit: Bit) -> Bit:
        """1 - bit: bit k of -1 - p."""
        if isinstance(bit, int):
            return 1 - bit
        at, k = bit
        if at not in self._opposite:
            self._opposite[at] = self.number_of(plus(constant(-1), self.polys[at], -1))
        return self.bit(self._opposite[at], k)

    def _near(self, poly: Poly, width: int) -> Poly:
        """The same modulo 2**width, within its range if it can be."""
        low, high = self.atoms.bounds(poly)
        full, half = 1 << width, 1 << (width - 1)
        if max(high, ~low) < half or (low >= 0 and high < full):
            return poly
        for least in (0, -half):
            more = -((low - least) >> width) << width
            if high + more < least + full:
                return plus(poly, constant(more)) if more else poly
        centred = {m: (w + half) % full - half for m, w in poly.items()}
        return {m: w for m, w in centred.items() if w}

    def fresh(self, low: int, high: int, samples: Array | None = None) -> Poly:
        """A variable about which nothing else is known."""
        poly = self.atoms.fresh(low, high)
        for (v,) in (m for m in poly if m):
            if samples is None:
                top = min(high, (1 << 62) - 1)
                samples = self._rng.integers(low, top, self.count, endpoint=True)
            self.samples[v] = samples
        return poly

    def unknown(self, width: int) -> Word:
        """Bits that may be anything."""
        poly = self.fresh(0, (1 << width) - 1)
        self.free |= variables(poly)
        return self.word(poly, width)

    def unsure(self, bit: Bit) -> bool:
        """Does the bit depend on an unknown word?"""
        if isinstance(bit, int):
            return False
        at = bit[0]
        if at not in self._unsure:
            base = {self.atoms.sources.get(v, (v, ()))[0] for v in variables(self.polys[at])}
            words = [w for v in base & self.made.keys() for w in self.made[v].operands]
            self._unsure[at] = not base.isdisjoint(self.free) or any(
                self.unsure(b) for w in words for b in w
            )
        return self._unsure[at]

    def modulo(self, bits: Word) -> Poly:
        """A polynomial that is ``bits`` modulo 2**width."""
        if (bits, None) not in self._numbers:
            self._numbers[bits, None] = self._modulo(bits)
        return self._numbers[bits, None]

    def _modulo(self, bits: Word) -> Poly:
        own = len(bits)
        while own > 1 and bits[own - 1] == bits[own - 2] and not isinstance(bits[own - 1], int):
            own -= 1
        if own < len(bits):
            return self.number(bits[:own], True)
        total, at = constant(0), 0
        while at < len(bits):
            size, poly = self._part(bits[at:])
            total = plus(total, poly, 1 << at)
            at += size
        return total

    def _part(self, bits: Word) -> tuple[int, Poly]:
        """The longest number that ``bits`` begin with; only the last may be one modulo."""
        if isinstance(bits[0], int):
            size = next((k for k, b in enumerate(bits) if not isinstance(b, int)), len(bits))
            return size, constant(sum(int(b == 1) << k for k, b in enumerate(bits[:size])))
        starts = [bits[0], *(b for b in bits[1:2] if not isinstance(b, int) and b[1] == 1)]
        size, (at, place) = max(
            ((self._run(bits, a, k if n == 0 else 0), (a, k if n == 0 else 0))
             for n, (a, k) in enumerate(starts)),
            key=lambda found: found[0],
        )  # fmt: skip
        poly = self._shifted(self.polys[at], place)
        if poly is not None and bits[size : size + 1] == (
            self.inverted(self.bit(at, place + size)),
        ):
            poly, size = plus(poly, constant(1 << size)), size + 1
        if poly is not None:
            low, high = self.atoms.bounds(poly)
            if size == len(bits) or (low >= 0 and high < 1 << size):
                return size, poly
        return size, self._named(bits[:size], False)

    def _run(self, bits: Word, at: int, place: int) -> int:
        for k, b in enumerate(bits):
            if not self._same(b, at, place + k):
                return k
        return len(bits)

    def _same(self, bit: Bit, at: int, k: int) -> bool:
        if bit == self.bit(at, k):
            return True
        if isinstance(bit, int) or bit[1] != k:
            return False
        apart = plus(self.polys[bit[0]], self.polys[at], -1)
        return all(w % (2 << k) == 0 for w in apart.values())

    def _shifted(self, poly: Poly, place: int) -> Poly | None:
        """floor(poly / 2**place) where that is a polynomial."""
        if any(w % (1 << place) for m, w in poly.items() if m):
            return None
        return {m: v for m, w in poly.items() if (v := w >> place)}

    def number(self, bits: Word, signed: bool) -> Poly:
        """The number that ``bits`` are read as."""
        if (bits, signed) not in self._numbers:
            self._numbers[bits, signed] = self._exact(bits, signed)
        return self._numbers[bits, signed]

    def read_as(self, poly: Poly) -> Word:
        """The word that a variable is the number of; empty where ``poly`` is none."""
        return self._read.get(next(iter(poly))[0], ()) if len(poly) == 1 and () not in poly else ()

    def _exact(self, bits: Word, signed: bool) -> Poly:
        poly, width = self.modulo(bits), len(bits)
        low, high = self.atoms.bounds(poly)
        least = -(1 << (width - 1)) if signed else 0
        more = -((low - least) >> width) << width
        if high + more < least + (1 << width):
            return plus(poly, constant(more)) if more else poly
        return self._named(bits, signed)

    def _named(self, bits: Word, signed: bool) -> Poly:
        """A variable for a word read as a number."""
        width = len(bits)
        made = Made("number", (("signed", int(signed)),), (bits,), width)
        if made not in self._of:
            least = -(1 << (width - 1)) if signed else 0
            poly = self._variable(made, least, least + (1 << width) - 1)
            at = self.number_of(poly)
            self._alias[at] = (bits, signed)
            self._read.update((v, bits) for (v,) in poly)
            self._of[made] = ((at, 0),)
        (found,) = self._of[made]
        assert not isinstance(found, int)
        return self.polys[found[0]]

    def _variable(self, made: Made, low: int, high: int) -> Poly:
        poly = self.atoms.fresh(low, high)
        self.made.update((v, made) for (v,) in (m for m in poly if m))
        return poly

    def gate(self, made: Made) -> Word:
        """The word of a gate that is no polynomial, unless it depends on one small input."""
        if made not in self._of:
            table = self._enumerated(made)
            poly = table if table is not None else self._variable(made, *self._span(made))
            self._of[made] = self.word(poly, made.width)
        return self._of[made]

    def _span(self, made: Made) -> tuple[int, int]:
        """What the word of a gate lies between, as an unsigned number."""
        if made.kind == "read":
            entries = self.tables[dict(made.params)["table"]]
            return min(entries), max(entries)
        if made.kind == "$mux":
            ends = [self.atoms.bounds(self.number(w, False)) for w in made.operands[:2]]
            return min(low for low, _ in ends), max(high for _, high in ends)
        return 0, (1 << made.width) - 1

    def _enumerated(self, made: Made) -> Poly | None:
        """A function of one input of few values: by all its values."""
        held = {b[0] for w in made.operands for b in w if not isinstance(b, int)}
        found = {v for at in held for v in variables(self.polys[at])}
        base = {self.atoms.sources.get(v, (v, ()))[0] for v in found}
        if len(base) != 1 or not base <= self.small:
            return None
        [v] = base
        low, high = self.atoms.ranges[v]
        values = np.arange(low, high + 1)
        got = self._values_of(made, {v: values} | {
            u: np.array(self.atoms.sources[u][1]) for u in found if u != v
        })  # fmt: skip
        return self.atoms.function(v, lambda u: int(got[u - low]))

    def take(self, poly: Poly) -> None:
        """``poly`` is an input: small enough, functions of it are known by their values."""
        for v in variables(poly):
            low, high = self.atoms.ranges[v]
            if high - low < min(SMALL, 1 << 9):
                self.small.add(v)

    def sampled(self, bits: Word) -> Array:
        """The word on the samples, unsigned."""
        return self._word_values(bits, self.samples)

    def valued(self, poly: Poly) -> Array:
        """A polynomial on the samples."""
        return self._poly_values(poly, self.samples)

    def _word_values(self, bits: Word, known: dict[int, Array]) -> Array:
        wide = len(bits) > 62
        total = np.zeros(self._length(known), dtype=object if wide else np.int64)
        cache: dict[int, Array] = {}
        for k, b in enumerate(bits):
            if isinstance(b, int):
                total = total + (b << k)
                continue
            at, place = b
            if at not in cache:
                cache[at] = self._poly_values(self.polys[at], known)
            one = cache[at] >> place & 1
            total = total + ((one.astype(object) if wide else one) << k)
        return total

    def _length(self, known: Mapping[int, Array]) -> int:
        return len(next(iter(known.values()))) if known else self.count

    def _poly_values(self, poly: Poly, known: dict[int, Array]) -> Array:
        total = np.zeros(self._length(known), dtype=np.int64)
        for monomial, weight in poly.items():
            term = np.full(len(total), 1, dtype=np.int64)
            for v in monomial:
                term = term * self._variable_values(v, known)
            total = total + term * np.int64((weight + (1 << 63)) % (1 << 64) - (1 << 63))
        return total

    def _variable_values(self, v: int, known: dict[int, Array]) -> Array:
        if v not in known:
            if v in self.atoms.sources:
                u, values = self.atoms.sources[v]
                low = self.atoms.ranges[u][0]
                known[v] = np.array(values)[self._variable_values(u, known) - low]
            else:
                known[v] = self._values_of(self.made[v], known)
        return known[v]

    def _values_of(self, made: Made, known: dict[int, Array]) -> Array:
        given = [self._word_values(w, known) for w in made.operands]
        params = dict(made.params)
        if made.kind == "$shiftx":
            wide = given[0].astype(object) >> given[1].astype(object)
            return np.asarray((wide & ((1 << made.width) - 1)).astype(np.int64))
        if made.kind == "number":
            half = 1 << (made.width - 1)
            return given[0] - ((given[0] >= half) * (2 * half) if params["signed"] else 0)
        if made.kind == "read":
            entries = np.array(self.tables[params["table"]])
            return np.asarray(entries[np.minimum(given[0].astype(int), len(entries) - 1)])
        return numeric(made.kind, params, given, [len(w) for w in made.operands], made.width)


def _twos(value: int) -> int:
    return (value & -value).bit_length() - 1
