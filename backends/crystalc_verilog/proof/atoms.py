"""The variables that both sides of a proof share, with the interval of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from math import prod

from crystalc_verilog.proof.poly import (
    Poly,
    constant,
    key,
    plus,
    scaled,
    times,
    variable,
    variables,
)

SMALL = 1 << 12
"""A function of a variable with at most this many values is known by its values."""

Range = tuple[int, int]


@dataclass
class Atoms:
    """``ranges[v]``: least and largest value of variable v. Equal contents are one variable.
    ``known``: intervals of sums less their constant that hold by their meaning, closer than their
    terms tell. ``sources``: of a variable that is a function of another: that one, all values.
    """

    ranges: list[Range] = field(default_factory=list)
    known: dict[Hashable, Range] = field(default_factory=dict)
    sources: dict[int, tuple[int, Sequence[int]]] = field(default_factory=dict)
    _bounds: dict[Hashable, Range] = field(default_factory=dict)
    _parts: dict[Hashable, Range] = field(default_factory=dict)
    _of: dict[Hashable, Poly] = field(default_factory=dict)

    def fresh(self, low: int, high: int) -> Poly:
        """A new variable, or the constant that it is."""
        if low == high:
            return constant(low)
        self.ranges.append((low, high))
        return variable(len(self.ranges) - 1)

    def shared(self, content: Hashable, low: int, high: int) -> Poly:
        """The variable of this content."""
        if content not in self._of:
            self._of[content] = self.fresh(low, high)
        return self._of[content]

    def absolute(self, a: Poly, low: int, high: int) -> Poly:
        """|a|, where low <= a <= high."""
        if low >= 0 or high <= 0:
            return scaled(a, 1 if low >= 0 else -1)
        small = self.single(a)
        if small is not None:
            return self.function(small, lambda v: abs(self.at(a, small, v)))
        lead = min((m for m in a if m), default=())
        same_sign = a if a.get(lead, 0) > 0 else scaled(a, -1)
        return self.shared(("abs", key(same_sign)), 0, max(-low, high))

    def bounds(self, a: Poly) -> Range:
        """Least and largest value of ``a``: monomials of one variable move together."""
        moving = {m: w for m, w in a.items() if m}
        content, offset = key(moving), a.get((), 0)
        if content not in self._bounds:
            self._bounds[content] = self._moving(moving)
        low, high = self._bounds[content]
        least, most = self.known.get(content, (low, high))
        return max(low, least) + offset, min(high, most) + offset

    def learn(self, a: Poly, low: int, high: int) -> None:
        """``a`` lies between ``low`` and ``high`` by what it means."""
        offset = a.get((), 0)
        content = key({m: w for m, w in a.items() if m})
        least, most = self.known.get(content, (low - offset, high - offset))
        self.known[content] = max(least, low - offset), min(most, high - offset)

    def _moving(self, a: Poly) -> Range:
        by_source: dict[frozenset[int], dict[tuple[int, ...], int]] = {}
        for monomial, weight in a.items():
            sources = frozenset(self.sources.get(v, (v, None))[0] for v in monomial)
            by_source.setdefault(sources, {})[monomial] = weight
        ends = [self._ends(sources, part) for sources, part in by_source.items()]
        return sum(low for low, _ in ends), sum(high for _, high in ends)

    def _ends(self, sources: frozenset[int], a: Poly) -> Range:
        """Every value of the one variable that all monomials are made of, else term by term."""
        low, high = self.ranges[min(sources)]
        plain = len(a) == 1 and a.keys() == {(min(sources),)}
        if plain or len(sources) > 1 or high - low >= SMALL:
            ends = [self._product(m, w) for m, w in a.items()]
            return sum(e[0] for e in ends), sum(e[1] for e in ends)
        content = key(a)
        if content not in self._parts:
            found = [
                sum(w * prod(self._value(v, u - low, u) for v in m) for m, w in a.items())
                for u in range(low, high + 1)
            ]
            self._parts[content] = min(found), max(found)
        return self._parts[content]

    def _value(self, v: int, place: int, value: int) -> int:
        values = self.sources[v][1] if v in self.sources else None
        return values[place] if values is not None else value

    def _product(self, monomial: Sequence[int], weight: int) -> Range:
        ends = [weight]
        for v, power in Counter(monomial).items():
            low, high = self.ranges[v]
            powers = [low**power, high**power]
            if power % 2 == 0 and low < 0 < high:
                powers.append(0)
            ends = [e * p for e in (min(ends), max(ends)) for p in (min(powers), max(powers))]
        return min(ends), max(ends)

    def single(self, a: Poly) -> int | None:
        """The one variable of ``a``, when it has few values."""
        found = variables(a)
        if len(found) != 1:
            return None
        [v] = found
        low, high = self.ranges[v]
        return v if high - low < SMALL else None

    def at(self, a: Poly, v: int, value: int) -> int:
        """``a``, whose only variable is ``v``, at a value of it."""
        return int(sum(w * value ** len(m) for m, w in a.items()))

    def function(self, v: int, f: Callable[[int], int]) -> Poly:
        """f(v) for a variable of few values: a polynomial of degree 2 at most where it is one."""
        low, high = self.ranges[v]
        values = [f(u) for u in range(low, high + 1)]
        x = variable(v)
        fitted = fit(low, values)
        if fitted is not None:
            a, b, c = fitted
            return plus(plus(scaled(times(x, x), a), x, b), constant(c))
        made = self.shared(("values", v, tuple(values)), min(values), max(values))
        self.sources.update((u, (v, values)) for (u,) in made)
        return made


def fit(low: int, values: Sequence[int]) -> tuple[int, int, int] | None:
    """Integers (a, b, c) with a*u*u + b*u + c = values[u - low] for all of them, or None."""
    if len(values) == 1:
        return 0, 0, values[0]
    bend = values[2] - 2 * values[1] + values[0] if len(values) > 2 else 0
    if bend % 2:
        return None
    a = bend // 2
    b = values[1] - values[0] - a * (2 * low + 1)
    c = values[0] - a * low * low - b * low
    numbers = range(low, low + len(values))
    fits = all(a * u * u + b * u + c == v for u, v in zip(numbers, values, strict=True))
    return (a, b, c) if fits else None
