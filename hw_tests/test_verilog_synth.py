"""Synthesis: budgets of cells, the netlist against the oracle, the share of active neurons."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError
from crystalc.vectors import kept
from crystalc_verilog.devices import device
from crystalc_verilog.engine import engine
from crystalc_verilog.flow import Budget, read_budget, run_synthesis
from crystalc_verilog.netlist import simulate_netlist
from crystalc_verilog.synth import design_of
from hw_tests.budgets import BUDGETS, DESIGNS, FOLDED, PARALLEL, emit, synthesised
from hw_tests.verilog_models import NEEDS_ICARUS

pytestmark = [
    NEEDS_ICARUS,
    pytest.mark.skipif(
        importlib.util.find_spec("pyosys") is None, reason="the package pyosys is not installed"
    ),
]
UPDATE = "is this growth wanted? then: python -m hw_tests.budgets, and say why in the commit"


@pytest.mark.parametrize("name", DESIGNS)
def test_the_netlist_is_exact_and_within_budget(name: str, tmp_path: Path) -> None:
    done = synthesised(tmp_path, name)
    assert done.checked is not None and done.checked.ok, done.checked
    aim = DESIGNS[name][1]
    budget_file = tmp_path / "budget.json"
    budget_file.write_text(json.dumps(json.loads(BUDGETS.read_text())[name]))
    over = read_budget(budget_file, aim).exceeded(done.whole)
    assert not over, f"{name}: {'; '.join(over)}; {UPDATE}"
    assert done.whole.depth > 0
    assert done.whole.script[0] == "read_verilog -defer crystal_cells.v crystal.v"


def test_a_wrong_lut_is_noticed(tmp_path: Path) -> None:
    """Eight LUTs, one after another, say the opposite of what they should."""
    emit(tmp_path, PARALLEL)
    aim, use, folder = device("ice40"), engine("pyosys"), tmp_path / "synth"
    done = run_synthesis(tmp_path, aim, use, folder)
    text = (folder / "netlist.v").read_text()
    found = list(re.finditer(r"\.LUT_INIT\(16'h([0-9a-f]{4})\)", text))
    chosen = np.random.default_rng(0).permutation(len(found))[:8]
    x, wanted = kept(tmp_path, 200)
    killed = 0
    for m in (found[int(k)] for k in chosen):
        wrong = f"{int(m[1], 16) ^ 0xFFFF:04x}"
        (folder / "netlist.v").write_text(text[: m.start(1)] + wrong + text[m.end(1) :])
        got = simulate_netlist(tmp_path, design_of(tmp_path), folder, use, aim, done.whole.cells, x)
        killed += not np.array_equal(got, wanted)
    assert killed >= len(chosen) - 1, f"{killed} of {len(chosen)} noticed"


def test_frozen_and_active_part(tmp_path: Path) -> None:
    """The frozen part is less than the whole and grows with the share of frozen neurons."""
    parts = []
    for frozen in (0.25, 0.75):
        place = tmp_path / str(frozen)
        emit(place, PARALLEL, frozen)
        done = run_synthesis(place, device("ice40"), engine("pyosys"), place / "synth")
        assert done.frozen is not None and done.active is not None
        whole, stays, active = (c.resources["LUT"] for c in (done.whole, done.frozen, done.active))
        assert whole == stays + active and stays > 0
        parts.append((stays, active))
    assert parts[0][0] < parts[1][0]
    assert parts[0][1] > parts[1][1]


def test_the_active_part_of_a_folded_design_is_what_writes(tmp_path: Path) -> None:
    """Even where every neuron is active."""
    emit(tmp_path, FOLDED, 0.0)
    done = run_synthesis(tmp_path, device("ice40"), engine("pyosys"), tmp_path / "synth")
    assert done.active is not None
    assert done.active.resources["LUT"] > 0 and done.active.resources["FF"] > 0


def test_a_budget_counts_and_belongs_to_one_yosys(tmp_path: Path) -> None:
    emit(tmp_path, FOLDED)
    use = engine("pyosys")
    whole = run_synthesis(tmp_path, device("generic"), use, tmp_path / "s").whole
    gates, yosys = whole.resources["gates"], f"{use.name} {use.version}"
    assert Budget(yosys, 0.02, {"gates": gates}).exceeded(whole) == []
    [line] = Budget(yosys, 0.02, {"gates": int(gates / 1.03)}).exceeded(whole)
    assert line.startswith(f"gates: {gates:,} is more than")
    with pytest.raises(CompileError, match="the budget is of"):
        Budget("yosys 0.1", 0.02, {}).exceeded(whole)
