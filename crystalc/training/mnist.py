"""MNIST's bytes: an .npz, a folder of IDX files (.gz or not), or the usual download."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import urllib.request
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.training.files import Arrays, check_arrays, read_npz
from crystalc.training.state import write_atomically

SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
SHA256 = {  # of the unpacked IDX bytes
    "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
WANTED = {"x": (28, 28), "y": ()}
LARGEST = 64 << 20  # bytes of one unpacked IDX file


def load_mnist_arrays(path: Path | None) -> Arrays:
    """x_train [n, 28, 28], y_train [n], x_test, y_test as uint8. Raises CompileError."""
    if path is None:
        return read_folder(download(cache_folder()), check=True)
    if path.is_dir():
        return read_folder(path)
    raw = read_npz("mnist", path, WANTED)
    for key in ("x_train", "x_test"):
        if raw[key].dtype != np.uint8:
            raise refuse(f"{path} is not mnist: {key} is {raw[key].dtype}, not uint8")
    return raw


def cache_folder() -> Path:
    """Where downloads are kept: XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "crystalc" / "mnist"


def read_folder(folder: Path, check: bool = False) -> Arrays:
    """The four IDX files of a folder; ``check`` compares their sha256 with MNIST's."""
    raw: Arrays = {
        key: read_idx(_find(folder, name), SHA256[key] if check else "")
        for key, name in FILES.items()
    }
    check_arrays("mnist", folder, raw, WANTED)
    return raw


def _find(folder: Path, name: str) -> Path:
    found = [p for p in (folder / f"{name}.gz", folder / name) if p.is_file()]
    if not found:
        raise refuse(f"{folder} has no {name} and no {name}.gz")
    return found[0]


def unpack(path: Path) -> bytes:
    """The file's bytes, unpacked if its name ends in .gz, never more than LARGEST."""
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as stream:
            return stream.read(LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise refuse(f"{path} cannot be read: {error}") from None


def read_idx(path: Path, sha256: str = "") -> NDArray[np.uint8]:
    """An IDX file of uint8: 0 0 8 rank, then the dimensions big-endian, then the data."""
    content = unpack(path)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise refuse(f"{path} does not have MNIST's checksum", hint="delete it and try again")
    rank = content[3] if len(content) > 3 else 0
    head = 4 + 4 * rank
    if content[:3] != b"\0\0\x08" or rank not in (1, 3) or len(content) < head:
        raise refuse(f"{path} is not an IDX file of bytes")
    shape = struct.unpack(f">{rank}I", content[4:head])
    data = np.frombuffer(content, np.uint8, offset=head)
    if int(np.prod(shape, dtype=object)) != data.size or (rank == 3 and shape[1:] != (28, 28)):
        raise refuse(f"{path} holds {data.size} bytes, not what its header says: {list(shape)}")
    return data.reshape(shape)


def download(folder: Path) -> Path:
    """Fetch what ``folder`` lacks, keep it only if its checksum is right; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, name in FILES.items():
        target = folder / f"{name}.gz"
        if not target.is_file():
            write_atomically(target, _fetch(f"{name}.gz", SHA256[key]))
    return folder


def _fetch(name: str, sha256: str) -> bytes:
    reason = ""
    for source in SOURCES:
        try:
            with urllib.request.urlopen(source + name, timeout=30) as answer:
                packed: bytes = answer.read(LARGEST)
            if hashlib.sha256(gzip.decompress(packed)).hexdigest() == sha256:
                return packed
            reason = "its checksum is wrong"
        except (OSError, EOFError, zlib.error) as error:
            reason = str(getattr(error, "reason", error))
    raise refuse(
        f"MNIST could not be downloaded ({reason})", hint="--data PATH to mnist.npz or IDX files"
    )
