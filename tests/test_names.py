"""Names from a model never reach generated text: the same bytes for benign and hostile names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hostile.names import CANARY, COUNT, hostile_names
from support import as_document, tiny_checkpoint, write_pt, write_safetensors

from crystalc.backend import available, load
from crystalc.checkpoint import Checkpoint, Kernel
from crystalc.cli import run
from crystalc.diagnostics import CompileError
from crystalc.driver import Options, compile_checkpoint
from crystalc.frontend import read_checkpoint
from crystalc.frontend.bare import read_bare
from crystalc.frontend.version1 import read_version1

NAMES = hostile_names()
Emitted = Mapping[PurePosixPath, bytes]


def plans() -> list[Options]:
    """Every installed target in every arithmetic that it has."""
    found = []
    for target in available():
        if load(target).capabilities.float_ops:
            found += [Options(target), Options(target, weights="q8")]
        if load(target).capabilities.fixed_ops:
            found.append(Options(target, arithmetic="fixed"))
    return found


HASH = re.compile(rb"\b[0-9a-f]{64}\b")


def emitted(checkpoint: Checkpoint, options: Options) -> Emitted:
    """Every file as bytes, less hashes: the model's covers the names, and a file's the model's."""
    files = compile_checkpoint(checkpoint, options).files
    raw = {k: v if isinstance(v, bytes) else v.encode() for k, v in files.items()}
    return {k: HASH.sub(b"HASH", v) for k, v in raw.items()}


def named(name: str, folder: Path, kernel: Kernel = "radial") -> Checkpoint:
    """A model whose metadata, and where a file system allows it whose file, carry ``name``."""
    document = as_document(tiny_checkpoint(kernel))
    document["metadata"] = {name: name, "dataset": name}
    plain = write_safetensors(folder / "model.safetensors", document)
    stem = name.replace("/", "").replace("\x00", "")
    if len(os.fsencode(stem)) > 200:
        return read_checkpoint(plain)
    return read_checkpoint(plain.rename(folder / f"{stem}.safetensors"))


def test_there_are_500() -> None:
    assert len(set(NAMES)) == len(NAMES) == COUNT
    assert hostile_names() == NAMES


@pytest.mark.parametrize("options", plans(), ids=lambda options: options.command)
def test_the_same_bytes(options: Options, tmp_path: Path) -> None:
    benign = emitted(named("mnist", tmp_path), options)
    for name in NAMES:
        checkpoint = named(name, tmp_path)
        assert checkpoint.metadata["dataset"] == name, "metadata is carried"
        assert emitted(checkpoint, options) == benign, f"{name!r} changed the output"


def test_all_at_once_through_torch(tmp_path: Path) -> None:
    document = as_document(tiny_checkpoint())
    document["metadata"] = {name: "x" for name in NAMES if len(name) < 400}
    found = read_checkpoint(write_pt(tmp_path / "model.pt", document))
    assert dict(found.metadata) == document["metadata"]
    options = plans()[0]
    assert emitted(found, options) == emitted(named("mnist", tmp_path), options)


def test_bare_layouts_carry_names_as_metadata() -> None:
    x = np.ones((4, 3), np.float32)
    field = {"positions": x, "values": x, "temperature": x[:, 0]}
    for name in NAMES:
        found = read_bare({"state_dict": dict(field), name: name}, "")
        assert found.metadata == {name: name}


def documents(name: str) -> dict[str, dict[str, Any]]:
    """A version 1 document for each place where a name is not welcome."""
    places: dict[str, dict[str, Any]] = {}
    for place in ("top", "config", "state_dict", "kernel", "kind", "format"):
        document = as_document(tiny_checkpoint())
        if place in ("config", "state_dict"):
            document[place][f"x{name}"] = np.ones(1, np.float32)
        elif place in ("kernel", "kind"):
            document["config"][place] = name
        else:
            document[f"x{name}" if place == "top" else "format"] = name
        places[place] = document
    return places


def test_names_elsewhere_are_refused_in_printable_text() -> None:
    for name in NAMES:
        for place, document in documents(name).items():
            with pytest.raises(CompileError) as caught:
                read_version1(document, "")
            lines = str(caught.value).split("\n")
            assert all(line.isprintable() for line in lines), (place, name)
            assert all(line.startswith(("error: ", "  hint: ")) for line in lines), (place, name)


@pytest.mark.parametrize("index", [COUNT // 3, COUNT // 2, COUNT - 1])
def test_nothing_runs_in_a_whole_compile(
    index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the compiler and the check, with the name in the file and its name."""
    monkeypatch.chdir(tmp_path)
    named(NAMES[index], tmp_path)
    model = next(tmp_path.glob("*.safetensors"))
    code = run([str(model), "--target", "c", "-o", "out"])
    assert code == 0, capsys.readouterr().err
    assert not list(tmp_path.rglob(CANARY))
