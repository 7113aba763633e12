"""Arrays from untrusted files: every fault is one sentence."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse

Arrays = dict[str, NDArray[Any]]
Wanted = Mapping[str, tuple[int, ...]]  # stem of a key -> shape of one sample

FAULTS = (  # what NumPy and zipfile raise on a file that is not what it says
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def digest(*arrays: NDArray[Any]) -> str:
    """sha256 of the arrays' bytes, in order."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def read_npz(name: str, path: Path | None, wanted: Wanted) -> Arrays:
    """Arrays of an .npz; STEM_train and STEM_test of each stem must be there and match."""
    if path is None:
        raise refuse(
            f"{name} is read from a file", hint=f"--data PATH to its .npz ({keys_of(wanted)})"
        )
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            raw = {key: archive[key] for key in archive.files}
    except FAULTS as error:
        raise refuse(f"{path} cannot be read as an .npz file: {error}") from None
    check_arrays(name, path, raw, wanted)
    return raw


def check_arrays(name: str, path: Path, raw: Arrays, wanted: Wanted) -> None:
    """Refuse arrays of another shape than ``wanted``, or of different lengths in one part."""
    for part in ("train", "test"):
        _check_part(name, path, raw, {f"{k}_{part}": shape for k, shape in wanted.items()})


def keys_of(wanted: Wanted) -> str:
    """The names of the arrays that an .npz must hold."""
    return ", ".join(f"{stem}_{part}" for part in ("train", "test") for stem in wanted)


def _check_part(name: str, path: Path, raw: Arrays, wanted: Wanted) -> None:
    missing = [key for key in wanted if key not in raw]
    if missing:
        raise refuse(f"{path} is not {name}: it lacks {', '.join(missing)}")
    for key, sample in wanted.items():
        array = raw[key]
        if array.ndim < 1 or array.shape[1:] != sample or not np.issubdtype(array.dtype, np.number):
            found = f"has shape {list(array.shape)}, {array.dtype}"
            raise refuse(f"{path} is not {name}: {key} {found}")
    lengths = {len(raw[key]) for key in wanted}
    if len(lengths) > 1 or 0 in lengths:
        raise refuse(f"{path} is not {name}: its arrays differ in length or are empty")
