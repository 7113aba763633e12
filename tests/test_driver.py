"""From a checkpoint to files: header, names, neurons, report, and nothing left to chance."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath
from shutil import copy
from typing import Any

import numpy as np
import pytest
from support import as_document, tiny_checkpoint, write_safetensors

from crystalc import __version__
from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError
from crystalc.driver import (
    Options,
    check_vectors,
    compile_checkpoint,
    header,
    report,
    verify_build,
    write,
    write_report,
)
from crystalc.files import write_atomic, write_tree

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "docs" / "report.md"
FLAGS = {"cflags": "-std=c99 -O1"}


def test_the_header_names_version_model_and_command() -> None:
    checkpoint = replace(tiny_checkpoint(), source="ab" * 32)
    options = Options("c", "fixed", width=6, argmax=True, backend={"layout": "compact"})
    assert header(checkpoint, options) == (
        f"made by crystalc {__version__}; do not edit\n"
        f"model sha256 {'ab' * 32}\n"
        "crystalc --target c --arithmetic fixed --width 6 --argmax -O layout=compact"
    )
    assert Options("c", weights="q8").command == (
        "crystalc --target c --arithmetic float --weights q8"
    )


def test_a_command_cannot_leave_its_comment() -> None:
    options = Options("c", backend={"cflags": "*/ $(rm) `x` \\\n\"'"})
    assert re.fullmatch(r"[\w ._=,+?-]+", options.command)


def dead(checkpoint: Checkpoint, *neurons: int) -> Checkpoint:
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.values"][list(neurons)] = 0
    return replace(checkpoint, tensors=tensors)


@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
def test_neurons_keep_their_numbers(arithmetic: Any) -> None:
    """Frozen before active, the dropped ones told with their proof."""
    checkpoint = dead(tiny_checkpoint(neurons=8, frozen=0.5, seed=3), 1, 5, 6)
    mask = checkpoint.frozen
    compiled = compile_checkpoint(checkpoint, Options("c", arithmetic))
    gone = [n for n in (1, 5, 6) if mask[n]]
    assert gone
    assert [d.neuron for d in compiled.neurons.dropped] == gone
    assert compiled.neurons.frozen == tuple(n for n in range(8) if mask[n] and n not in gone)
    assert compiled.neurons.active == tuple(n for n in range(8) if not mask[n])
    names = json.loads(compiled.files[PurePosixPath("names.json")])
    assert names["neurons"] == {
        "frozen": list(compiled.neurons.frozen),
        "active": list(compiled.neurons.active),
    }
    state = [n for n in compiled.shaped.nodes if n.is_state]
    assert {n.type.shape[0] for n in state} == {len(compiled.neurons.active)}
    values = next(n for n in state if n.attrs["role"] == "values")
    if arithmetic == "float":
        rows = checkpoint.tensors["field.values"][list(compiled.neurons.active)]
        np.testing.assert_array_equal(values.data(), rows)


def test_a_normalised_field_counts_as_active() -> None:
    checkpoint = tiny_checkpoint("gauss", normalized=True, frozen=0.5)
    compiled = compile_checkpoint(checkpoint, Options("c"))
    assert compiled.neurons.active == (0, 1, 2, 3, 4, 5)
    assert compiled.neurons.frozen == ()


def documented() -> dict[str, str]:
    """Key -> type of the table in docs/report.md."""
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", SCHEMA.read_text(), re.M)
    return {key: kind.strip() for keys, kind in rows for key in re.findall(r"`(\w+)`", keys)}


PYTHON: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "string": (str,),
    "number": (int, float),
    "object": (dict,),
    "bool": (bool,),
    "null": (type(None),),
}


def fits(value: Any, kind: str) -> bool:
    words = kind.split(" or ")
    return any(isinstance(value, t) for word in words for t in PYTHON[word])


@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
@pytest.mark.parametrize("checked", [True, False])
def test_the_report_is_as_documented(arithmetic: Any, checked: bool, tmp_path: Path) -> None:
    schema = documented()
    assert len(schema) > 20
    checkpoint = tiny_checkpoint()
    compiled = compile_checkpoint(checkpoint, Options("c", arithmetic, count=20, backend=FLAGS))
    write(compiled, tmp_path)
    vectors = check_vectors(compiled)
    comparison = verify_build(compiled, tmp_path, vectors) if checked else None
    path = write_report(tmp_path, report(compiled, checkpoint, comparison))
    content = json.loads(path.read_text())
    absent = {"vectors", "max_abs_error", "bound", "worst_share", "decisions_equal", "undecided",
              "reason", "note"}  # fmt: skip
    later = {"proof", "resources"}  # crystalc prove adds one, a backend that examines the other
    assert set(content) == set(schema) - later - (set() if checked else absent)
    for key, value in content.items():
        assert fits(value, schema[key]), f"{key}: {value!r} is no {schema[key]}"
    assert content["ok"] is (True if checked else None)
    assert content["files"] == {
        p.name: p.stat().st_size for p in tmp_path.iterdir() if p.name != "report.json"
    }
    assert content["neurons"]["frozen"] + content["neurons"]["active"] == 6


def test_an_old_report_does_not_vouch_for_a_new_artefact(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"ok": true}')
    write(compile_checkpoint(tiny_checkpoint(), Options("c")), tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_vectors_of_the_check() -> None:
    checkpoint = tiny_checkpoint()
    for count in (1, 3, 7, 1000):
        for arithmetic in ("float", "fixed"):
            options = Options("c", arithmetic, count=count)  # type: ignore[arg-type]
            x = check_vectors(compile_checkpoint(checkpoint, options))
            assert x.shape == (count, 5)
            if arithmetic == "float":
                np.testing.assert_array_equal(x, x.astype(np.float32))


def test_fixed_vectors_reach_both_ends_of_the_type() -> None:
    compiled = compile_checkpoint(tiny_checkpoint(), Options("c", "fixed"))
    x = check_vectors(compiled)
    elem = compiled.meaning.input.type.elem
    assert x[0].tolist() == [elem.low] * 5  # type: ignore[union-attr]
    assert x[1].tolist() == [elem.high] * 5  # type: ignore[union-attr]


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(CompileError, match="cannot write"):
        write_atomic(tmp_path / "taken", "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match="is a file, not a folder"):
        write_atomic(tmp_path / "file" / "below", "x")


@pytest.mark.parametrize("name", ["../out.c", "/tmp/out.c", "a/../../b"])
def test_a_backend_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    files = {PurePosixPath("fine.c"): "x", PurePosixPath(name): "y"}
    with pytest.raises(CompileError, match="may not write outside its folder"):
        write_tree(tmp_path, files)
    assert not list(tmp_path.iterdir())


SETTINGS = (
    {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "COLUMNS": "40"},
)


@pytest.mark.parametrize("words", [(), ("--arithmetic", "fixed"), ("--weights", "q8")])
def test_the_same_model_gives_the_same_bytes(words: tuple[str, ...], tmp_path: Path) -> None:
    """In another folder, with other hash seeds, time zone and locale."""
    document = as_document(tiny_checkpoint(projection=True, head=True))
    model = write_safetensors(tmp_path / "model.safetensors", document)
    trees = []
    for k, changes in enumerate(SETTINGS):
        where = tmp_path / f"place{k}"
        where.mkdir()
        copy(model, where)
        command = [sys.executable, "-m", "crystalc", "model.safetensors", "--target", "c"]
        done = subprocess.run(
            [*command, "-o", "out", "--no-check", "--save-temps", *words],
            cwd=where, env={**os.environ, **changes}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        out = where / "out"
        files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        trees.append((done.stdout, files))
    assert len(trees[0][1]) > 8
    assert trees[0] == trees[1]


@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
def test_the_check_sees_both_entries(arithmetic: Any, tmp_path: Path) -> None:
    """A bug in the batch entry alone does not pass."""
    compiled = compile_checkpoint(tiny_checkpoint(), Options("c", arithmetic, backend=FLAGS))
    vectors = check_vectors(compiled)
    write(compiled, tmp_path)
    assert verify_build(compiled, tmp_path, vectors).ok
    source = tmp_path / "crystal.c"
    text = source.read_text()
    assert text.count("for (; done < n; done++)") == 1
    source.write_text(text.replace("for (; done < n; done++)", "for (; done < n - 1; done++)"))
    assert not verify_build(compiled, tmp_path, vectors).ok
