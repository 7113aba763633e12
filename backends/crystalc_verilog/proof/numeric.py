"""What the gates that are no polynomial compute, of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def numeric(
    kind: str, params: Mapping[str, int], given: Sequence[Array], widths: Sequence[int], out: int
) -> Array:
    """A gate of unsigned words that is no polynomial, as unsigned numbers."""
    held = [
        _signed(a, w) if params.get(f"{p}_SIGNED") else a
        for a, w, p in zip(given, widths, "ABS", strict=False)
    ]
    made: Array = np.asarray(NUMERIC[kind](held, widths))
    return made & ((1 << out) - 1)


def _signed(a: Array, width: int) -> Array:
    return a - ((a >> (width - 1) & 1) << width)  # type: ignore[no-any-return]


def _pmux(g: Sequence[Array], widths: Sequence[int]) -> Array:
    found = g[0]
    for k in range(widths[2] - 1, -1, -1):
        part = g[1] >> (k * widths[0]) & ((1 << widths[0]) - 1)
        found = np.where(g[2] >> k & 1, part, found)
    return found


NUMERIC: Mapping[str, Callable[[Sequence[Array], Sequence[int]], Array]] = {
    "$mux": lambda g, w: np.where(g[2] != 0, g[1], g[0]),
    "$pmux": _pmux,
    "$and": lambda g, w: g[0] & g[1],
    "$or": lambda g, w: g[0] | g[1],
    "$xor": lambda g, w: g[0] ^ g[1],
    "$eq": lambda g, w: (g[0] == g[1]).astype(np.int64),
    "$lt": lambda g, w: (g[0] < g[1]).astype(np.int64),
    "$reduce_or": lambda g, w: (g[0] != 0).astype(np.int64),
    "$reduce_xor": lambda g, w: np.array([int(v).bit_count() & 1 for v in g[0]]),
    "$shl": lambda g, w: np.array([int(a) << int(b) for a, b in zip(*g, strict=True)]),
    "$shr": lambda g, w: np.array([int(a) >> int(b) for a, b in zip(*g, strict=True)]),
    "$sshr": lambda g, w: np.array([int(a) >> int(b) for a, b in zip(*g, strict=True)]),
}
"""The gates that a definition may have; all others are made of these."""
