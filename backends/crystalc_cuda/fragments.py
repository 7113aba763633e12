"""Weights [K, O] in the order in which the lanes of a warp hold them for mma.sync.

Lane l = 4 g + t holds, of step q (16 halves or 32 bytes of K) and of eight columns j, the registers
r = 0, 1 with elements e. Which k that is may be chosen freely as long as x uses the same order:

- ``tiles``: x comes from the registers of the product before it, where lane t has columns 2 t and
  2 t + 1 of every eight.
- ``input``: x comes from memory, 16 bytes of a row at a time.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Order = Literal["tiles", "input"]

TILE = 8
"""Columns of one product."""

RESIDUAL = 2048.0
"""The second half of a float is stored times this, so that it is no subnormal number."""

_LANE, _R = np.arange(32)[:, None, None], np.arange(2)[None, :, None]
_T = _LANE % 4


def half_rows(order: Order) -> Array:
    """k within a step of 16, [lane, r, e]."""
    e = np.arange(2)[None, None, :]
    return 8 * _R + 2 * _T + e if order == "tiles" else 4 * _T + 2 * _R + e


def byte_rows(order: Order) -> Array:
    """k within two steps of 32, [step, lane, r, e]."""
    e = np.arange(4)[None, None, :]
    if order == "tiles":
        one = 16 * _R + 8 * (e >> 1) + 2 * _T + (e & 1)
        return np.stack([one, one + 32])
    return np.stack([16 * _T + 4 * (2 * s + _R) + e for s in (0, 1)])


def halves(weights: Array, order: Order, tiles: int) -> Array:
    """[steps, tiles, 32, 2 or 4] words: halves that add up to float32 ``weights`` [K, O].

    The last two words of four are the residuals; they are left out when all are zero.
    """
    steps = -(-len(weights) // 16)
    full = _padded(weights.astype(np.float32), 16 * steps, TILE * tiles)
    high = full.astype(np.float16)
    low = ((full - high.astype(np.float32)) * np.float32(RESIDUAL)).astype(np.float16)
    parts = [high, low] if low.any() else [high]
    words = [_gather(p.view(np.uint16), half_rows(order), steps, 16) for p in parts]
    return np.concatenate(words, axis=-1)


def bytes_(weights: Array, order: Order, tiles: int) -> Array:
    """[steps, tiles, 32, 2] words of signed bytes of the integers ``weights`` [K, O]."""
    pairs = -(-len(weights) // 64)
    full = _padded(weights.astype(np.int8), 64 * pairs, TILE * tiles).view(np.uint8)
    rows = byte_rows(order)
    both = [_gather(full, r, pairs, 64) for r in rows]
    steps = np.stack(both, axis=1).reshape(2 * pairs, tiles, 32, 2)
    return steps[: byte_steps(len(weights), order)]


def byte_steps(k: int, order: Order) -> int:
    """Steps of 32 that K takes; from memory always an even number."""
    return 2 * -(-k // 64) if order == "input" else -(-k // 32)


def _padded(weights: Array, k: int, o: int) -> Array:
    return np.pad(weights, ((0, k - weights.shape[0]), (0, o - weights.shape[1])))


def _gather(full: Array, rows: Array, steps: int, size: int) -> Array:
    """uint32 [steps, tiles, 32, 2] from elements [K, O] of 8 or 16 bits."""
    tiles = full.shape[1] // TILE
    column = (np.arange(32) // 4)[:, None, None]
    blocks = full.reshape(steps, size, tiles, TILE).transpose(0, 2, 1, 3)
    picked = np.ascontiguousarray(blocks[:, :, rows, column])
    return picked.view("<u4")[..., 0]


def fits_halves(weights: Array) -> bool:
    """Halves hold the largest weight, and the smallest that matters beside it, well."""
    top = float(np.abs(weights).max(initial=0.0))
    return top == 0 or 2.0**-6 <= top < 2.0**15


def fits_bytes(weights: Array) -> bool:
    """Every weight is a signed byte."""
    return bool(np.all((weights >= -128) & (weights <= 127)))
