"""Run a cocotb bench in Icarus and see that every test of it passed.

Outside pytest the runner's own exit code is 0 even where a test fails, so the results are read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

try:
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner
except ImportError:
    get_runner = None  # type: ignore[assignment]

ROOT = Path(__file__).parent.parent
CELLS = Path(os.environ.get("CRYSTALC_TEST_CELLS", ROOT / "templates" / "verilog"))
"""Where the primitives are; a test puts broken ones elsewhere."""

BENCHES = "hw_tests.cocotb_benches"

NEEDS_COCOTB = pytest.mark.skipif(
    get_runner is None or shutil.which("iverilog") is None,
    reason="cocotb or iverilog is not installed",
)


def run_bench(
    bench: str,
    top: str,
    sources: Sequence[Path],
    place: Path,
    given: Mapping[str, Any] | None = None,
    testcase: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> None:
    """Simulate module ``top`` of ``sources`` under hw_tests/cocotb_benches/``bench``.py.

    ``given`` reaches the bench as JSON. Fails unless at least one test ran and all passed.
    """
    runner = get_runner("icarus")
    log = place / f"{bench}.log"
    runner.build(
        sources=list(sources),
        hdl_toplevel=top,
        build_dir=place / f"sim_{top}",
        build_args=["-g2005"],
        parameters=dict(parameters or {}),
        timescale=("1ns", "1ps"),
        log_file=place / "build.log",
    )
    paths = [str(ROOT), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")]
    results = place / f"{bench}.xml"
    results.unlink(missing_ok=True)
    case = place / "case.json"
    case.write_text(json.dumps(dict(given or {})))
    with contextlib.suppress(SystemExit):  # the results tell more
        runner.test(
            test_module=f"{BENCHES}.{bench}",
            hdl_toplevel=top,
            build_dir=place / f"sim_{top}",
            test_dir=place,
            results_xml=str(results),
            testcase=testcase,
            seed=1,
            log_file=log,
            extra_env={
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "CRYSTAL_BENCH": str(case),
            },
        )
    ran, failed = get_results(results)
    assert ran and not failed, f"{failed} of {ran} tests failed\n{log.read_text()[-6000:]}"
