"""Ctrl-C as a question that a loop can ask."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_on_interrupt() -> Iterator[Any]:
    """Yields a question: has Ctrl-C been pressed? A second Ctrl-C ends the program at once."""
    pressed = False

    def first(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, first)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)
