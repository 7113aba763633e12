"""Files of a run in progress: atomic writes, and the state from which training goes on."""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch

from crystalc.diagnostics import refuse


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder, then rename. Raises CompileError."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.resolve().parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True) if temporary else None
        raise refuse(f"cannot write {path}: {error.strerror}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def state_path(output: Path) -> Path:
    """The resume file that belongs to an output: ``digits.pt`` -> ``digits.resume.pt``."""
    return output.with_name(f"{output.stem}.resume.pt")


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a dict of plain values and tensors."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def read_state(path: Path, recipe: dict[str, Any], data: str) -> dict[str, Any]:
    """The state of an interrupted run of this ``recipe`` on this ``data`` (sha256).

    Raises CompileError when there is none, it is damaged, or it belongs to another run.
    """
    if not path.is_file():
        raise refuse(f"there is nothing to resume: {path} does not exist")
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        raise refuse(f"{path} is not a resume file", hint="delete it and train again") from None
    if not isinstance(state, dict) or state.get("kind") != "crystalc training state":
        raise refuse(f"{path} is not a resume file", hint="delete it and train again")
    differing = [key for key in recipe if state["recipe"].get(key) != recipe[key]]
    if differing:
        raise refuse(f"the interrupted run had other options: {', '.join(differing)}")
    if state["data"] != data:
        raise refuse("the interrupted run was on other data")
    loaded: dict[str, Any] = state
    return loaded
