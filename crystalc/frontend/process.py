"""Running `child.py` and reading its replies: bounded time, bounded memory, nothing left behind."""

from __future__ import annotations

import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from crystalc.diagnostics import CompileError, ToolError, refuse
from crystalc.frontend.limits import timeout_for
from crystalc.frontend.source import size_of

CHILD = Path(__file__).with_name("child.py")
FRAME = struct.Struct("<Qc")
TOO_LONG = "made its reader answer without end"
FRAME_ROOM = 32 << 20  # bytes of a reply beyond 5 times the file
INSTALL = "pip install 'torch>=2.10', or save the model as .safetensors, which needs no torch"
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


def load_in_child(files: Sequence[BinaryIO]) -> list[bytes | CompileError]:
    """Safetensors bytes, or the refusal, of each ``.pt`` file that the child answered for.

    One bad file may kill the child: then its entry, the last, is the refusal and the files after
    it have none. Raises ToolError when torch is missing or too old.
    """
    sizes = [size_of(file) for file in files]
    output, verdict = _run([file.fileno() for file in files], sizes)
    replies = _split(output)
    if len(replies) < len(files):
        replies.append(refuse(f"this .pt file {verdict}"))
    return replies


def _split(output: bytes) -> list[bytes | CompileError]:
    """Whole frames only; what follows the last one is dropped."""
    replies: list[bytes | CompileError] = []
    position = 0
    while position + FRAME.size <= len(output):
        length, kind = FRAME.unpack_from(output, position)
        position += FRAME.size
        if position + length > len(output):
            break
        replies.append(_reply(kind, output[position : position + length]))
        position += length
    return replies


def _reply(kind: bytes, body: bytes) -> bytes | CompileError:
    if kind == b"T":
        return body
    text = body.decode("utf-8", "replace")
    if kind == b"X":
        raise ToolError(f"reading a .pt file needs torch >= 2.10: torch {text}", INSTALL)
    return refuse(f"this .pt file {text}")


def _run(descriptors: list[int], sizes: list[int]) -> tuple[bytes, str]:
    """Everything the child wrote, and what to say of the file it stopped at."""
    deadline = time.monotonic() + timeout_for(sum(sizes))
    process = _start(descriptors)
    assert process.stdout is not None
    try:
        most = 5 * sum(sizes) + len(sizes) * FRAME_ROOM
        output = _read(process.stdout, most, deadline)
        return output, TOO_LONG if len(output) >= most else _verdict(process, deadline)
    finally:
        _kill(process)


def _start(descriptors: list[int]) -> subprocess.Popen[bytes]:
    """The child, with nothing of ours but the open files and a few variables."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHILD), *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
            env={**environment, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
    except OSError as error:
        raise ToolError(f"{sys.executable} does not start: {error.strerror}") from None


def _read(pipe: IO[bytes], most: int, deadline: float) -> bytes:
    """What comes through the pipe until it closes, the deadline passes or ``most`` is reached."""
    chunks: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while most > 0 and selector.select(max(0.0, deadline - time.monotonic())):
            chunk = os.read(pipe.fileno(), 1 << 20)
            if not chunk:
                break
            chunks.append(chunk)
            most -= len(chunk)
    return b"".join(chunks)


def _verdict(process: subprocess.Popen[bytes], deadline: float) -> str:
    try:
        code = process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "took too long to read"
    if code == -signal.SIGXCPU:
        return "took too long to read"
    return f"broke the process that read it (exit code {code})"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and all that it may have started (it leads a process group of its own)."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
