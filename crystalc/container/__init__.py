"""The ``.crystal`` container: ``docs/format.md`` is its layout, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from crystalc.container import read as v3
from crystalc.container import v2
from crystalc.container.codes import Code, ContainerError
from crystalc.container.header import version_of
from crystalc.container.kinds import MODES, Mode
from crystalc.container.table import Entry
from crystalc.container.write import PRUNED, write
from crystalc.diagnostics import CompileError
from crystalc.frontend.source import open_regular
from crystalc.language import LanguageModel

__all__ = [
    "MODES",
    "PRUNED",
    "Code",
    "ContainerError",
    "Entry",
    "Info",
    "Mode",
    "read",
    "verdict",
    "write",
]

Source = str | Path | bytes | bytearray | memoryview


@dataclass(frozen=True)
class Info:
    """What a file says beside the model. ``entries``: the table of version 3.

    ``ids`` uint32 [V]: tokens of a pruned version 2 file in the vocabulary they came from.
    """

    version: int
    mode: Mode
    size: int
    pruned: bool
    entries: tuple[Entry, ...] = ()
    ids: NDArray[Any] | None = None


def read(source: Source, *, heads: int | None = None) -> tuple[LanguageModel, Info]:
    """The model in a file or in bytes, versions 2 and 3, with the floats its weights stand for.

    ``heads``: of a causal version 2 file, which does not say (4 where None). Raises
    ContainerError, and CompileError where the file cannot be opened.
    """
    data = (
        memoryview(source) if isinstance(source, bytes | bytearray | memoryview) else _load(source)
    )
    if version_of(data) == v2.VERSION:
        old = v2.parse(data)
        pruned = bool(old.header.flags & v2.PRUNED_VOCAB)
        info = Info(2, old.header.mode, len(data), pruned, (), old.ids)
        return v2.model_of(old, heads), info
    new = v3.parse(data)
    entries = tuple(new.entries)
    return v3.model_of(new), Info(3, new.header.mode, len(data), new.header.pruned, entries)


def verdict(data: bytes) -> tuple[Code, str]:
    """What the loader of the runtime says about these bytes: code and sentence, 0 and "" if fine.

    Version 2 is never run, whatever else is in the file: ``read`` checks it, to upgrade it.
    """
    view = memoryview(data)
    try:
        if version_of(view) == v2.VERSION:
            return Code.OLD, "the file has version 2: crystalc upgrade makes version 3 of it"
        v3.parse(view)
    except ContainerError as error:
        return error.code, error.diagnostics[0].message
    return Code.OK, ""


def _load(path: str | Path) -> memoryview:
    try:
        with open_regular(Path(path)) as file:
            return memoryview(file.read())
    except CompileError as error:
        raise ContainerError(Code.IO, error.diagnostics[0].message) from None
    except OSError as error:
        raise ContainerError(Code.IO, f"{path}: cannot be read: {error.strerror}") from None
