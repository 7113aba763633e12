"""Programs outside Python: are they there, which version, how to get them, how to run them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crystalc.diagnostics import ToolError

TIMEOUT = 20.0
"""Seconds for a program to say its version."""

PACKAGES = {
    "cc": "build-essential",
    "gcc": "build-essential",
    "g++": "build-essential",
    "clang": "clang",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "qemu-aarch64": "qemu-user",
    "make": "build-essential",
    "iverilog": "iverilog",
    "vvp": "iverilog",
    "ngspice": "ngspice libngspice0",
    "nextpnr-ice40": "nextpnr-ice40",
    "icepack": "fpga-icestorm",
    "yosys": "yosys",
    "sta": "opensta qflow-tech-osu018",
    "nvcc": "nvidia-cuda-toolkit",
}
"""Debian package of each program."""

VERSION_FLAGS = {"iverilog": "-V", "vvp": "-V"}
"""Of the programs that do not know --version."""


@dataclass(frozen=True)
class Tool:
    """A program on PATH; ``path`` and ``version`` are empty when it is missing."""

    name: str
    path: str = ""
    version: str = ""

    @property
    def hint(self) -> str:
        """How to install it."""
        package = PACKAGES.get(self.name)
        return f"apt install {package}" if package else f"put {self.name} on PATH"


def find(name: str) -> Tool:
    """Look ``name`` up on PATH and ask it for its version."""
    path = shutil.which(name)
    return Tool(name, path, _version(path)) if path else Tool(name)


def first(names: tuple[str, ...]) -> Tool:
    """The first of ``names`` that is there; if none is, the missing first one."""
    return next((t for t in map(find, names) if t.path), Tool(names[0]))


def run(
    command: Sequence[str],
    where: Path,
    stdin: bytes = b"",
    *,
    timeout: float,
    name: str = "",
    hint: str = "",
    env: Mapping[str, str] | None = None,
) -> bytes:
    """stdout of ``command`` run in ``where``. Raises ToolError, with what it said, when it fails.

    ``timeout`` in seconds; ``name`` and ``hint`` are for the message.
    """
    name = name or Path(command[0]).name
    done = launch(command, where, stdin, timeout=timeout, name=name, hint=hint, env=env)
    if done.returncode:
        raise ToolError(f"{name} failed with code {done.returncode}", details=said(done))
    return done.stdout


def launch(
    command: Sequence[str],
    where: Path,
    stdin: bytes = b"",
    *,
    timeout: float,
    name: str = "",
    hint: str = "",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """As ``run``, for callers that know what an exit code means.

    The program leads a group of processes, of which none outlives a timeout or an interruption.
    """
    name = name or Path(command[0]).name
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command,
            cwd=where,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{name} does not start: {error.strerror}", hint) from error
    with process:
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{name} took longer than {timeout:.0f} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Everything a program printed, its errors first."""
    parts = (text.decode(errors="replace").strip() for text in (done.stderr, done.stdout))
    return "\n".join(p for p in parts if p)


def _version(path: str) -> str:
    """The first line with a number of what ``path`` says to a question for its version."""
    flag = VERSION_FLAGS.get(Path(path).name, "--version")
    try:
        done = launch([path, flag], Path(), timeout=TIMEOUT)
    except ToolError:
        return "unknown"
    if done.returncode:
        return "unknown"
    lines = (line.strip(" *") for line in said(done).splitlines())
    found = next((line for line in lines if re.search(r"\d", line)), "unknown")
    return found.removesuffix(" ()")  # Icarus, where it was built outside its repository
