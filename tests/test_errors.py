"""Every message of the compiler, as a user meets it: one file in ``tests/errors`` for each.

A case is Python that makes the input, the command line, the exit code and the exact stderr:

    state["field.positions"][3, 1] = np.nan
    $ crystalc model.safetensors --target c
    exit 2
    error: field.positions[3, 1]: nan is not a finite number

The Python sees ``document`` (a whole version 1 checkpoint, radial gelu, 6 neurons, 5 inputs,
3 outputs), its ``config`` and ``state``, ``np``, ``os``, ``sys``, ``Path``,
``tiny`` (`tiny_checkpoint`), ``as_document``, ``archive``, ``save(name, bytes)`` and
``patch(object, name, value)``. What ``document`` is afterwards becomes ``model.safetensors`` or
``model.pt``, whichever the command names. A refused command leaves no file behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hostile.archives import archive
from support import as_document, tiny_checkpoint, write_pt, write_safetensors

from crystalc.cli import run

ROOT = Path(__file__).resolve().parents[1]
CASES = sorted((ROOT / "tests" / "errors").glob("*.txt"))
BY_PROCESS = ("nan_in_positions", "several_at_once", "torch_is_refused", "no_such_command")


@dataclass(frozen=True)
class Case:
    """One file of ``tests/errors``, cut into its parts."""

    script: str
    command: str
    exit: str
    stderr: str

    @property
    def words(self) -> list[str]:
        return self.command.removeprefix("$ crystalc").split()

    def text(self) -> str:
        return f"{self.script}{self.command}\n{self.exit}\n{self.stderr}"


def read_case(path: Path) -> Case:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith("$ crystalc"))
    rest = [*lines[at + 1 :], ""]
    return Case("".join(lines[:at]), lines[at].strip(), rest[0].strip(), "".join(rest[1:]))


def prepare(case: Case, folder: Path, patch: Callable[..., None]) -> None:
    """Run the case's Python in the current folder and write its model."""
    document = as_document(tiny_checkpoint())
    names = {
        "document": document,
        "config": document["config"],
        "state": document["state_dict"],
        "np": np,
        "os": os,
        "sys": sys,
        "Path": Path,
        "tiny": tiny_checkpoint,
        "as_document": as_document,
        "archive": archive,
        "patch": patch,
        "save": lambda name, data: (folder / name).write_bytes(data),
    }
    exec(case.script, names)
    for suffix, write in ((".safetensors", write_safetensors), (".pt", write_pt)):
        path = folder / f"model{suffix}"
        if path.name in case.words and not os.path.lexists(path):
            write(path, names["document"])


def tree(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_message(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[Path, str], None],
) -> None:
    case = read_case(path)
    monkeypatch.chdir(tmp_path)
    prepare(case, tmp_path, monkeypatch.setattr)
    before = tree(tmp_path)
    code = run(case.words)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert tree(tmp_path) == before, "a refused command leaves files behind"
    golden(path, Case(case.script, case.command, f"exit {code}", captured.err).text())


@pytest.mark.parametrize("name", BY_PROCESS)
def test_by_a_process_of_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through ``python -m crystalc``: exit code and stderr reach the shell."""
    case = read_case(ROOT / "tests" / "errors" / f"{name}.txt")
    monkeypatch.chdir(tmp_path)
    prepare(case, tmp_path, monkeypatch.setattr)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "backends")))}
    done = subprocess.run(
        [sys.executable, "-m", "crystalc", *case.words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert (f"exit {done.returncode}", done.stderr) == (case.exit, case.stderr)
    assert done.stdout == ""


MARK = "<!-- below: one row for each file of tests/errors -->"


def test_every_message_is_documented(golden: Callable[[Path, str], None]) -> None:
    """``docs/errors.md`` ends in a table of all messages."""
    page = ROOT / "docs" / "errors.md"
    head = page.read_text(encoding="utf-8").partition(MARK)[0]
    rows = "".join(row(path.stem, read_case(path)) for path in CASES)
    golden(page, f"{head}{MARK}\n\n| case | exit | message |\n|---|---|---|\n{rows}")


def row(name: str, case: Case) -> str:
    """A table row with the first message and its hint."""
    lines = [line.strip() for line in case.stderr.splitlines()[:2]]
    if len(lines) == 2 and not lines[1].startswith("hint:"):
        lines = lines[:1]
    shown = "<br>".join(f"`{line[:200].replace('|', '/')}`" for line in lines)
    return f"| {name} | {case.exit.removeprefix('exit ')} | {shown} |\n"
