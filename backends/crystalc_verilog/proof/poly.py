"""Polynomials with integer coefficients: the form in which two sums are compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import gcd

Monomial = tuple[int, ...]
"""Numbers of the variables that are multiplied, sorted; () is 1."""

Poly = Mapping[Monomial, int]
"""Coefficient of each monomial; none is 0. Equal mappings are equal for all values."""

Key = frozenset[tuple[Monomial, int]]


def constant(value: int) -> Poly:
    """``value``."""
    return {(): value} if value else {}


def variable(number: int) -> Poly:
    """The variable alone."""
    return {(number,): 1}


def plus(a: Poly, b: Poly, factor: int = 1) -> Poly:
    """a + factor * b."""
    total = dict(a)
    for monomial, weight in b.items():
        made = total.pop(monomial, 0) + factor * weight
        if made:
            total[monomial] = made
    return total


def scaled(a: Poly, factor: int) -> Poly:
    """factor * a."""
    return {m: w * factor for m, w in a.items()} if factor else {}


def times(a: Poly, b: Poly) -> Poly:
    """a * b."""
    total: dict[Monomial, int] = {}
    for m, v in a.items():
        for n, w in b.items():
            both = tuple(sorted(m + n))
            total[both] = total.get(both, 0) + v * w
    return {m: w for m, w in total.items() if w}


def key(a: Poly) -> Key:
    """Equal exactly when the polynomials are."""
    return frozenset(a.items())


def is_constant(a: Poly) -> bool:
    """Has it no variable?"""
    return not a or (len(a) == 1 and () in a)


def variables(a: Poly) -> set[int]:
    """Numbers of the variables that occur."""
    return {v for monomial in a for v in monomial}


def direction(a: Poly) -> Key:
    """The same for all of factor * a + offset with factor != 0."""
    moving = {m: w for m, w in a.items() if m}
    common = reduce(gcd, moving.values(), 0)
    if common and moving[min(moving)] < 0:
        common = -common
    return frozenset((m, w // common) for m, w in moving.items())


def affine(made: Poly, of: Poly) -> tuple[int, int] | None:
    """Integers (factor, offset) with made = factor * of + offset, or None."""
    if is_constant(of):
        return None
    lead = next(m for m in of if m)
    factor, rest = divmod(made.get(lead, 0), of[lead])
    if rest:
        return None
    difference = plus(made, of, -factor)
    return (factor, difference.get((), 0)) if is_constant(difference) else None
