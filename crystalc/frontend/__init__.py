"""Checkpoints from files that may be hostile: `read_model` is the only way in."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError, refuse
from crystalc.frontend import limits
from crystalc.frontend.bare import read_bare
from crystalc.frontend.decode import check_header, decode_reply, read_header, read_tensors
from crystalc.frontend.pickle_scan import check_pickle
from crystalc.frontend.process import load_in_child
from crystalc.frontend.source import kind_of, open_regular, read_at, sha256_of, size_of
from crystalc.frontend.version1 import from_header, is_version1, read_version1
from crystalc.frontend.zipfile import check_sums, read_directory
from crystalc.language import LanguageModel

__all__ = ["check_archive", "read_checkpoint", "read_model", "read_reply"]

Model = Checkpoint | LanguageModel


def read_checkpoint(path: str | Path) -> Checkpoint:
    """`read_model` where only a classifier will do. Raises CompileError for a language model."""
    model = read_model(path)
    if isinstance(model, LanguageModel):
        raise refuse(f"{path}: a language model, where a classifier is needed")
    return model


def read_model(path: str | Path) -> Model:
    """Read a ``.pt``, ``.safetensors`` or ``.crystal`` file without running anything that is in it.

    Raises CompileError with every problem found, ToolError where a ``.pt`` file is given and
    torch >= 2.10 is not installed.
    """
    try:
        with open_regular(Path(path)) as file:
            return _read(file, Path(path))
    except OSError as error:
        raise refuse(f"{path}: cannot be read: {error.strerror}") from None


def _read(file: BinaryIO, path: Path) -> Model:
    kind = kind_of(file, path)
    if kind == "safetensors":
        return _read_safetensors(file)
    if kind == "crystal":
        return _read_crystal(file)
    check_archive(file)
    reply = load_in_child([file])[0]
    return read_reply(reply, sha256_of(file))


def check_archive(file: BinaryIO) -> None:
    """Refuse a ``.pt`` file by its directory and its pickle, before torch sees it."""
    records = read_directory(file)
    if "constants.pkl" in records:
        raise refuse("a TorchScript archive, which holds code", hint="save model.state_dict()")
    if "data.pkl" not in records:
        raise refuse("a zip file, but not one of torch.save: it has no data.pkl")
    pickle = records["data.pkl"]
    if pickle.size > limits.PICKLE_BYTES:
        raise refuse(f"its data.pkl has {pickle.size} bytes, more than {limits.PICKLE_BYTES}")
    check_sums(file, records.values())
    check_pickle(read_at(file, pickle.start, pickle.size))


def read_reply(reply: bytes | CompileError, source: str) -> Model:
    """The model in what the child sent back for one file."""
    if isinstance(reply, CompileError):
        raise reply
    tree = decode_reply(reply)
    return read_version1(tree, source) if is_version1(tree) else read_bare(tree, source)


def _read_crystal(file: BinaryIO) -> Model:
    from crystalc.container import read  # which opens its files as this package does

    return read(read_at(file, 0, size_of(file)))[0]


def _read_safetensors(file: BinaryIO) -> Model:
    size = size_of(file)
    header_bytes = check_header(read_at(file, 0, 8), size)
    metadata = read_header(read_at(file, 8, header_bytes), size - 8 - header_bytes)
    tensors = read_tensors(read_at(file, 0, size))
    source = sha256_of(file)
    if is_version1(metadata):
        return read_version1(from_header(metadata, tensors), source)
    return read_bare(tensors, source, metadata)
