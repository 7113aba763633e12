"""What Yosys is doing, on standard error, while one waits for minutes."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASS = re.compile(rb"^[0-9.]+ Executing ([^\n]{1,60})", re.M)
TAIL = 20000
SECONDS_TTY, SECONDS_LOG = 0.5, 30.0


@contextmanager
def progress(what: str, log: Path) -> Iterator[None]:
    """Say the seconds and the pass that ``log`` names last, on a terminal twice a second."""
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, log, done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(what: str, log: Path, done: threading.Event) -> None:
    start, tty = time.monotonic(), sys.stderr.isatty()
    while not done.wait(SECONDS_TTY if tty else SECONDS_LOG):
        line = f"{what}: {time.monotonic() - start:.0f} s  {_last_pass(log)}"
        print(f"\r{line[:78]:78}" if tty else line, end="" if tty else "\n", file=sys.stderr)
        sys.stderr.flush()
    if tty:
        print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)


def _last_pass(log: Path) -> str:
    """The headline of the pass that runs."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            found = PASS.findall(file.read())
    except OSError:
        return ""
    return found[-1].decode(errors="replace").strip() if found else ""
