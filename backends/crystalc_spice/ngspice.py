"""libngspice in this process: load a netlist, give commands, read vectors."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ("libngspice.so.0", "libngspice.so", "libngspice.dylib", "ngspice.dll")
FAULTS = ("error", "no such vector", "aborted", "singular", "timestep too small")
"""What a line says that means failure; notes about gmin stepping do not."""


class NgspiceError(Exception):
    """ngspice refused a netlist or a command; the text is what it said."""


class _Vector(ctypes.Structure):
    """vector_info of sharedspice.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("flags", ctypes.c_short),
        ("real", ctypes.POINTER(ctypes.c_double)),
        ("complex", ctypes.c_void_p),
        ("length", ctypes.c_int),
    )


_SAY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
_EXIT = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p
)


def library() -> ctypes.CDLL | None:
    """The shared library, or None where there is none."""
    named = os.environ.get("NGSPICE_LIBRARY_PATH", "")
    for name in (named, *NAMES, ctypes.util.find_library("ngspice") or ""):
        try:
            if name:
                return ctypes.CDLL(name)
        except OSError:
            continue
    return None


class Ngspice:
    """The simulator; one for each process, as the library is global."""

    def __init__(self) -> None:
        found = library()
        if found is None:
            raise NgspiceError("libngspice is missing")
        self.library: Any = found
        self.said: list[str] = []
        self.library.ngGet_Vec_Info.restype = ctypes.POINTER(_Vector)
        self.keep = (_SAY(self._say), _SAY(lambda *_: 0), _EXIT(self._exit))
        self.library.ngSpice_Init(*self.keep, None, None, None, None)
        self.said.clear()

    def _say(self, line: bytes, _: int, __: Any) -> int:
        self.said.append(line.decode(errors="replace").removeprefix("stdout ").strip())
        return 0

    def _exit(self, status: int, *_: Any) -> int:
        self.said.append(f"error: ngspice gave up with status {status}")
        return 0

    def load(self, lines: Sequence[str]) -> None:
        """Take a netlist, its title first. Raises NgspiceError."""
        text = [line.encode() for line in lines] + [None]
        self._check(self.library.ngSpice_Circ((ctypes.c_char_p * len(text))(*text)))

    def command(self, text: str) -> None:
        """One command of its language. Raises NgspiceError."""
        self._check(self.library.ngSpice_Command(text.encode()))

    def vector(self, name: str) -> NDArray[np.float64]:
        """A copy of a real vector of the last analysis. Raises NgspiceError."""
        found = self.library.ngGet_Vec_Info(name.encode())
        if not found or not found.contents.length:
            raise NgspiceError(f"no vector {name}")
        info = found.contents
        return np.ctypeslib.as_array(info.real, (info.length,)).copy()

    def _check(self, status: int) -> None:
        said, self.said = self.said, []
        wrong = [line for line in said if any(fault in line.lower() for fault in FAULTS)]
        if status or wrong:
            raise NgspiceError("\n".join(wrong or said[-3:]) or f"ngspice failed with {status}")
