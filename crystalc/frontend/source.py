"""Opening a file that may be anything: regular, of sane size, and of a known kind."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal

from crystalc.diagnostics import CompileError, Diagnostic, refuse
from crystalc.frontend import limits

Kind = Literal["pt", "safetensors", "crystal"]

CONTAINER = b"CRYS"
LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"  # a pickled magic number
RESAVE = "load it where you trust it and save its state_dict again with torch.save"

SIGNATURES: dict[bytes, tuple[str, str]] = {
    LEGACY_TORCH: ("a torch file from before version 1.6", RESAVE),
    b"\x80": ("a bare pickle, which can run code when loaded", RESAVE),
    b"\x1f\x8b": ("a gzip file", "unpack it first"),
    b"GGUF": ("a GGUF file", ""),
    b"\x89HDF": ("an HDF5 file", ""),
}


def open_regular(path: Path) -> BinaryIO:
    """Open for reading without ever waiting (a FIFO) and refuse all but regular files."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refuse(f"{path}: {(reason or 'cannot be opened').lower()}") from None
    try:
        _check_stat(path, os.fstat(descriptor))
    except CompileError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_stat(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise refuse(f"{path}: is a directory", hint="name the .pt or .safetensors file in it")
    if not stat.S_ISREG(status.st_mode):
        raise refuse(f"{path}: not a regular file")
    if status.st_size == 0:
        raise refuse(f"{path}: empty file")
    if status.st_size > limits.FILE_BYTES:
        raise refuse(f"{path}: {status.st_size} bytes, more than {limits.FILE_BYTES}")


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file."""
    return os.fstat(file.fileno()).st_size


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``, fewer at the end of the file."""
    file.seek(offset)
    return file.read(count)


def sha256_of(file: BinaryIO) -> str:
    """Hex digest of the whole file."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def kind_of(file: BinaryIO, path: Path) -> Kind:
    """The format, by content first; the suffix decides only how a damaged file is explained."""
    head = read_at(file, 0, 512)
    if head.startswith(b"PK\x03\x04"):
        return "pt"
    if head.startswith(CONTAINER):
        return "crystal"
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return "safetensors"
    if head[257:262] == b"ustar":
        raise _foreign(path, "a tar archive", RESAVE)
    for signature, (name, hint) in SIGNATURES.items():
        if head.startswith(signature):
            raise _foreign(path, name, hint)
    raise _foreign(path, "neither a torch zip file nor a safetensors file", "")


def is_container(path: Path) -> bool:
    """Whether the file starts as a ``.crystal`` container does. Raises CompileError."""
    with open_regular(path) as file:
        return read_at(file, 0, 4) == CONTAINER


def _foreign(path: Path, name: str, hint: str) -> CompileError:
    return CompileError(Diagnostic(f"{path}: {name}", hint=hint))
