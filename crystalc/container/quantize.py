"""Tensors to stored numbers and back, one function pair for each element type.

Rounding is to nearest, ties to even. Told how errors are felt, it carries each of them into numbers
not yet rounded (``feedback``). All arithmetic of the way back is float32, in the order
``q * scale + zero``, so that every reader gets the same floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container.feedback import Moments, settle
from crystalc.container.kinds import GROUP, Dtype, Part
from crystalc.container.layout import groups

Array = NDArray[Any]
Floats = NDArray[np.float32]

STEPS = {Dtype.S16: 32767, Dtype.S8: 127, Dtype.S8R: 127, Dtype.S16R: 32767}
NIBBLE = 15
FINER = 16
"""Steps of a row that is stored more finely in one of the others."""


@dataclass(frozen=True)
class Stored:
    """Elements of each part; ``scale`` and ``zero`` of s16 and s8.

    Values are [R, C], scales and minima [R] or [R, G]; of the fine parts R is the number of rows
    that have them, which fine_rows names.
    """

    dtype: Dtype
    parts: dict[Part, Array]
    scale: float = 0.0
    zero: float = 0.0


def quantize(
    tensor: Array, dtype: Dtype, moments: Moments | None = None, fine: Array | None = None
) -> Stored:
    """``tensor`` as numbers of ``dtype``. ``moments``: how errors are felt, for integers.

    ``fine``: rows of s8r and s16r, ascending, that have four bits more.
    """
    if dtype in (Dtype.S16, Dtype.S8):
        return _per_tensor(tensor, dtype, moments)
    if dtype in (Dtype.S8R, Dtype.S16R):
        return _per_row(tensor, dtype, moments, np.zeros(0, np.int64) if fine is None else fine)
    if dtype == Dtype.Q4:
        return _per_group(tensor, moments)
    return Stored(dtype, {Part.VALUES: tensor})


def dequantize(stored: Stored) -> Array:
    """The tensor that a reader computes with: float32, or as stored for f32, bits and tables."""
    values, parts = stored.parts[Part.VALUES], stored.parts
    if stored.dtype in (Dtype.S16, Dtype.S8):
        found = values.astype(np.float32) * np.float32(stored.scale) + np.float32(stored.zero)
        return found.astype(np.float32)
    if stored.dtype in (Dtype.S8R, Dtype.S16R):
        found = values.astype(np.float32) * parts[Part.SCALES].astype(np.float32)[:, None]
        if Part.FINE in parts:
            more = (parts[p] for p in (Part.FINE, Part.FINE_SCALES, Part.FINE_MINIMA))
            found[parts[Part.FINE_ROWS]] += _of_groups(*more)
        return found
    if stored.dtype == Dtype.Q4:
        return _of_groups(values, parts[Part.SCALES], parts[Part.MINIMA])
    return values


def _of_groups(values: Array, scales: Array, minima: Array) -> Floats:
    columns = values.shape[1]
    return values.astype(np.float32) * spread(scales, columns) + spread(minima, columns)


def _per_tensor(tensor: Array, dtype: Dtype, moments: Moments | None) -> Stored:
    """One scale and one offset, the middle of the range, for a whole tensor."""
    most = STEPS[dtype]
    low, high = float(tensor.min()), float(tensor.max())
    zero = np.float32((low + high) / 2)
    scale = np.float32((high - low) / 2 / most)
    steps = np.full(tensor.shape, float(scale))
    levels = _levels(tensor.astype(np.float64) - float(zero), steps, -most, most, moments)
    values = levels.astype(np.int16 if dtype == Dtype.S16 else np.int8)
    return Stored(dtype, {Part.VALUES: values}, float(scale), float(zero))


def _per_row(tensor: Array, dtype: Dtype, moments: Moments | None, fine: Array) -> Stored:
    """Symmetric, the largest magnitude of each row at 127 or 32,767."""
    scales = (np.abs(tensor).max(axis=1) / np.float32(STEPS[dtype])).astype(np.float32)
    steps, most = scales.astype(np.float64)[:, None], np.full((len(tensor), 1), STEPS[dtype])
    steps[fine] /= FINER
    most[fine] = STEPS[dtype] * FINER + FINER // 2 - 1
    wide = np.broadcast_to(steps, tensor.shape)
    levels = _levels(tensor.astype(np.float64), wide, -most, most, moments)
    parts = _fine_parts(levels, steps, fine) if len(fine) else {}
    kept = np.dtype(np.int16 if dtype == Dtype.S16R else np.int8)
    return Stored(dtype, {Part.VALUES: levels.astype(kept), Part.SCALES: scales, **parts})


def _fine_parts(levels: Array, steps: Array, fine: Array) -> dict[Part, Array]:
    """What rows ``fine`` of ``levels``, in sixteenths, have beyond the nearest whole level.

    That is left in ``levels``. Nibbles stand for -8 to 7 steps.
    """
    whole = np.floor((levels[fine] + FINER // 2) / FINER)
    nibbles = (levels[fine] - whole * FINER + FINER // 2).astype(np.uint8)
    levels[fine] = whole
    scales = np.repeat(steps[fine].astype(np.float16), groups(levels.shape[1]), axis=1)
    return {
        Part.FINE: nibbles,
        Part.FINE_SCALES: scales,
        Part.FINE_MINIMA: -(FINER // 2) * scales,
        Part.FINE_ROWS: fine.astype(np.uint32),
    }


def _per_group(tensor: Array, moments: Moments | None) -> Stored:
    """q4: 16 levels from the least to the greatest of each 32 columns of a row."""
    rows, columns = tensor.shape
    count = groups(columns)
    padded = np.pad(tensor, ((0, 0), (0, count * GROUP - columns)), mode="edge")
    grouped = padded.reshape(rows, count, GROUP).astype(np.float64)
    there = (np.arange(count * GROUP) < columns).reshape(count, GROUP)
    minima, scales = _fit(grouped, there)
    wanted = tensor.astype(np.float64) - spread(minima, columns)
    steps = spread(scales, columns).astype(np.float64)
    values = _levels(wanted, steps, 0, NIBBLE, moments).astype(np.uint8)
    return Stored(Dtype.Q4, {Part.VALUES: values, Part.SCALES: scales, Part.MINIMA: minima})


def _levels(
    wanted: Array, steps: Array, least: Array | int, most: Array | int, moments: Moments | None
) -> Array:
    """Integers [R, C] from ``least`` to ``most`` times ``steps`` near ``wanted``, both float64."""
    if moments is not None:
        return settle(wanted, steps, least, most, moments)
    return np.clip(np.rint(_divide(wanted, steps)), least, most)


SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Shares of a group's range that are tried: clipping its ends can lower the squared error."""


