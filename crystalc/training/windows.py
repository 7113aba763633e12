"""Windows of a token file that stays on disk: what each step of a run reads.

A batch is a function of the seed and the step alone, so a resumed run reads what an uninterrupted
one would have, and so do several processes that share a batch.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalc.diagnostics import refuse

STRIDE = 32  # tokens between two overlapping windows
FORGET = 64  # batches after which pages of the file are given back
Order = Literal["random", "stride"]
Starts = NDArray[np.int64]


class TokenFile:
    """Token ids in a file of uint16 or uint32, mapped: windows are copied out, the rest stays.

    ``width``: bytes of one token. Raises CompileError when the file cannot be mapped.
    """

    def __init__(self, path: Path, width: int) -> None:
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise refuse(f"{path} cannot be mapped: {error}") from None
        self.ids = np.frombuffer(self._map, np.dtype(f"<u{width}"))
        self._reads = 0

    def __len__(self) -> int:
        return len(self.ids)

    def windows(self, starts: Starts, length: int) -> NDArray[np.int64]:
        """[n] -> [n, length]: copies of the windows that begin at ``starts``."""
        found: NDArray[np.int64] = self.ids[starts[:, None] + np.arange(length)].astype(np.int64)
        self._reads += 1
        if self._reads % FORGET == 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # mapped pages count as memory of the process
        return found


@dataclass(frozen=True)
class Windows:
    """Batches of windows over tokens ``first`` up to ``last`` of a file.

    ``order`` "random": every start is as likely, each step draws anew. "stride": starts are
    multiples of 32, each window once an epoch, in an order that changes with the epoch.
    """

    file: TokenFile
    first: int
    last: int
    context: int
    batch: int
    order: Order
    seed: int

    @property
    def starts(self) -> int:
        """How many windows there are to draw from."""
        return max(self.last - self.first - self.context, 0)

    @property
    def per_epoch(self) -> int:
        """Windows in one epoch."""
        step = STRIDE if self.order == "stride" else self.context
        return (self.starts - 1) // step + 1

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch; the last takes its rest from the next epoch."""
        return math.ceil(self.per_epoch / self.batch)

    def chosen(self, step: int) -> Starts:
        """[batch] starts of the windows of this step."""
        if self.order == "random":
            rng = np.random.default_rng([self.seed, step])
            return self.first + rng.integers(self.starts, size=self.batch)
        numbers = step * self.batch + np.arange(self.batch)
        epochs = {int(e): self._shuffle(int(e)) for e in np.unique(numbers // self.per_epoch)}
        places = [_place(int(n), self.per_epoch, epochs) for n in numbers]
        return self.first + STRIDE * np.array(places, np.int64)

    def _shuffle(self, epoch: int) -> tuple[int, int]:
        """(a, b) of the permutation i -> (a i + b) mod per_epoch, which needs no memory."""
        count, rng = self.per_epoch, np.random.default_rng([self.seed, epoch, STRIDE])
        factor = int(rng.integers(1, count + 1))
        while math.gcd(factor, count) != 1:
            factor = factor % count + 1
        return factor, int(rng.integers(count))

    def batch_of(self, step: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, Tensor]:
        """Inputs and targets [batch / ranks, context]: this process's share of the step."""
        starts = self.chosen(step)[rank::ranks]
        found = torch.from_numpy(self.file.windows(starts, self.context + 1))
        return found[:, :-1], found[:, 1:]


def _place(number: int, count: int, epochs: dict[int, tuple[int, int]]) -> int:
    """Which window of its epoch the ``number``-th of the run is."""
    a, b = epochs[number // count]
    return (a * (number % count) + b) % count


def whole(file: TokenFile, first: int, last: int, context: int, most: int) -> Starts:
    """Starts of windows that cover tokens ``first`` to ``last`` once, at most ``most`` of them.

    Where there are more, they are spread evenly.
    """
    every = np.arange(first, last - context, context, dtype=np.int64)
    if len(every) <= most:
        return every
    return every[np.linspace(0, len(every) - 1, most).astype(np.int64)]
