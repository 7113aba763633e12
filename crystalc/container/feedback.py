"""Rounding that makes up for its own errors: a number moves because of those rounded before it.

To second order, errors E [R, C] of a matrix cost trace(rows E columns E^T), where ``columns`` are
second moments of what the matrix meets and ``rows`` of what a change of its outcome does to the
loss. A column's error is carried into the columns after it, where it costs least (as GPTQ does);
inside a column, a row's error is carried into the rows after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DAMPING = 0.01
"""Share of a moment's mean that is added to its diagonal: text that was not seen is felt too."""
REACH = 2.0
"""Steps that a number may be carried before it is rounded."""


@dataclass(frozen=True)
class Moments:
    """Second moments [C, C] and [R, R] of a matrix [R, C], means over tokens.

    Where there are too many rows: ``felt`` [R], the diagonal of ``rows``. Without either, rows cost
    alike.
    """

    columns: Array
    rows: Array | None = None
    felt: Array | None = None


@dataclass(frozen=True)
class _Grid:
    """The distance of levels, its inverse (0 where there is none) and the outermost levels that a
    number may come to, each [R, C]; a method's column is one of theirs.
    """

    steps: Array
    inverse: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, wanted: Array, steps: Array, least: Array | int, most: Array | int) -> _Grid:
        inverse = np.divide(1.0, steps, out=np.zeros_like(steps), where=steps > 0)
        near = wanted * inverse
        low, high = (np.clip(np.rint(near + d), least, most) for d in (-REACH, REACH))
        return cls(steps, inverse, low, high)

    def column(self, j: int, wish: Array) -> Array:
        """Levels [R] nearest to numbers [R]."""
        level: Array = np.rint(wish * self.inverse[:, j])
        return level.clip(self.low[:, j], self.high[:, j])

    def chained_column(self, j: int, wish: Array, carry: Array) -> Array:
        """The same row by row, with the error of each carried into those after it."""
        wish, levels = wish.copy(), []
        columns = (x[:, j].tolist() for x in (self.steps, self.inverse, self.low, self.high))
        for r, (step, inverse, low, high) in enumerate(zip(*columns, strict=True)):
            number = wish.item(r)
            levels.append(min(max(round(number * inverse), low), high))
            wish[r + 1 :] -= (number - levels[r] * step) * carry[r, r + 1 :]
        return np.array(levels)


def settle(
    wanted: Array, steps: Array, least: Array | int, most: Array | int, moments: Moments
) -> Array:
    """Levels [R, C], from ``least`` to ``most``, whose multiples of ``steps`` stand for ``wanted``.

    Both float64 [R, C], limits one number or [R, 1]. Where a step is 0, so is the level.
    """
    order, carry = _chain(moments.columns)
    turn, chain = (np.arange(len(wanted)), None) if moments.rows is None else _chain(moments.rows)
    here = np.ix_(turn, order)
    left = wanted[here]
    grid = _Grid.of(left, steps[here], *(_turned(limit, turn) for limit in (least, most)))
    levels = np.empty_like(left)
    for j in range(len(order)):
        wish = left[:, j]
        levels[:, j] = (
            grid.column(j, wish) if chain is None else grid.chained_column(j, wish, chain)
        )
        error = wish - levels[:, j] * grid.steps[:, j]
        left[:, j + 1 :] -= error[:, None] * carry[j, j + 1 :]
    found: Array = np.empty_like(levels)
    found[here] = levels
    return found


def costs(steps: Array, moments: Moments) -> Array:
    """What rounding each row is expected to cost, in nats a token, [R], from its ``steps`` [R].

    An error of a step's square over 12 is felt by what is left of a moment's diagonal once errors
    can be carried on.
    """
    columns = _weights(moments.columns).sum()
    rows = moments.felt if moments.rows is None else _weights(moments.rows)
    found: Array = steps**2 / 24 * columns * (1.0 if rows is None else rows)
    return found


def _weights(moment: Array) -> Array:
    """How much an error of each number is felt that those after it can make up for, [n]."""
    order, _, scale = _factor(moment)
    found = np.empty(len(moment))
    found[order] = scale
    return found


def _turned(limit: Array | int, turn: Array) -> Array | int:
    return limit if isinstance(limit, int) else limit[turn]


def _chain(moment: Array) -> tuple[Array, Array]:
    """Order of rounding, what is felt most first, and what an error moves each later number by."""
    return _factor(moment)[:2]


def _factor(moment: Array) -> tuple[Array, Array, Array]:
    """The same, and how much what is not carried on is felt, [n] in that order."""
    order = np.argsort(-np.diag(moment), kind="stable")
    mean = float(np.diag(moment).mean())
    if not 0 < mean < np.inf:
        return order, np.zeros_like(moment), np.zeros(len(moment))
    damped = moment[np.ix_(order, order)] / mean + DAMPING * np.eye(len(moment))
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    return order, upper / np.diag(upper)[:, None], mean / np.diag(upper) ** 2
