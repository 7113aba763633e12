"""Verdicts on a container: stable codes, shared with the C loader (``docs/format.md``)."""

from __future__ import annotations

from enum import IntEnum

from crystalc.diagnostics import CompileError, Diagnostic
from crystalc.ir import Loc


class Code(IntEnum):
    """Why a file is refused; 0 is a file that is fine."""

    OK = 0
    SHORT = 1
    MAGIC = 2
    VERSION = 3
    TABLE = 4
    SIZE = 5
    HEADER_CRC = 6
    RESERVED = 7
    ENUM = 8
    LIMIT = 9
    CONFIG = 10
    MEMORY = 11
    PLACE = 12
    END = 13
    UNKNOWN = 14
    TWICE = 15
    MISSING = 16
    UNEXPECTED = 17
    DTYPE = 18
    LAYOUT = 19
    SHAPE = 20
    BYTES = 21
    SECTION_CRC = 22
    PADDING = 23
    NUMBER = 24
    TEMPERATURE = 25
    TOKENS = 26
    MERGES = 27
    ROWS = 28
    OLD = 30
    IO = 31
    NOMEM = 32
    V2_FLAGS = 40
    V2_PLACE = 41


class ContainerError(CompileError):
    """A container is refused. ``code`` is stable and stands in the message, whose words are not."""

    def __init__(self, code: Code, sentence: str, key: str = "", hint: str = "") -> None:
        text = f"{sentence} (code {int(code)})"
        super().__init__(Diagnostic(text, Loc(key) if key else None, hint))
        self.code = code


def require(holds: bool, code: Code, sentence: str, key: str = "") -> None:
    """Raise ContainerError unless ``holds``."""
    if not holds:
        raise ContainerError(code, sentence, key)
