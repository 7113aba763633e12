"""A data set in memory: train, validation and test, kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Samples [n, I] and their classes [n]."""

    x: Floats
    y: Labels

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """``test`` is looked at once, after everything has been chosen. ``sha256`` names the bytes."""

    name: str
    classes: int
    train: Part
    validation: Part
    test: Part
    sha256: str
    note: str = ""  # how the raw data became x

    @property
    def inputs(self) -> int:
        """Width of a sample."""
        return int(self.train.x.shape[1])


def stratified(y: Labels, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (rest, part): ``part`` holds ``share`` of every class, drawn with ``seed``."""
    rng = np.random.default_rng(seed)
    taken = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        taken.append(members[: max(1, round(share * len(members)))])
    part = np.sort(np.concatenate(taken))
    rest = np.setdiff1d(np.arange(len(y)), part)
    return rest, part


def split_off(part: Part, share: float, seed: int) -> tuple[Part, Part]:
    """(rest, taken) with ``share`` of every class in ``taken``."""
    rest, taken = stratified(part.y, share, seed)
    return Part(part.x[rest], part.y[rest]), Part(part.x[taken], part.y[taken])
