"""Choosing binary points and scales from sample values. Pure functions of NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, refuse
from crystalc.ir import FixedType

Array = NDArray[Any]

FRAC_LIMIT = 30
MULTIPLIER_BITS = 24
PRODUCT_BITS = 60
SHIFT_LIMIT = 60
LARGEST = 2.0**61


def to_fixed(x: Array, elem: FixedType) -> NDArray[np.int64]:
    """Real ``x`` as integers of ``elem``: round half up, then saturate."""
    scaled = np.floor(np.asarray(x, dtype=np.float64) * 2.0**elem.frac + 0.5)
    return np.clip(scaled, elem.low, elem.high).astype(np.int64)


def to_real(q: Array, elem: FixedType) -> NDArray[np.float64]:
    """The real numbers that the integers ``q`` of ``elem`` stand for."""
    return np.asarray(q, dtype=np.float64) * 2.0**-elem.frac


def best_type(samples: Array, width: int, signed: bool | None = None) -> FixedType:
    """The ``width``-bit type whose rounding and clipping error on ``samples`` is least (squares).

    Unsigned when no sample is negative, unless ``signed`` says otherwise.
    """
    is_signed = bool(samples.min() < 0) if signed is None else signed
    largest = float(np.abs(samples).max())
    exact = _no_clip(largest, width - int(is_signed))
    gains = (0, 1, 2, 3, -1)  # of equals the first is taken
    candidates = [FixedType(is_signed, width, min(exact + k, FRAC_LIMIT)) for k in gains]
    errors = [np.square(to_real(to_fixed(samples, t), t) - samples).sum() for t in candidates]
    return candidates[int(np.argmin(errors))]


def covering_type(samples: Array, width: int) -> FixedType:
    """The finest signed ``width``-bit type that holds every sample without clipping."""
    largest = float(np.abs(samples).max())
    frac = min(_no_clip(largest, width - 1), FRAC_LIMIT)
    fits = to_real(np.array([(1 << (width - 1)) - 1]), FixedType(True, width, frac))[0] >= largest
    return FixedType(True, width, frac if fits else frac - 1)


def _no_clip(largest: float, bits: int) -> int:
    """Largest frac for which ``largest`` < 2**(bits - frac)."""
    if largest <= 0:
        return bits
    return bits - int(np.floor(np.log2(largest))) - 1


def row_scale(w: Array, axis: int, width: int, power_of_two: bool = False) -> Array:
    """Scale per row (reduced over ``axis``) that puts the largest weight at the end of the range.

    Rows of zeros get scale 1. ``power_of_two``: the next larger one.
    """
    most = np.abs(w).max(axis=axis)
    scale = np.where(most > 0, most, 1.0) / ((1 << (width - 1)) - 1)
    return np.exp2(np.ceil(np.log2(scale))) if power_of_two else scale


def power_below(x: Array) -> Array:
    """The largest power of two that does not exceed abs(x), with the sign of x."""
    return np.copysign(np.exp2(np.floor(np.log2(np.abs(x)))), x)


def without_spare_bits(elem: FixedType, samples: Array) -> FixedType:
    """``elem`` less the low bits that are 0 in every sample: the same numbers in fewer wires."""
    used = int(np.bitwise_or.reduce(to_fixed(samples, elem), axis=None))
    spare = (used & -used).bit_length() - 1 if used else 0
    return FixedType(elem.signed, elem.width - spare, elem.frac - spare)


def round_half_up(x: Array) -> NDArray[np.int64]:
    """floor(x + 1/2) as int64. Raises CompileError where that needs more than 62 bits."""
    rounded = np.floor(np.asarray(x, dtype=np.float64) + 0.5)
    if not (np.abs(rounded) < LARGEST).all():
        raise too_wide()
    return rounded.astype(np.int64)


def too_wide() -> CompileError:
    """The refusal of a model whose numbers no integer of the oracle can carry."""
    return refuse(
        "the model's numbers are too far apart in size for integers",
        hint="compile with --arithmetic float",
    )


def multipliers(ratio: Array, operand_bits: int) -> tuple[NDArray[np.int64], int]:
    """Integers ``m`` and one ``shift`` with m * 2**-shift closest to ``ratio``.

    ``m`` has at most 24 bits, fewer where m times an operand of ``operand_bits`` would pass 61.
    """
    bits = min(MULTIPLIER_BITS, PRODUCT_BITS - operand_bits)
    most = float(np.abs(ratio).max())
    shift = bits - 1 - int(np.floor(np.log2(most))) if most > 0 else 1
    shift = int(np.clip(shift, 1, SHIFT_LIMIT))
    return round_half_up(np.asarray(ratio) * 2.0**shift), shift


def shifts(ratio: Array, operand_bits: int) -> tuple[NDArray[np.int64], int]:
    """As ``multipliers`` for ratios that are powers of two: the smallest integers ``m``."""
    m, shift = multipliers(ratio, operand_bits)
    used = int(np.bitwise_or.reduce(np.abs(m), axis=None))
    spare = min((used & -used).bit_length() - 1 if used else 0, shift - 1)
    return m >> spare, shift - spare
