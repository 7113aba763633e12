"""The benchmark of the CUDA backend: every step of it works, and without a GPU it times nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import (
    checkout,
    cuda,
    cuda_classifiers,
    cuda_language,
    cuda_peers,
    cuda_static,
    cuda_step,
)
from crystalc.nn.language import LanguageNet

SMALL = "64-16-32-10 u8, argmax"


def test_a_classifier_goes_through_every_step(tmp_path: Path) -> None:
    """Where nvcc is, it compiles and links what a GPU would run."""
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    (row,) = cuda_classifiers.rows(SMALL, tmp_path, dry=True)
    assert row["vectors_checked"] == 96
    assert row["samples"] == 512
    assert row["inferences_per_second"] > 0
    assert row["share_of_copy_bandwidth"] > 0
    assert row["fed_samples"] == 512
    assert (tmp_path / "unused").is_file() == bool(shutil.which("nvcc"))


def test_a_language_model_goes_through_every_step(tmp_path: Path) -> None:
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    assert not list(cuda_language.build_rows("", tmp_path, dry=True))
    (row,) = cuda_language.alone_rows("cluster of 8", tmp_path, dry=True)
    assert (row["blocks"], row["cluster"]) == (8, 1)
    (refused,) = cuda_language.alone_rows("grid of 64", tmp_path, dry=True)
    assert "code 52" in refused["not_run"]
    assert list(cuda_language.many_rows("1024", tmp_path, dry=True)) == [
        {"name": "batch 1024", "together": 16}
    ]
    peers = list(cuda_language.peer_rows("", tmp_path, dry=True))
    assert len(peers) == 6 and not [p for p in peers if "not_run" in p]


def test_peers_leave_no_tensor_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device without memory, which refuses to meet tensors of another."""
    for name in cuda.CASES:
        rows = [*cuda_peers.plain_rows(name, Path(), True)]
        rows += cuda_peers.compiled_rows(name, Path(), True)
        assert len(rows) == 7 and not [row for row in rows if "not_run" in row], rows
    monkeypatch.setattr(torch, "autocast", lambda *args, **named: contextlib.nullcontext())
    model = cuda_language.random_language_model(cuda_language.TINY)
    cuda_language._step(LanguageNet.from_model(model).to("meta"), 3)()


def test_a_peer_that_fails_is_a_row() -> None:
    def make(model: Any, x: Any) -> Any:
        raise RuntimeError("no compiler\nand more")

    row = cuda_peers.measured("torch.compile, cdist", SMALL, "cdist", True, make)
    assert row["not_run"] == "RuntimeError: no compiler"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("pass", ""),
        ("import time; time.sleep(60)", "it took more than 1 s"),
        ("import os; os.abort()", "code -6: it said nothing"),
        ("raise SystemExit('the shim writes another text')", "code 1: the shim writes another"),
    ],
)
def test_a_step_that_does_not_end_says_why(program: str, reason: str, tmp_path: Path) -> None:
    said = cuda.ended(
        [sys.executable, "-S", "-c", program], tmp_path / "said", 1.0 if reason else 9
    )
    assert said.startswith(reason) and bool(said) == bool(reason)
    assert cuda.ended(["nothing"], tmp_path / "said", 0) == "no time was left"


def test_rows_before_a_failure_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
        yield {"name": name, "dry": dry}
        raise ValueError("the rest is lost")

    monkeypatch.setitem(cuda_step.KINDS, "peer", half)
    with pytest.raises(ValueError, match="the rest"):
        cuda_step.main("peer", "a", str(tmp_path), str(tmp_path / "rows"), "--dry-run")
    assert json.loads((tmp_path / "rows").read_text()) == {"name": "a", "dry": True}


