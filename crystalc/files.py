"""Writing without half-written files: a temporary name first, then a rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from crystalc.diagnostics import refuse


def check_folder(root: Path) -> None:
    """Refuse, before any work is done, a place where no folder can be: a file, or below one."""
    for place in (root, *root.parents):
        if os.path.lexists(place) and not os.path.isdir(place):
            hint = "name another place with -o"
            raise refuse(f"output {place} is a file, not a folder", hint=hint)


def make_folder(root: Path) -> None:
    """The folder ``root`` and those above it. Raises CompileError where it cannot be."""
    check_folder(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refuse(f"cannot make the folder {root}: {error.strerror}") from None


def remove(path: Path) -> None:
    """Delete a file that may be missing. Raises CompileError where it cannot be."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise refuse(f"cannot delete {path}: {error.strerror}") from None


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one.

    Raises CompileError when the place cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    make_folder(path.parent)
    if os.path.exists(path) and not os.path.isfile(path):
        raise refuse(f"cannot write {path}: not a regular file")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise refuse(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise refuse(f"cannot write {path}: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)


def write_tree(root: Path, files: Mapping[PurePosixPath, str | bytes]) -> None:
    """Write every file below ``root``; refuses a relative path that leaves it."""
    for name in files:
        if name.is_absolute() or ".." in name.parts:
            raise refuse(f"a backend may not write outside its folder: {name}")
    for name, content in files.items():
        write_atomic(root / name, content)
