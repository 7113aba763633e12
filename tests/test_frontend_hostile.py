"""Hostile files: none is read by running it, each is refused in one sentence."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from hostile.pickles import Hostile, hostile_files

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError
from crystalc.frontend import read_checkpoint, read_reply
from crystalc.frontend.process import CHILD, load_in_child

UNSAFE = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
NAMES = [file.name for file in hostile_files(Path("canary"))]


def write(file: Hostile, folder: Path) -> Path:
    path = folder / f"{file.name}.pt"
    path.write_bytes(file.data)
    return path


def by_name(name: str, canary: Path) -> Hostile:
    return next(file for file in hostile_files(canary) if file.name == name)


def refusal(path: Path) -> CompileError | Checkpoint:
    try:
        return read_checkpoint(path)
    except CompileError as error:
        return error


def load_many(paths: Sequence[Path]) -> list[bytes | CompileError]:
    """Replies for all files from as few children as the files leave alive."""
    replies: list[bytes | CompileError] = []
    while len(replies) < len(paths):
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in paths[len(replies) :]]
            replies += load_in_child(files)
    return replies


def test_there_are_enough() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert len(NAMES) >= 80


LIVE = [file.name for file in hostile_files(Path("canary")) if file.payload]


@pytest.mark.parametrize("name", LIVE)
def test_the_gadget_is_live(name: str, tmp_path: Path) -> None:
    """Without this the tests below could pass on pickles that do nothing."""
    canary = tmp_path / "canary"
    payload = by_name(name, canary).payload
    subprocess.run([sys.executable, "-c", UNSAFE], input=payload, capture_output=True, timeout=60)
    deadline = time.monotonic() + 5  # some start a program and do not wait for it
    while not canary.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert canary.exists()


# What gets past the first wall (it is all tensors and plain values) and is refused by the child.
SECOND_WALL = {
    *("endless_view", "sizes_overflow", "negative_size", "storage_too_long", "offset_beyond"),
    *("negative_offset", "memo_bomb_of_lists", "deeply_nested", "contains_itself", "big_text"),
    *("marks", "memo_index", "unknown_memo", "protocol_99", "only_stop", "just_a_number"),
    "persistent_id",
}


@pytest.mark.parametrize("name", sorted(set(NAMES) - SECOND_WALL))
def test_first_wall_refuses(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the parent, before a child with torch is started."""
    monkeypatch.setattr("crystalc.frontend.load_in_child", lambda _: pytest.fail("reached torch"))
    canary = tmp_path / "canary"
    error = refusal(write(by_name(name, canary), tmp_path))
    assert isinstance(error, CompileError)
    assert len(error.diagnostics) == 1
    assert "\n" not in error.diagnostics[0].message
    assert not canary.exists()


def test_second_wall_refuses_alone(tmp_path: Path) -> None:
    """The child, given every file without the first wall in front of it."""
    canary = tmp_path / "canary"
    files = hostile_files(canary)
    start = time.monotonic()
    replies = load_many([write(file, tmp_path) for file in files])
    verdicts = {file.name: outcome(reply) for file, reply in zip(files, replies, strict=True)}
    read = {name for name, verdict in verdicts.items() if isinstance(verdict, Checkpoint)}
    assert not read
    assert not canary.exists()
    print(f"{len(files)} files in {time.monotonic() - start:.1f} s")


def outcome(reply: bytes | CompileError) -> CompileError | Checkpoint:
    try:
        return read_reply(reply, "")
    except CompileError as error:
        return error


@pytest.mark.parametrize("name", ["endless_view", "marks", "just_a_number"])
def test_whole_route_refuses(name: str, tmp_path: Path) -> None:
    """Files that only torch itself can judge, through both walls."""
    error = refusal(write(by_name(name, tmp_path / "canary"), tmp_path))
    assert isinstance(error, CompileError)
    assert len(error.diagnostics) == 1


DEEDS = {
    "os.system": "import os; os.system('touch canary')",
    "subprocess": "import subprocess; subprocess.run(['touch', 'canary'])",
    "fork": "import os; os.fork()",
    "exec": "import os; os.execvp('touch', ['touch', 'canary'])",
    "open": "open('canary', 'w')",
    "os.open": "import os; os.open('canary', os.O_CREAT | os.O_WRONLY)",
    "mkdir": "import os; os.mkdir('canary')",
    "rename": "import os; os.rename('child_copy', 'canary')",
    "socket": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "ctypes": "import ctypes; ctypes.CDLL(None).system(b'touch canary')",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_third_wall_refuses(deed: str, tmp_path: Path) -> None:
    """Should code run in the child after all, the audit hook stops what it tries to do."""
    (tmp_path / "child_copy").write_bytes(CHILD.read_bytes())
    load = "import sys, types; c = types.ModuleType('c'); exec(open('child_copy').read(), vars(c))"
    script = f"{load}\nsys.addaudithook(c.guard)\n{DEEDS[deed]}\n"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert "PermissionError" in done.stderr
    assert "is not allowed here" in done.stderr
    assert not (tmp_path / "canary").exists()


def test_the_child_cannot_write_a_file(tmp_path: Path) -> None:
    """The resource limit holds even where no audit event is raised."""
    script = (
        "import sys, types; c = types.ModuleType('c'); exec(open(sys.argv[1]).read(), vars(c))\n"
        "c.limit('RLIMIT_FSIZE', 0)\n"
        "f = open('canary', 'wb', buffering=0); f.write(b'x')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(CHILD)], cwd=tmp_path, capture_output=True
    )
    assert b"File too large" in done.stderr
    assert (tmp_path / "canary").read_bytes() == b""
