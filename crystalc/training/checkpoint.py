"""Writing a trained crystal: ``.pt`` or ``.safetensors``, never half a file."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystalc.checkpoint import FORMAT, VERSION, Checkpoint
from crystalc.diagnostics import refuse
from crystalc.training.state import write_atomically


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint``; the suffix decides the format. The same model gives the same bytes."""
    writers = {".pt": _pt_bytes, ".safetensors": _safetensors_bytes}
    if path.suffix not in writers:
        raise refuse(f"cannot write {path.name}", hint="a name ending in .pt or .safetensors")
    write_atomically(path, writers[path.suffix](checkpoint))


def check_target(path: Path) -> None:
    """Refuse, before any work is done, a path that ``save`` would refuse."""
    if path.suffix not in (".pt", ".safetensors"):
        raise refuse(f"cannot write {path.name}", hint="a name ending in .pt or .safetensors")
    if not path.resolve().parent.is_dir():
        raise refuse(f"the folder {path.parent} does not exist")


def _contiguous(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    return {key: np.ascontiguousarray(value) for key, value in checkpoint.tensors.items()}


def _pt_bytes(checkpoint: Checkpoint) -> bytes:
    tensors = {
        key: torch.from_numpy(value.copy()) for key, value in _contiguous(checkpoint).items()
    }
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "config": checkpoint.config.to_dict(),
        "state_dict": tensors,
        "metadata": dict(checkpoint.metadata),
    }
    if checkpoint.calibration is not None:
        content["calibration"] = torch.from_numpy(checkpoint.calibration.copy())
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _safetensors_bytes(checkpoint: Checkpoint) -> bytes:
    """The format by hand: its usual writer orders the metadata differently in each run."""
    tensors = _contiguous(checkpoint)
    if checkpoint.calibration is not None:
        tensors["calibration"] = np.ascontiguousarray(checkpoint.calibration)
    header: dict[str, Any] = {
        "__metadata__": {
            "format": FORMAT,
            "version": str(VERSION),
            "config": json.dumps(checkpoint.config.to_dict(), sort_keys=True),
            "metadata": json.dumps(dict(checkpoint.metadata), sort_keys=True),
        }
    }
    end = 0
    for key, value in sorted(tensors.items(), key=lambda item: item[1].dtype == np.bool_):
        kind = "BOOL" if value.dtype == np.bool_ else "F32"
        span = [end, end := end + value.nbytes]
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": span}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data start on a multiple of 8
    data = b"".join(tensors[key].tobytes() for key in header if key != "__metadata__")
    return struct.pack("<Q", len(text)) + text + data
