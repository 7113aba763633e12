"""The child that runs torch: whatever it does, the parent answers in bounded time and space."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import as_document, tiny_checkpoint, write_pt

from crystalc.diagnostics import CompileError, ToolError
from crystalc.frontend import process, read_checkpoint
from crystalc.frontend.child import Encoder, Refused

FORK = """
import os, time
if os.fork() == 0:
    open({pid!r}, "w").write(str(os.getpid()))
    time.sleep(60)
time.sleep(60)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_pt(tmp_path / "model.pt", as_document(tiny_checkpoint()))


def run_fake(script: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reading ``model`` says when ``script`` stands in for the child."""
    fake = model.with_name("fake.py")
    fake.write_text(script)
    monkeypatch.setattr(process, "CHILD", fake)
    monkeypatch.setattr(process, "timeout_for", lambda _: 1.0)
    with pytest.raises(CompileError) as caught:
        read_checkpoint(model)
    return str(caught.value)


def test_sleeping(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "took too long" in run_fake("import time; time.sleep(60)", model, monkeypatch)


def test_grandchildren_are_killed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = model.with_name("pid")
    assert "took too long" in run_fake(FORK.format(pid=str(pid)), model, monkeypatch)
    deadline = time.monotonic() + 5
    while alive(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(int(pid.read_text()))


def alive(pid: int) -> bool:
    """False also for a process that ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_flooding(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os\nwhile True: os.write(1, b'x' * 65536)"
    kept: list[int] = []
    read = process._read
    spy = lambda *given: (kept.append(len(output := read(*given))), output)[1]  # noqa: E731
    monkeypatch.setattr(process, "_read", spy)
    monkeypatch.setattr(process, "FRAME_ROOM", 1 << 20)
    assert "answer without end" in run_fake(script, model, monkeypatch)
    assert kept[0] < 3 << 20


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os; os.abort()", "broke the process that read it (exit code -6)"),
        ("raise SystemExit(3)", "broke the process that read it (exit code 3)"),
        ("import sys; sys.stdout.write('x' * 8)", "broke the process that read it"),
        (
            "import sys, struct; sys.stdout.buffer.write(struct.pack('<Qc', 9, b'T') + b'x' * 9)",
            "made its reader answer nonsense",
        ),
        (
            "import sys, struct; sys.stdout.buffer.write(struct.pack('<Qc', 2**63, b'T') + b'x')",
            "broke the process that read it",
        ),
    ],
)
def test_broken_replies(
    script: str, reason: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reason in run_fake(script, model, monkeypatch)


def test_torch_is_missing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real child under an interpreter that has no packages."""
    fake = model.with_name("bare.sh")
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(ToolError) as caught:
        read_checkpoint(model)
    assert "needs torch >= 2.10: torch cannot be imported here" in str(caught.value)
    assert "pip install" in str(caught.value)


def test_torch_is_too_old(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = model.with_name("old.py")
    source = process.CHILD.read_text().replace("TORCH_NEEDED = (2, 10)", "TORCH_NEEDED = (99, 0)")
    fake.write_text(source)
    monkeypatch.setattr(process, "CHILD", fake)
    with pytest.raises(ToolError, match="is installed, which can be made to run code"):
        read_checkpoint(model)


def test_the_parent_never_imports_torch(model: Path) -> None:
    script = (
        "import sys; from crystalc.frontend import read_checkpoint;"
        f"read_checkpoint({str(model)!r}); print([m for m in sys.modules if 'torch' in m])"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


class TestEncoder:
    """Limits on what a loaded object may become."""

    def encoder(self) -> Encoder:
        import torch

        return Encoder(torch, 64)

    def test_views_larger_than_the_file(self) -> None:
        import torch

        with pytest.raises(Refused, match="far larger than the file"):
            self.encoder().node(torch.zeros(1).expand(1 << 30))

    @pytest.mark.parametrize("dtype", ["complex64", "bfloat16"])
    def test_types_without_a_numpy_twin(self, dtype: str) -> None:
        import torch

        tensor = torch.zeros(2, dtype=getattr(torch, dtype))
        assert self.encoder().node(tensor) == {"o": f"{dtype} tensor"}

    def test_sparse_and_meta(self) -> None:
        import torch

        word = {"o": "a tensor that is sparse, quantised or without data"}
        assert self.encoder().node(torch.eye(2).to_sparse()) == word
        assert self.encoder().node(torch.zeros(2, device="meta")) == word

    def test_depth_and_counts(self) -> None:
        nested: list[object] = []
        nested.append(nested)
        assert "nested too deeply" in str(self.encoder().node(nested))
        with pytest.raises(Refused, match="values"):
            self.encoder().node([[0] * 1000] * 200)
        with pytest.raises(Refused, match="characters"):
            self.encoder().node(["x" * 100_000] * 11)
        assert self.encoder().node(1 << 64) == {"o": "an integer beyond 64 bits"}

    def test_other_keys_are_named_by_type(self) -> None:
        assert self.encoder().node({1: None, "1": 2}) == {"d": [["<int 1>", None], ["1", 2]]}
