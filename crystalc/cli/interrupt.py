"""Ctrl-C as a question that a loop can ask; the other signals that end a program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = tuple(s for s in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if s)


class Terminated(BaseException):
    """A signal asks the program to end, like Ctrl-C: what it has started ends with it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.code = 128 + number


def end_on_signals() -> None:
    """From now on SIGTERM and SIGHUP raise Terminated, once; where they are ignored they stay so.

    Only the main thread may ask for it; elsewhere nothing changes.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)  # nothing disturbs the ending of the children
        raise Terminated(number)

    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)


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
