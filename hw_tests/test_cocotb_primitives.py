"""Every hand-written primitive under cocotb, and proof that a broken one is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw_tests.cocotb_cells import CELLS as FORMULAS
from hw_tests.cocotb_cells import bench
from hw_tests.cocotb_runner import CELLS, NEEDS_COCOTB, ROOT, run_bench

pytestmark = NEEDS_COCOTB


@pytest.mark.parametrize("cell", FORMULAS)
def test_combinational(cell: str, tmp_path: Path) -> None:
    (tmp_path / "bench.v").write_text(bench(cell))
    run_bench(
        "bench_cell", "bench", [CELLS / f"{cell}.v", tmp_path / "bench.v"], tmp_path, {"cell": cell}
    )


CLOCKED = {
    "rank": ("bench_stream", {}),
    "argmax": ("bench_stream", {"N": 7, "W": 6, "S": 1, "WI": 3}),
    "bank": ("bench_storage", {"WORDS": 5, "W": 9, "WADDRESS": 4, "BASE": 3, "INITIAL": "45'h123"}),
    "memory": (
        "bench_storage",
        {"WB": 3, "WI": 2, "W": 7, "WADDRESS": 6, "BASE": 11, "INITIAL": "56'habcdef"},
    ),
    "lane": ("bench_storage", {"WX": 5, "SX": 1, "WW": 6, "WT": 20, "WSUM": 20}),
    "squares": ("bench_storage", {"WX": 5, "SX": 1, "WSUM": 14}),
    "divide": ("bench_storage", {"WA": 6, "SA": 1, "WB": 5, "SHIFT": 3, "WQ": 10}),
    "gather": ("bench_stream", {"W": 19}),
    "scatter": ("bench_stream", {"W": 19}),
    "map": ("bench_bus", {"WORDS": 11, "W": 41, "WADDRESS": 4, "WINDEX": 4}),
}


@pytest.mark.parametrize("cell", CLOCKED)
def test_clocked(cell: str, tmp_path: Path) -> None:
    bench_name, parameters = CLOCKED[cell]
    sources = [CELLS / f"{cell}.v"]
    run_bench(bench_name, f"crystal_{cell}", sources, tmp_path, parameters, f"{cell}_", parameters)


def test_every_primitive_has_a_bench() -> None:
    """The bus adapters have theirs in test_cocotb_bus.py; watch*.v is what `prove` promises."""
    tested = {*FORMULAS, *CLOCKED, "axi_lite", "wishbone", "watch", "watch_argmax"}
    assert tested == {path.stem for path in CELLS.glob("*.v")}


def test_a_broken_primitive_fails_the_run(tmp_path: Path) -> None:
    """What `make hw-test` calls leaves with an error and names the primitive."""
    for path in CELLS.glob("*.v"):
        (tmp_path / path.name).write_text(path.read_text())
    relu = (tmp_path / "relu.v").read_text()
    assert "a[WA-1] ?" in relu
    (tmp_path / "relu.v").write_text(relu.replace("a[WA-1] ?", "~a[WA-1] ?"))
    command = [sys.executable, "-m", "pytest", "-n", "0", "-k", "relu or abs", __file__]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "CRYSTALC_TEST_CELLS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout
    assert "test_combinational[relu]" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
