"""Every hand-written primitive under cocotb, and proof that a broken one is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.cocotb_cells import CELLS as FORMULAS
from hw_tests.cocotb_cells import bench
from hw_tests.cocotb_runner import CELLS, NEEDS_COCOTB, run_bench

pytestmark = NEEDS_COCOTB


@pytest.mark.parametrize("cell", FORMULAS)
def test_combinational(cell: str, tmp_path: Path) -> None:
    (tmp_path / "bench.v").write_text(bench(cell))
    run_bench(
        "bench_cell", "bench", [CELLS / f"{cell}.v", tmp_path / "bench.v"], tmp_path, {"cell": cell}
    )
