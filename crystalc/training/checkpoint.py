"""Writing a trained model: ``.pt`` or ``.safetensors``, never half a file."""

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
from crystalc.files import check_folder
from crystalc.language import LanguageModel, Vocabulary
from crystalc.training.state import write_atomically

TYPES = {"float32": "F32", "int32": "I32", "uint8": "U8", "bool": "BOOL"}
Arrays = dict[str, NDArray[Any]]


def save(path: Path, model: Checkpoint | LanguageModel) -> None:
    """Write ``model``; the suffix decides the format. The same model gives the same bytes."""
    writers = {".pt": _pt_bytes, ".safetensors": _safetensors_bytes}
    if path.suffix not in writers:
        raise refuse(f"cannot write {path.name}", hint="a name ending in .pt or .safetensors")
    write_atomically(path, writers[path.suffix](model))


def check_target(path: Path) -> None:
    """Refuse, before any work is done, a path that ``save`` would refuse."""
    if path.suffix not in (".pt", ".safetensors"):
        raise refuse(f"cannot write {path.name}", hint="a name ending in .pt or .safetensors")
    check_folder(path.parent)
    if not path.resolve().parent.is_dir():
        raise refuse(f"the folder {path.parent} does not exist")


def _contiguous(model: Checkpoint | LanguageModel) -> Arrays:
    return {key: np.ascontiguousarray(value) for key, value in model.tensors.items()}


def _words(vocabulary: Vocabulary) -> Arrays:
    """The arrays of a vocabulary; ``size`` and ``split`` are kept beside them."""
    return {
        "bytes": np.frombuffer(b"".join(vocabulary.tokens), np.uint8),
        "lengths": np.array([len(token) for token in vocabulary.tokens], np.int32),
        "merges": np.ascontiguousarray(vocabulary.merges, np.int32),
    }


def _torch(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value.copy()) for key, value in arrays.items()}


def _pt_bytes(model: Checkpoint | LanguageModel) -> bytes:
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "config": model.config.to_dict(),
        "state_dict": _torch(_contiguous(model)),
        "metadata": dict(model.metadata),
    }
    if isinstance(model, LanguageModel):
        if model.vocabulary is not None:
            names = {"size": model.vocabulary.size, "split": model.vocabulary.split}
            content["vocabulary"] = {**_torch(_words(model.vocabulary)), **names}
    elif model.calibration is not None:
        content["calibration"] = torch.from_numpy(model.calibration.copy())
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _safetensors_bytes(model: Checkpoint | LanguageModel) -> bytes:
    """The format by hand: its usual writer orders the metadata differently in each run."""
    tensors, entries = _contiguous(model), _entries(model)
    if isinstance(model, LanguageModel):
        if model.vocabulary is not None:
            words = _words(model.vocabulary).items()
            tensors |= {f"vocabulary.{key}": value for key, value in words}
    elif model.calibration is not None:
        tensors["calibration"] = np.ascontiguousarray(model.calibration)
    header: dict[str, Any] = {"__metadata__": entries}
    end = 0
    for key, value in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        span = [end, end := end + value.nbytes]
        kind = TYPES[value.dtype.name]
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": span}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data start on a multiple of 8
    data = b"".join(tensors[key].tobytes() for key in header if key != "__metadata__")
    return struct.pack("<Q", len(text)) + text + data


def _entries(model: Checkpoint | LanguageModel) -> dict[str, str]:
    """The header's own strings: JSON under every key but the first two."""
    entries = {
        "format": FORMAT,
        "version": str(VERSION),
        "config": json.dumps(model.config.to_dict(), sort_keys=True),
        "metadata": json.dumps(dict(model.metadata), sort_keys=True),
    }
    if isinstance(model, LanguageModel) and model.vocabulary is not None:
        names = {"size": model.vocabulary.size, "split": model.vocabulary.split}
        entries["vocabulary"] = json.dumps(names, sort_keys=True)
    return entries