def test_results_are_written_after_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, seen = tmp_path / "cuda.json", []

    def taken(step: cuda.Step, *_: Any) -> Iterator[dict[str, Any]]:
        seen.append(len(json.loads(output.read_text())["classifiers"]) if output.exists() else 0)
        if step.part == "classifiers" and step.name == "a":
            yield {"name": "a", "inferences_per_second": 6.0}
        elif step.part == "peers":
            yield {"name": "a", "peer": "p", "inferences_per_second": 2.0}
            yield {"name": "a", "peer": "q", "not_run": "no"}
        else:
            yield {"name": step.name, "not_run": "it took too long"}

    steps = [("classifiers", "a"), ("classifiers", "b"), ("peers", "a")]
    monkeypatch.setattr(cuda, "STEPS", [cuda.Step(p, "classifier", n, 1) for p, n in steps])
    monkeypatch.setattr(cuda, "taken", taken)
    monkeypatch.setattr(cuda.nvcc, "gpu", lambda: "NVIDIA H200, 580.0")
    monkeypatch.setattr(cuda.nvcc, "compiler", lambda: "nvcc 13.0")
    monkeypatch.setattr(sys, "argv", ["cuda", "--output", str(output)])
    assert cuda.main() == 1  # b is ours, and lost
    assert seen == [0, 1, 2]
    found = json.loads(output.read_text())
    assert [found[k] for k in ("device", "driver", "compiler")] == [
        *("NVIDIA H200", "580.0", "nvcc 13.0")
    ]
    assert {"clocks", "clocks_after", "driver_cuda", "torch_cuda", "date", "rounds"} <= {*found}
    assert found["classifiers"][0]["over_pytorch"] == 3.0
    assert found["classifiers"][1]["not_run"] == "it took too long"


def test_every_step_is_known() -> None:
    assert {step.kind for step in cuda.STEPS} == {*cuda_step.KINDS}


def test_a_checkout_that_is_not_installed_has_its_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkout, "available", dict)
    monkeypatch.setattr(sys, "path", [*sys.path])
    checkout.offer_targets()
    (found,) = distributions(path=sys.path[-1:])
    entries = {e.name: e.value for e in found.entry_points if e.group == "crystalc.backends"}
    assert entries["cuda"] == "crystalc_cuda:CudaBackend"


def test_without_a_gpu_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cuda.nvcc, "gpu", lambda: "")
    monkeypatch.setattr(sys, "argv", ["cuda"])
    written = cuda.RESULT.exists()
    assert cuda.main() == 3
    said = capsys.readouterr().err
    assert said == "error: no NVIDIA GPU with nvcc on this machine: nothing was timed\n"
    assert cuda.RESULT.exists() == written


LISTING = """
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/              @!P0 IMMA.16832.S8.S8 R20, R40.ROW, R12.COL, RZ ;
        /*0020*/                   LDS.64 R40, [R53+UR4+0x10] ;
        /*0030*/               @P1 BRA 0x20 ;
        /*0040*/                   IMAD.MOV.U32 R28, RZ, RZ, R20 ;
        /*0050*/               @P0 BRA 0x10 ;
        /*0060*/                   BRA 0x60 ;
"""


def test_instructions_are_counted_by_loop() -> None:
    outer, inner = cuda_static.loops(cuda_static.INSTRUCTION.findall(LISTING))
    assert (outer.first, outer.depth, inner.first, inner.depth) == (0x10, 0, 0x20, 1)
    assert outer.counts == {"mma": 1, "move": 1, "branch": 1}
    assert inner.counts == {"shared": 1, "branch": 1}


def test_without_a_disassembler_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(cuda_static.sys, "argv", ["cuda_static", SMALL])
    monkeypatch.setattr(cuda_static, "table", lambda case, place: [cuda_static.cuobjdump()])
    monkeypatch.setattr(cuda_static.shutil, "which", lambda name: None)
    monkeypatch.setattr(cuda_static.site, "getsitepackages", lambda: [])
    monkeypatch.setattr(cuda_static.sys, "path", [])
    assert cuda_static.main() == 3
    assert capsys.readouterr().err.splitlines()[0] == "error: cuobjdump is not there"
