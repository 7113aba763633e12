"""240 random graphs as RTL, in every way to drive them, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hw_tests.fuzz import TARGETS, smallest
from hw_tests.fuzz_verilog import VARIANTS, Rtl, make_case, run_cases
from hw_tests.verilog_models import NEEDS_ICARUS

pytestmark = NEEDS_ICARUS

SEED = 2
SHARE = 20
PARTS = [(variant, part) for variant in VARIANTS for part in range(3)]


@pytest.mark.parametrize(("variant", "part"), PARTS, ids=lambda v: getattr(v, "name", str(v)))
def test_random_graphs(variant: Rtl, part: int, tmp_path: Path) -> None:
    first = (VARIANTS.index(variant) * 3 + part) * SHARE
    cases = [make_case(SEED, first + k) for k in range(SHARE)]
    failures = run_cases(cases, variant, tmp_path)
    text = [f"graph {first + f.index} of seed {SEED}: {f.reason}" for f in failures]
    assert not text, "\n".join(text)


def test_a_difference_is_found_and_cut_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adder that subtracts is seen, and the smallest failing graph is not larger."""
    from crystalc_verilog import wires

    sound = wires.PARAMETERS["add"]

    def wrong(w: wires.Wires, c: int, cell: wires.Cell) -> list[int]:
        numbers = sound(w, c, cell)
        return [*numbers[:6], 1 - numbers[6], numbers[7]]

    monkeypatch.setattr(wires, "PARAMETERS", {**wires.PARAMETERS, "add": wrong})
    for k in range(20):
        case = make_case(SEED, k)
        if failures := run_cases([case], VARIANTS[0], tmp_path / str(k)):
            break
    assert "the oracle says" in failures[0].reason
    cut, reason = smallest(replace(case), VARIANTS[0], TARGETS["verilog"])
    assert "the oracle says" in reason
    assert len(cut.graph.nodes) <= len(case.graph.nodes)
