"""The benchmark of the CUDA backend: every step of it works, and without a GPU it times nothing."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest

from benchmarks import cuda


def test_every_step_works_on_the_shim() -> None:
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    row = cuda.measured(cuda.CASES[-1], dry=True)
    assert row["vectors_checked"] == 96
    assert row["samples"] == 512
    assert row["inferences_per_second"] > 0
    assert row["share_of_copy_bandwidth"] > 0
    assert row["fed_samples"] == 512


def test_without_a_gpu_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cuda.nvcc, "gpu", lambda: "")
    monkeypatch.setattr(sys, "argv", ["cuda"])
    written = cuda.RESULT.exists()
    assert cuda.main() == 3
    said = capsys.readouterr().err
    assert said == "error: no NVIDIA GPU with nvcc on this machine: nothing was timed\n"
    assert cuda.RESULT.exists() == written
