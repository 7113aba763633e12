"""PySpice as a second driver: the same netlist, the same voltages as through our binding."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from crystalc.interpret import interpret
from hw_tests.spice_models import NEEDS_NGSPICE, build, random_float_graph

DRIVER = Path(__file__).with_name("pyspice_driver.py")
TIMEOUT = 300.0

pytestmark = [
    NEEDS_NGSPICE,
    pytest.mark.skipif(find_spec("PySpice") is None, reason="PySpice is not installed"),
]


def through_pyspice(folder: Path, x: np.ndarray) -> np.ndarray:
    """Voltages [batch, O] of the netlist in ``folder``."""
    facts = json.loads((folder / "crystal.json").read_text())
    np.save(folder / "in.npy", x)
    files = [str(folder / name) for name in ("crystal.cir", "in.npy", "out.npy")]
    command = [sys.executable, str(DRIVER), *files, *facts["outputs"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    return np.asarray(np.load(folder / "out.npy"))


@pytest.mark.parametrize("level", ["behavioral", "crossbar"])
@pytest.mark.parametrize("seed", [1, 2, 5, 6])
def test_both_drivers_agree(seed: int, level: str, tmp_path: Path) -> None:
    graph, x = random_float_graph(seed)
    ours = build(tmp_path, graph, level=level, engine="shared").execute(tmp_path, x)
    theirs = through_pyspice(tmp_path, x)
    assert np.abs(ours - theirs).max() <= 1e-9 * max(1.0, np.abs(ours).max())


def test_pyspice_alone_meets_the_oracle(tmp_path: Path) -> None:
    graph, x = random_float_graph(1)
    build(tmp_path, graph)
    wanted = interpret(graph, x)
    assert np.abs(through_pyspice(tmp_path, x) - wanted).max() <= 1e-6 * max(1.0, np.ptp(wanted))
