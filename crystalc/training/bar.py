"""The progress bar of a training run, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Shows how many of ``total`` are done, with a note. ``shown`` False draws nothing."""

    def __init__(self, total: int, shown: bool = True) -> None:
        self._progress = Progress(
            TextColumn("train"),
            BarColumn(bar_width=16),
            TextColumn("{task.completed}/{task.total}  {task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
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

    def show(self, done: int, note: str) -> None:
        """``done`` of the total, and what to say about it."""
        self._progress.update(self._task, completed=done, note=note)
