"""Time on a GPU, by its own events."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

ROUNDS = 15


def seconds(call: Callable[[], Any]) -> float:
    """Median of the rounds, by CUDA events."""
    found = []
    with torch.inference_mode():
        for i in range(-3, ROUNDS):
            a, b = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            a.record()
            call()
            b.record()
            b.synchronize()
            if i >= 0:
                found.append(a.elapsed_time(b) / 1e3)
    return statistics.median(found)
