"""Preferred values of resistors, IEC 60063."""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache

import numpy as np
from numpy.typing import NDArray

_E24 = "10 11 12 13 15 16 18 20 22 24 27 30 33 36 39 43 47 51 56 62 68 75 82 91"
SERIES = {"E12": 12, "E24": 24, "E48": 48, "E96": 96, "E192": 192}


@cache
def decade(series: str) -> tuple[float, ...]:
    """The values of one decade, from 1 on, and 10."""
    steps = SERIES[series]
    if steps <= 24:
        values = [int(text) / 10 for text in _E24.split()][:: 24 // steps]
    else:
        values = [round(10 ** (k / steps), 2) for k in range(steps)]
        values = [9.20 if v == 9.19 else v for v in values]
    return (*values, 10.0)


def nearest(ohms: float, series: str) -> float:
    """The value of the series that is nearest in ratio to ``ohms`` > 0."""
    power = math.floor(math.log10(ohms))
    mantissa = ohms / 10.0**power
    values = decade(series)
    above = min(max(bisect_left(values, mantissa), 1), len(values) - 1)
    low, high = values[above - 1], values[above]
    chosen = high if mantissa * mantissa > low * high else low
    return float(f"{chosen:.3g}e{power}")


def nearest_of(ohms: NDArray[np.float64], series: str) -> NDArray[np.float64]:
    """``nearest`` for many, in the same order."""
    values = np.array(decade(series))
    limits = np.sqrt(values[1:] * values[:-1])
    power = np.floor(np.log10(ohms))
    found = values[np.searchsorted(limits, ohms / 10.0**power)]
    return np.asarray(found * 10.0**power)
