"""The variables that both sides of a proof share, with the interval of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

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
    ``known``: intervals of sums that hold by their meaning, closer than their terms tell.
    """

    ranges: list[Range] = field(default_factory=list)
    known: dict[Hashable, Range] = field(default_factory=dict)
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
        return self.shared(("values", v, tuple(values)), min(values), max(values))


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
