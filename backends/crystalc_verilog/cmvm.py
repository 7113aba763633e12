"""Constant matrix-vector products as few adders: signed digits, and pairs of terms shared greedily.

A product y_o = sum_k w_ko x_k is a sum of terms ``+- x_k << s``, one per nonzero digit of the
canonical signed-digit form of w_ko. The pair ``a +- b << d`` whose sharing saves most look-up
tables becomes a value of its own, again and again, until none saves any. Pure integers;
``evaluate`` is the meaning.

What is saved: an adder costs a look-up table for each bit where both operands have one, and no
other, because every value stands for a number that is never negative: of a - b the circuit makes
a + (2**w - 1 - b), and takes the constants off again once a sum.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SHIFT_BITS = 7
GAP_BITS = 30
SHIFTS = (1 << SHIFT_BITS) - 1
GAPS = (1 << GAP_BITS) - 1
"""Inside, a term is one integer, value << 7 | shift; a pair a < b is (value of a, b - a, do the
signs differ) in one integer: the same for every common shift."""


Digits = Callable[[int], list[tuple[int, bool]]]
"""(shift, negative) of each signed digit of a number."""


@dataclass(frozen=True, order=True)
class Term:
    """``+- value << shift``."""

    value: int
    shift: int
    negative: bool = False


@dataclass(frozen=True)
class Pair:
    """A shared value: left << left_shift, plus or minus right << right_shift; one shift is 0."""

    left: int
    left_shift: int
    right: int
    right_shift: int
    minus: bool


@dataclass(frozen=True)
class Network:
    """``pairs[i]`` is value ``inputs + i``; ``sums[o]`` are the terms left to be added."""

    inputs: int
    pairs: tuple[Pair, ...]
    sums: tuple[tuple[Term, ...], ...]

    @property
    def adders(self) -> int:
        """Two-operand adders needed in all."""
        return len(self.pairs) + sum(max(0, len(terms) - 1) for terms in self.sums)


def signed_digits(value: int) -> list[tuple[int, bool]]:
    """(shift, negative) of each nonzero digit of ``value``, no two of them adjacent."""
    digits, shift = [], 0
    while value:
        if value & 1:
            negative = value & 3 == 3
            digits.append((shift, negative))
            value += 1 if negative else -1
        value >>= 1
        shift += 1
    return digits


def low_digits(value: int) -> list[tuple[int, bool]]:
    """As few digits, but 3 as 2 + 1 instead of 4 - 1 wherever that takes no more of them."""
    return list(_low_digits(value))


@lru_cache(maxsize=1 << 16)
def _low_digits(value: int) -> tuple[tuple[int, bool], ...]:
    if not value:
        return ()
    if not value & 1:
        return tuple((shift + 1, negative) for shift, negative in _low_digits(value >> 1))
    sign = value < 0
    ways = [((0, sign), value + (1 if sign else -1)), ((0, not sign), value - (1 if sign else -1))]
    rests = [
        (first, _low_digits(rest >> 1)) for first, rest in ways[: 1 if value in (1, -1) else 2]
    ]
    made = [(first, *((s + 1, n) for s, n in rest)) for first, rest in rests]
    return min(made, key=lambda digits: (len(digits), digits[-1][0]))


def share(rows: Sequence[Mapping[int, int]], highs: Sequence[int]) -> Network:
    """The network of the sums ``rows[o]`` = {input k: weight}; input k is 0..highs[k].

    Of two ways to write a number in as few digits, the one that costs less in all.
    """
    made = [_shared(rows, highs, digits) for digits in (signed_digits, low_digits)]
    return min(made, key=lambda network: cost(network, highs))


def _shared(rows: Sequence[Mapping[int, int]], highs: Sequence[int], digits: Digits) -> Network:
    sums = _Sums(highs, len(rows))
    for o, row in enumerate(rows):
        for k, weight in row.items():
            for shift, negative in digits(weight):
                sums.put(o, k << SHIFT_BITS | shift, int(negative))
    sums.count_all()
    while (key := sums.best()) is not None:
        sums.replace(key)
    return Network(len(highs), tuple(sums.pairs), tuple(map(_listed, sums.terms)))


def cost(network: Network, highs: Sequence[int]) -> int:
    """Look-up tables of all adders: of each pair the bits that overlap, and of each sum the bits
    of its terms less those of its result.
    """
    known, total = list(highs), 0
    for p in network.pairs:
        distance = p.right_shift - p.left_shift
        total += overlap(known[p.left], known[p.right], distance)
        known.append(joined(known[p.left], known[p.right], distance, p.minus))
    for terms in network.sums:
        result = sum(known[t.value] << t.shift for t in terms).bit_length()
        total += max(0, sum(known[t.value].bit_length() for t in terms) - result)
    return total


def overlap(left: int, right: int, distance: int) -> int:
    """Bits where values up to ``left`` and ``right`` << ``distance`` both have one."""
    a, b = left << max(0, -distance), right << max(0, distance)
    return max(0, min(a.bit_length(), b.bit_length()) - abs(distance))


def evaluate(network: Network, x: Sequence[int]) -> list[int]:
    """The sums for integer inputs ``x``."""
    known = list(x)
    for p in network.pairs:
        right = known[p.right] << p.right_shift
        known.append((known[p.left] << p.left_shift) + (-right if p.minus else right))
    return [
        sum((known[t.value] << t.shift) * (-1 if t.negative else 1) for t in terms)
        for terms in network.sums
    ]


def joined(left: int, right: int, distance: int, minus: bool) -> int:
    """The largest value of a pair of values 0..left and 0..right, as the circuit makes it;
    ``distance``: by how much right is shifted more than left.
    """
    top = (1 << right.bit_length()) - 1 if minus else right
    return (left << max(0, -distance)) + (top << max(0, distance))


def _split(key: int) -> tuple[int, int, int]:
    """The two values of a pair, and by how much the second is shifted more than the first."""
    first, gap = key >> 1 >> GAP_BITS, key >> 1 & GAPS
    base = first << SHIFT_BITS
    second = (base + SHIFTS // 2 + gap) >> SHIFT_BITS
    return first, second, base + gap - (second << SHIFT_BITS)


def _listed(row: Mapping[int, int]) -> tuple[Term, ...]:
    return tuple(Term(t >> SHIFT_BITS, t & SHIFTS, bool(s)) for t, s in sorted(row.items()))


def _keys(term: int, sign: int, row: Mapping[int, int]) -> list[int]:
    """The pairs of a term with every term of ``row``."""
    mine = term >> SHIFT_BITS << GAP_BITS
    return [
        (mine + other - term) << 1 | sign ^ s
        if other > term
        else ((other >> SHIFT_BITS << GAP_BITS) + term - other) << 1 | sign ^ s
        for other, s in row.items()
    ]


class _Sums:
    """The terms of every sum, {term: is it negative}, and how often each pair occurs."""

    def __init__(self, highs: Sequence[int], outputs: int) -> None:
        self.inputs = len(highs)
        self.highs = list(highs)
        self.savings: dict[int, tuple[int, int]] = {}
        self.terms: list[dict[int, int]] = [{} for _ in range(outputs)]
        self.holders: defaultdict[int, set[int]] = defaultdict(set)
        self.counts: dict[int, int] = {}
        self.heap: list[tuple[int, int]] = []
        self.pairs: list[Pair] = []

    def put(self, o: int, term: int, sign: int) -> None:
        self.terms[o][term] = sign
        self.holders[term >> SHIFT_BITS].add(o)

    def count_all(self) -> None:
        keys = [_all_keys(row) for row in self.terms]
        found, counts = np.unique(np.concatenate([*keys, _NONE]), return_counts=True)
        self.counts = dict(zip(found.tolist(), counts.tolist(), strict=True))
        self.heap = [(-self.saved(key), -key) for key, n in self.counts.items() if n > 1]
        self.heap = [entry for entry in self.heap if entry[0] < 0]
        heapq.heapify(self.heap)

    def saved(self, key: int) -> int:
        """Look-up tables saved by making the pair once: all its adders but one, less the bit by
        which each sum of two may be wider than both.
        """
        if key not in self.savings:
            self.savings[key] = self.adder(key)
        overlap, growth = self.savings[key]
        n = self.counts[key]
        return (n - 1) * overlap - n * growth

    def adder(self, key: int) -> tuple[int, int]:
        """Bits where both operands of the pair have one, and by how many the result is wider."""
        first, second, distance = _split(key)
        a, b = self.highs[first], self.highs[second]
        made = joined(a, b, distance, bool(key & 1)).bit_length()
        wider = max(a.bit_length() - min(0, distance), b.bit_length() + max(0, distance))
        return overlap(a, b, distance), made - wider

    def best(self) -> int | None:
        """The pair that saves most, of several the newest.

        Entries of the heap whose count is out of date move down.
        """
        while self.heap:
            before, key = heapq.heappop(self.heap)
            now = self.saved(-key)
            if now == -before:
                return -key
            if 0 < now < -before:
                heapq.heappush(self.heap, (-now, key))
        return None

    def replace(self, key: int) -> None:
        """Make the pair a value and put it wherever its two terms stand."""
        first, second, distance = _split(key)
        gap = key >> 1 & GAPS
        made = self.inputs + len(self.pairs)
        self.highs.append(joined(self.highs[first], self.highs[second], distance, bool(key & 1)))
        self.pairs.append(Pair(first, max(0, -distance), second, max(0, distance), bool(key & 1)))
        touched: set[int] = set()
        for o in sorted(self.holders[first] & self.holders[second]):
            for a in self.places(o, first, gap, key & 1):
                sign = self.terms[o][a]
                self.remove(o, a)
                self.remove(o, a + gap)
                shift = min(a & SHIFTS, (a + gap) & SHIFTS)
                touched.update(self.insert(o, made << SHIFT_BITS | shift, sign))
        self.counts[key] = 0
        for other in touched:
            if self.counts[other] > 1 and (saved := self.saved(other)) > 0:
                heapq.heappush(self.heap, (-saved, -other))

    def places(self, o: int, value: int, gap: int, differ: int) -> list[int]:
        """First terms of the pairs of this kind in sum ``o`` that share no term."""
        row, used, found = self.terms[o], set(), []
        for a in sorted(t for t in row if t >> SHIFT_BITS == value):
            b = a + gap
            if b in row and row[a] ^ row[b] == differ and a not in used and b not in used:
                used |= {a, b}
                found.append(a)
        return found

    def remove(self, o: int, term: int) -> None:
        sign = self.terms[o].pop(term)
        for key in _keys(term, sign, self.terms[o]):
            self.counts[key] -= 1

    def insert(self, o: int, term: int, sign: int) -> list[int]:
        keys = _keys(term, sign, self.terms[o])
        for key in keys:
            self.counts[key] = self.counts.get(key, 0) + 1
        self.put(o, term, sign)
        return keys


_NONE = np.zeros(0, dtype=np.int64)


def _all_keys(row: Mapping[int, int]) -> NDArray[np.int64]:
    """Every pair of terms of one sum."""
    terms = np.array(sorted(row), dtype=np.int64)
    signs = np.array([row[int(t)] for t in terms], dtype=np.int64)
    a, b = np.triu_indices(len(terms), 1)
    pair = (terms[a] >> SHIFT_BITS << GAP_BITS) + terms[b] - terms[a]
    return np.asarray(pair << 1 | (signs[a] ^ signs[b]))
