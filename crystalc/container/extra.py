"""What gets more bits than the weight mode has: what pays most for its bytes, as it is felt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystalc.container.feedback import Moments, costs
from crystalc.container.kinds import (
    BY_ROW,
    EMBEDDINGS,
    VALUES,
    Dtype,
    Mode,
    dtypes_of,
    fine_parts_of,
    place_of,
)
from crystalc.container.layout import groups
from crystalc.container.quantize import FINER, STEPS
from crystalc.language import LanguageModel

Array = NDArray[Any]
PLACES = EMBEDDINGS[1]
SLOWER = 6.0
"""A byte that is multiplied for every token counts as so many of a row that is looked up."""
LARGEST_SCALE = 2.0**10
"""Rows with a larger one stay as they are: float16 could not hold a sixteenth of it."""


@dataclass(frozen=True)
class Extra:
    """``fine``: rows with four bits more, ascending, by key. ``wide``: keys with 16 for 8."""

    fine: Mapping[str, Array] = field(default_factory=dict)
    wide: frozenset[str] = frozenset()


NOTHING = Extra()


class _Offer(NamedTuple):
    """What rows of a tensor cost in nats and take in bytes if they are improved, [n] each."""

    key: str
    rows: Array
    gains: Array
    sizes: Array
    whole: bool = False


def spend(
    model: LanguageModel, mode: Mode, moments: Mapping[str, Moments], goal: float, most: float
) -> Extra:
    """The best for the bytes, until all that is left is expected to cost ``goal``.

    No more than ``most`` bytes. In q8 a field's values, whose rows are inputs, are improved
    together, and so are the few places.
    """
    offers = list(_offers(model, mode, moments))
    if not offers:
        return NOTHING
    which = np.concatenate([np.full(len(o.rows), i) for i, o in enumerate(offers)])
    rows, gains, sizes = (np.concatenate(x) for x in list(zip(*offers, strict=True))[1:4])
    slow = np.array([1.0 if _is_looked_up(o.key) else SLOWER for o in offers])[which]
    order = np.argsort(-gains / (sizes * slow), kind="stable")
    before = gains.sum() - np.cumsum(gains[order]) + gains[order]
    taken = order[(before > goal) & (np.cumsum(sizes[order]) <= most)]
    chosen = {o.key: np.sort(rows[taken[which[taken] == i]]) for i, o in enumerate(offers)}
    wide = frozenset(o.key for o in offers if o.whole and len(chosen[o.key]))
    return Extra({k: r for k, r in chosen.items() if len(r) and k not in wide}, wide)


def _offers(model: LanguageModel, mode: Mode, moments: Mapping[str, Moments]) -> Iterator[_Offer]:
    for key, tensor in model.tensors.items():
        dtype = dtypes_of(place_of(key)[0], mode)[0]
        if key in moments and dtype in BY_ROW:
            yield _offer(key, tensor, moments[key], dtype)


def _offer(key: str, tensor: Array, m: Moments, dtype: Dtype) -> _Offer:
    columns = tensor.shape[1]
    steps = np.abs(tensor).max(axis=1).astype(np.float64) / STEPS[dtype]
    gains = costs(steps, m)
    if dtype == Dtype.S8R and place_of(key)[0] in (PLACES, VALUES):
        size = np.array([tensor.size])
        return _Offer(key, np.zeros(1, np.int64), gains.sum(keepdims=True), size, True)
    each = 4 + groups(columns) * 20  # number, nibbles, scales and minima
    there = bool(fine_parts_of(place_of(key)[0], dtype))
    rows = np.flatnonzero((steps / FINER <= LARGEST_SCALE) & there)
    return _Offer(key, rows, gains[rows], np.full(len(rows), each))


def _is_looked_up(key: str) -> bool:
    return place_of(key)[0] in EMBEDDINGS
