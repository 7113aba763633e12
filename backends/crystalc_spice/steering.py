"""Resistors of a series for one amplifier, so chosen that their errors cancel on known signals.

Rounding one gain leaves an error on the output; the gains that are not rounded yet take up what of
it they can, in the sense of least squares over the calibration signals (the order is from the
largest gain to the smallest, whose steps are finest). The feedback resistor is free: each value
of a decade is tried, and the one that leaves the least error is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc_spice.series import decade, nearest_of

Array = NDArray[np.float64]

FEEDBACK = 10e3
"""Ohms from which the feedback resistor is chosen, a decade up."""

LARGEST = 10e6
"""Ohms above which a resistor is left out."""

DAMPING = 1e-3
"""Share of a rail's power by which it is taken to be noise of its own."""

FLOOR = 1e-6
"""The same of the mean power: a gain stays where it is if its rail is silent."""


def fit(gains: Array, rails: Array, wanted: Array | None, series: str) -> tuple[float, Array]:
    """Ohms of the feedback, and [m] of the rails, negative for a gain below 0, inf if left out.

    ``rails`` [K, m]: the inputs on the calibration vectors, as the circuit before them gives them;
    ``wanted`` [K]: the output. None: that of ``gains`` [m], with FEEDBACK as it is.
    """
    order = np.argsort(-np.abs(gains), kind="stable")
    rails = rails[:, order]
    with np.errstate(over="ignore", invalid="ignore"):
        power = rails.T @ rails
    if not np.isfinite(power).all():
        text = "the model's values are too far apart in size to choose resistors by"
        raise refuse(text, hint="--series exact, or --level behavioral")
    alone = power.diagonal()
    power = power + np.diag(DAMPING * alone + max(FLOOR * alone.mean(), 1e-12))
    aim, feedback = gains[order], np.array([FEEDBACK])
    if wanted is not None:
        aim = aim + np.linalg.solve(power, rails.T @ (wanted - rails @ aim))
        feedback = FEEDBACK * np.array(decade(series)[:-1])
    ohms = _rounded(aim, power, feedback, series)
    error = feedback[:, None] / ohms - aim
    best = int(((error @ power) * error).sum(1).argmin())
    found = np.empty(len(order))
    found[order] = [_written(r) for r in ohms[best].tolist()]
    return _written(feedback[best]), found


def _written(ohms: float) -> float:
    """The double that the part's three digits read as."""
    return float(f"{ohms:.3g}")


def _rounded(aim: Array, power: Array, feedback: Array, series: str) -> Array:
    """[candidates, m]: one part after another, the rest moved to where the error is least."""
    carry = np.linalg.cholesky(np.linalg.inv(power)).T
    left = np.tile(aim, (len(feedback), 1))
    ohms = np.empty(left.shape)
    for i in range(len(aim)):
        with np.errstate(divide="ignore"):
            ideal = feedback / np.abs(left[:, i])
        part = np.where(ideal > LARGEST, np.inf, nearest_of(np.minimum(ideal, LARGEST), series))
        ohms[:, i] = np.copysign(part, left[:, i])
        error = (left[:, i] - feedback / ohms[:, i]) / carry[i, i]
        left[:, i:] -= error[:, None] * carry[i, i:]
    return ohms
