"""Constant matrix-vector products as few adders: signed digits, and pairs of terms shared greedily.

A product y_o = sum_k w_ko x_k is a sum of terms ``+- x_k << s``, one per nonzero digit of the
canonical signed-digit form of w_ko. The pair ``a +- b << d`` that occurs most often in all sums
together becomes a value of its own, again and again, until no pair occurs twice. Pure integers;
``evaluate`` is the meaning.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHIFT_BITS = 7
GAP_BITS = 30
SHIFTS = (1 << SHIFT_BITS) - 1
GAPS = (1 << GAP_BITS) - 1
"""Inside, a term is one integer, value << 7 | shift; a pair a < b is (value of a, b - a, do the
signs differ) in one integer: the same for every common shift."""


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


def share(rows: Sequence[Mapping[int, int]], inputs: int) -> Network:
    """The network of the sums ``rows[o]`` = {input k: weight}."""
    sums = _Sums(inputs, len(rows))
    for o, row in enumerate(rows):
        for k, weight in row.items():
            for shift, negative in signed_digits(weight):
                sums.put(o, k << SHIFT_BITS | shift, int(negative))
    sums.count_all()
    while (key := sums.best()) is not None:
        sums.replace(key)
    return Network(inputs, tuple(sums.pairs), tuple(map(_listed, sums.terms)))


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

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs = inputs
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
        self.heap = [(-n, -key) for key, n in self.counts.items() if n > 1]
        heapq.heapify(self.heap)

    def best(self) -> int | None:
        """The most frequent pair, of several the newest: that is 2 % fewer adders than the oldest.

        Entries of the heap whose count is out of date move down.
        """
        while self.heap:
            n, key = heapq.heappop(self.heap)
            now = self.counts[-key]
            if now == -n:
                return -key
            if 1 < now < -n:
                heapq.heappush(self.heap, (-now, key))
        return None

    def replace(self, key: int) -> None:
        """Make the pair a value and put it wherever its two terms stand."""
        first, gap = key >> 1 >> GAP_BITS, key >> 1 & GAPS
        base = first << SHIFT_BITS
        second = (base + SHIFTS // 2 + gap) >> SHIFT_BITS
        distance = base + gap - (second << SHIFT_BITS)
        made = self.inputs + len(self.pairs)
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
            if self.counts[other] > 1:
                heapq.heappush(self.heap, (-self.counts[other], -other))

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
