"""The progress bar of a training run, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

BAR = 6
FIXED = len("train ") + BAR + len(" /    0:00:00")
"""Columns of a line without its counts and notes."""


class Bar:
    """Shows how many of ``total`` are done, with notes. ``shown`` False draws nothing."""

    def __init__(self, total: int, shown: bool = True) -> None:
        console = Console(stderr=True)
        self._room = console.width - FIXED - 2 * len(str(total))
        self._progress = Progress(
            TextColumn("train"),
            BarColumn(bar_width=BAR),
            TextColumn("{task.completed}/{task.total}  {task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not shown,
        )
        self._task = self._progress.add_task("training", total=total, note="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, done: int, *notes: str) -> None:
        """``done`` of the total, and notes on it, as many as the line has room for."""
        said = ""
        for note in notes:
            if len(said) + 1 + len(note) > self._room:
                break
            said += f" {note}"
        self._progress.update(self._task, completed=done, note=said.strip())
