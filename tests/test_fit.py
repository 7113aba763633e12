"""Does a design fit a device, by its estimate?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import as_document, tiny_checkpoint, write_pt

from crystalc.cli import run
from crystalc.diagnostics import CompileError, ToolError
from crystalc_verilog import fpga
from crystalc_verilog.estimate import figures, kind
from crystalc_verilog.fit import fits, refuse_far
from crystalc_verilog.fpga import BOARDS, board


def area(luts: int, on: str, arch: str = "parallel") -> dict[str, int]:
    """Features that are estimated at about so many LUTs."""
    known = figures(kind(BOARDS[on].aim.name, arch))
    assert known is not None
    costs = {name: cost for name, cost in known.costs["LUT"].items() if name != "units"}
    name, cost = max(costs.items(), key=lambda pair: pair[1])
    return {name: round(luts / cost), **({"units": 1} if arch == "folded" else {})}


@pytest.mark.parametrize("name", BOARDS)
def test_a_design_far_beyond_a_device_is_refused_with_both_numbers(name: str) -> None:
    on = board(name)
    refuse_far(area(on.luts // 2, name), on)
    refuse_far(area(round(1.8 * on.luts), name), on)
    with pytest.raises(CompileError) as caught:
        refuse_far(area(3 * on.luts, name), on)
    said = str(caught.value)
    assert f"{on.luts:,}" in said and name in said and "--arch folded" in said and "--force" in said


def test_a_folded_design_is_told_of_fewer_lanes() -> None:
    on = board("ice40-hx8k")
    with pytest.raises(CompileError, match="fewer --lanes"):
        refuse_far(area(3 * on.luts, on.name, "folded"), on)


def test_an_estimate_within_its_own_error_is_not_called_either() -> None:
    on = board("ecp5-25k")
    for share, said in ((0.5, "fits"), (1.02, "too close to say"), (1.5, "does not fit")):
        assert fits(area(round(share * on.luts), on.name), on).endswith(f": {said}")


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert fits({}, board("ecp5-25k")).startswith("ecp5-25k")
    refuse_far({}, board("ecp5-25k"))


def test_estimate_says_whether_it_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_pt(tmp_path / "model.pt", as_document(tiny_checkpoint()))
    for device in ("ice40", "ice40-hx8k"):
        assert run(["estimate", str(model), "--device", device]) == 0
        out = capsys.readouterr().out
        assert "ice40-hx8k: " in out and " of 7,680 LUT" in out and ": fits" in out
        assert "ecp5-25k" not in out


def test_force_goes_on_anyway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def went_on(*_: object) -> None:
        raise ToolError("it went on")

    monkeypatch.setattr(fpga, "_program", lambda *_: [])
    monkeypatch.setattr(fpga, "simulate_serial", went_on)
    monkeypatch.setattr(fpga.serial, "files", lambda _: {})
    facts = {"top": "crystal", "area": area(100_000, "ice40-hx8k")}
    (tmp_path / "crystal.json").write_text(json.dumps(facts))
    assert run(["fpga", str(tmp_path)]) == 2
    assert "ice40-hx8k has 7,680" in capsys.readouterr().err
    assert run(["fpga", str(tmp_path), "--force"]) == 3
    assert "it went on" in capsys.readouterr().err
