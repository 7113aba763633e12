"""What the standard-cell flow reads from its tools, and what it refuses.

The tools themselves are not in CI: ``make asic`` installs them and runs the whole flow.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from crystalc.diagnostics import CompileError, ToolError
from crystalc_verilog import asic, layout
from crystalc_verilog.devices import device
from crystalc_verilog.engine import Engine, engine
from crystalc_verilog.netlist import models
from hw_tests.budgets import PARALLEL, emit

PATH = """
Startpoint: u7 (rising edge-triggered flip-flop clocked by clk)
   0.0000    0.0000   clock clk (rise edge)
   0.0000    0.0000 ^ u7/CLK (DFFPOSX1)
   0.1764    0.1764 v u7/Q (DFFPOSX1)
   0.0736    0.2500 ^ u3/Y (INVX1)
   0.0500    0.3000 v u4/Y (NAND2X1)
   0.0000    0.3000 v {end}
             0.3000   data arrival time
   2.0000    2.0000   clock clk (rise edge)
             2.0000 ^ u9/CLK (DFFPOSX1)
  -0.2000    1.8000   library setup time
---------------------------------------------------------
             {slack}   slack (MET)
"""
POWER = """
Sequential             5.00e-03   1.00e-03   1.00e-07   6.00e-03  65.2%
Total                  7.00e-03   1.50e-03   6.00e-07   8.50e-03 100.0%
"""
LAYOUT = "UNITS DISTANCE MICRONS 100 ;\nDIEAREA ( -320 -300 ) ( 27520 19300 ) ;\n"
LOG = "  Processed 1265 nets total (0 fixed).\nFinal: No failed routes!\n"
CELLS = """
module DFF1 (C, D, Q);
  input C, D; output Q;
  udp_dff (Q, D, C);
endmodule
module OTHER (A, Y); input A; output Y; buf (Y, A); endmodule
primitive udp_dff (q, d, c);
endprimitive
"""


@pytest.mark.parametrize("end", ["u9/D (DFFPOSX1)", "out_data[3] (out)"])
def test_the_slowest_path_is_read(end: str) -> None:
    found = asic.read_timing(PATH.format(end=end, slack="1.5000"), "STA", 2.0, None)
    assert found.cells == ("DFFPOSX1", "INVX1", "NAND2X1")
    assert found.shortest == 0.5 and found.fmax == 2000.0
    assert found.power is None


def test_a_missed_period_and_power_at_an_activity() -> None:
    text = PATH.format(end="u9/D (DFFPOSX1)", slack="-0.5000") + POWER
    found = asic.read_timing(text, "STA", 2.0, 0.1)
    assert found.fmax == 400.0
    assert (found.activity, found.power) == (0.1, 8.5e-3)


def test_a_complaint_of_the_timing_tool_is_no_result() -> None:
    good = PATH.format(end="u9/D (DFFPOSX1)", slack="1.5000")
    for text in (good + "Error: sta.v, line 3 syntax error\n", "No paths found.\n"):
        with pytest.raises(ToolError, match="OpenSTA gives no timing"):
            asic.read_timing(text, "STA", 2.0, None)
    with pytest.raises(ToolError, match="OpenSTA gives no timing"):
        asic.read_timing(good, "STA", 2.0, 0.1)


def test_areas_are_those_of_the_top() -> None:
    top = {"area": 48528.0, "sequential_area": 17088.0}
    text = "a line\n" + json.dumps({"modules": {"\\crystal": top, "\\INVX1": {"area": 16.0}}})
    assert asic.areas(text, "crystal") == (48528.0, 17088.0)
    with pytest.raises(ToolError, match="has no areas"):
        asic.areas(text, "INVX1")


def test_the_die_is_measured_and_open_nets_are_no_layout() -> None:
    found = layout.read_layout(LAYOUT, LOG)
    assert (found.width, found.height, found.nets) == (278.4, 196.0, 1265)
    with pytest.raises(ToolError, match="left nets open"):
        layout.read_layout(LAYOUT, LOG.replace("No failed routes!", "Failed net routes: 3"))
    with pytest.raises(ToolError, match="does not read"):
        layout.read_layout("", LOG)


def test_models_bring_the_primitives_they_use(tmp_path: Path) -> None:
    (tmp_path / "cells.v").write_text(CELLS)
    aim = replace(device("ice40"), models=(str(tmp_path / "cells.v"),))
    text = models(Engine("pyosys", "", ()), aim, ["DFF1"])
    assert "module DFF1" in text and "primitive udp_dff" in text and "OTHER" not in text


def test_a_missing_tool_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asic.shutil, "which", lambda _: None)
    with pytest.raises(ToolError, match=r"OpenSTA \(sta\) is missing"):
        asic.require()
    with pytest.raises(ToolError, match="qflow is missing"):
        layout.place_and_route(tmp_path, "crystal", Engine("none", "", ()), asic.LIBERTY)
    monkeypatch.setattr(asic.shutil, "which", lambda name: name)
    monkeypatch.setattr(asic, "LIBERTY", tmp_path / "none.lib")
    with pytest.raises(ToolError, match=r"none\.lib is missing"):
        asic.require()


def test_active_neurons_have_no_power_up_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asic, "require", lambda: None)
    emit(tmp_path, PARALLEL, frozen=0.5)
    with pytest.raises(CompileError, match="hold nothing at power-up"):
        asic.run_asic(tmp_path, engine(), tmp_path / "asic", 5.0, 4)
