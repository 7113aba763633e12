"""Programs outside Python: are they there, which version, how to get them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

TIMEOUT = 20.0

PACKAGES = {
    "cc": "build-essential",
    "gcc": "build-essential",
    "clang": "clang",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "make": "build-essential",
    "iverilog": "iverilog",
    "vvp": "iverilog",
    "ngspice": "ngspice libngspice0",
    "nextpnr-ice40": "nextpnr-ice40",
    "icepack": "fpga-icestorm",
    "yosys": "yosys",
}
"""Debian package of each program."""


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


def _version(path: str) -> str:
    """First line that ``path --version`` prints."""
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return next(iter((done.stdout or done.stderr).splitlines()), "unknown").strip()
