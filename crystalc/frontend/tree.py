"""A file's content as plain values: dicts and lists of numbers, strings, arrays and `Opaque`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, Diagnostic
from crystalc.ir import Loc

MOST_SHOWN = 20  # problems of one file


@dataclass(frozen=True)
class Opaque:
    """A value that this package does not hold: ``kind`` says what it was, "bfloat16 tensor"."""

    kind: str


Array: TypeAlias = NDArray[Any]
Value: TypeAlias = "Array | Opaque | dict[str, Value] | list[Value] | str | int | float | None"
Tree: TypeAlias = dict[str, Value]


def describe(value: Value) -> str:
    """What a value is, in two or three words."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} tensor"
    if isinstance(value, Opaque):
        return value.kind
    if isinstance(value, str):
        return f"'{value[:40]}'"
    if isinstance(value, dict | list):
        return "a dict" if isinstance(value, dict) else "a list"
    return repr(value)


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint with the closest valid name, or with all of them where none is close."""
    names = list(valid)
    close = difflib.get_close_matches(name[:80], names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(names)}"


@dataclass
class Findings:
    """Every problem of one file, in the order found. ``names`` maps our keys to the file's."""

    names: Mapping[str, str] = field(default_factory=dict)
    found: list[Diagnostic] = field(default_factory=list)

    def add(self, message: str, key: str, index: tuple[int, ...] = (), hint: str = "") -> None:
        """Record one problem at ``key[index]``."""
        self.found.append(Diagnostic(message, Loc(self.names.get(key, key), index), hint))

    def unknown(self, key: str, valid: Iterable[str], like: str = "") -> None:
        """Record a key that has no meaning here, with the name nearest to ``like`` (the key)."""
        shown = len(self.found) < MOST_SHOWN  # comparing names takes its time
        self.add("unknown key", key, hint=nearest(like or key, valid) if shown else "")

    def stop_if_any(self) -> None:
        """Raise CompileError with all that was found."""
        rest = len(self.found) - MOST_SHOWN
        if rest > 0:
            raise CompileError(*self.found[:MOST_SHOWN], Diagnostic(f"and {rest} more like these"))
        if self.found:
            raise CompileError(*self.found)

    def keys(self, given: Iterable[str], required: Iterable[str], valid: Iterable[str]) -> None:
        """Missing and unknown keys."""
        given, valid = list(given), list(valid)
        for key in required:
            if key not in given:
                self.add("missing", key)
        for key in given:
            if key not in valid:
                self.unknown(key, valid)
