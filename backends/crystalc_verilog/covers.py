"""Conditions on a counter that look at no more bits than the values it takes make necessary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

MOST = 3
"""Terms beyond which a comparison is not larger."""


def cover(yes: Iterable[int], no: Iterable[int], bits: int) -> list[tuple[int, int]] | None:
    """(mask, value) of terms, one of which holds for each of ``yes`` and none for any of ``no``.

    Values in neither may get any answer. None where that takes more than ``MOST`` terms.
    """
    other = np.unique(np.fromiter(no, dtype=np.int64))
    left, terms = sorted(set(yes)), list[tuple[int, int]]()
    while left:
        mask = _least(left[0], other, bits)
        if mask is None or len(terms) == MOST:
            return None
        terms.append((mask, left[0] & mask))
        left = [v for v in left if all(v & m != w for m, w in terms)]
    return terms


def _least(value: int, other: np.ndarray[tuple[int], np.dtype[np.int64]], bits: int) -> int | None:
    """The bits, the high ones dropped first, by which ``value`` is none of ``other``."""
    mask = (1 << bits) - 1
    if (other == value).any():
        return None
    for k in reversed(range(bits)):
        less = mask & ~(1 << k)
        if not ((other & less) == value & less).any():
            mask = less
    return mask


def written(name: str, terms: Sequence[tuple[int, int]], bits: int) -> str:
    """The terms in Verilog."""
    if not terms:
        return "1'b0"
    if any(not mask for mask, _ in terms):
        return "1'b1"
    return " | ".join(_term(name, mask, value, bits) for mask, value in terms)


def _term(name: str, mask: int, value: int, bits: int) -> str:
    if mask & (mask - 1) == 0 and name.isidentifier():
        bit = f"{name}[{mask.bit_length() - 1}]" if bits > 1 else name
        return bit if value else f"~{bit}"
    return f"(({name} & {bits}'h{mask:x}) == {bits}'h{value:x})"


def at_least(name: str, bits: int, bound: int, values: Sequence[int]) -> str:
    """Is a counter that takes only ``values`` at or beyond ``bound``?"""
    high = [v for v in values if v >= bound]
    terms = cover(high, [v for v in values if v < bound], bits)
    return f"({written(name, terms, bits)})" if terms else f"({name} >= {bits}'d{bound})"