def _fit(grouped: Array, there: Array) -> tuple[Array, Array]:
    """float16 minima and scales [R, G] with the least squared error among a few ranges.

    ``there`` bool [G, 32] is False for padding.
    """
    low, high = grouped.min(axis=2), grouped.max(axis=2)
    best = _range(low, high, 1.0)
    error = _error(grouped, there, *best)
    for shrink in SHRINKS[1:]:
        tried = _range(low, high, shrink)
        found = _error(grouped, there, *tried)
        better = found < error
        error = np.where(better, found, error)
        best = (np.where(better, tried[0], best[0]), np.where(better, tried[1], best[1]))
    return best


def _range(low: Array, high: Array, shrink: float) -> tuple[Array, Array]:
    middle, half = (low + high) / 2, (high - low) / 2 * shrink
    minima = (middle - half).astype(np.float16)
    scales = ((middle + half - minima.astype(np.float64)) / NIBBLE).astype(np.float16)
    return minima, np.maximum(scales, np.float16(0))


def _error(grouped: Array, there: Array, minima: Array, scales: Array) -> Array:
    whole = _divide(grouped - _exact(minima), _exact(scales))
    levels = np.clip(np.rint(whole), 0, NIBBLE)
    error = (levels * _exact(scales) + _exact(minima) - grouped) * there
    summed: Array = (error**2).sum(axis=2)
    return summed


def _exact(half: Array) -> Array:
    return half.astype(np.float64)[..., None]


def _divide(values: Array, scale: Any) -> Array:
    """``values / scale``, 0 where the scale is 0 (all its numbers are the same)."""
    nonzero = np.asarray(scale) != 0
    found: Array = np.divide(values, scale, out=np.zeros(values.shape), where=nonzero)
    return found


def spread(per_group: Array, columns: int) -> Floats:
    """What each group of 32 columns shares, for every element: [R, G] -> [R, C]."""
    return np.repeat(per_group.astype(np.float32), GROUP, axis=1)[:, :columns]
