"""What a check says to whoever reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import tiny_checkpoint

from crystalc.backend import Electrical, Exact, Within
from crystalc.check import judge, judge_circuit, sameness
from crystalc.driver import Options, agreement_text, compile_checkpoint
from crystalc.driver import report as report_of
from crystalc.verdict import percent, verdict

WANTED = np.array([[0.0, 2.0], [4.0, 1.0], [3.0, 0.5], [0.0, 1.0]])


def circuit(agreement: Electrical, volts: float = 0.02) -> str:
    return verdict(judge_circuit(WANTED, WANTED + volts, agreement), agreement, fixed=False)


def test_a_crossbar_names_the_decisions_it_is_held_to_and_no_bound() -> None:
    assert circuit(Electrical(0.0, 1.0, 0.99)) == (
        "check   4 vectors against the oracle: max error 2.0e-02, 0.5% of the outputs' range "
        "(nothing promised), decisions 4/4 (99.0% promised): OK"
    )


def test_a_share_of_the_range_stands_beside_the_share_that_is_allowed() -> None:
    assert "0.5% of the outputs' range (at most 2%), decisions 4/4 (90.0% promised)" in circuit(
        Electrical(0.0, 0.02, 0.9)
    )


def test_volts_are_held_to_volts() -> None:
    said = circuit(Electrical(0.03, 0.0, 1.0))
    assert "max error 2.0e-02 (at most 3e-02 V), decisions 4/4 (100.0% promised): OK" in said


def test_no_decisions_promised_is_said() -> None:
    assert "decisions 4/4 (nothing promised)" in circuit(Electrical(0.0, 1.0, 0.0))


def test_a_failure_keeps_its_reason() -> None:
    assert ": FAILED: output 0 of vector 0 is" in circuit(Electrical(0.0, 0.001, 0.9))


def test_other_agreements_read_as_before() -> None:
    found = judge(WANTED, WANTED, np.full(WANTED.shape, 0.5))
    assert "(bound 5.0e-01, worst 0% of its own bound)" in verdict(found, Within(24), fixed=False)
    assert "0 steps of difference (exact)" in verdict(found, Exact(), fixed=True)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0066, "0.66%"), (5.7e-16, "5.7e-14%"), (1, "1e+02%")]
)
def test_shares_are_percent(share: float, text: str) -> None:
    assert percent(share) == text.replace("1e+02", "100")


def test_the_report_names_only_what_is_promised() -> None:
    assert agreement_text(Electrical(0.0, 1.0, 0.99)) == "99.0% of the decisions"
    assert agreement_text(Electrical(1e-6, 0.0, 1.0)) == "within 1e-06 V, 100.0% of the decisions"
    said = "within 0.5% of the outputs' range, 99.0% of the decisions"
    assert agreement_text(Electrical(0.0, 0.005, 0.99)) == said


@pytest.mark.parametrize("value", [0.0, 7.25])
def test_a_check_on_one_answer_says_that_it_says_little(value: float) -> None:
    assert sameness(np.full((9, 3), value)).startswith("all vectors give the same output")
    assert sameness(np.full((9, 3), 4)).startswith("all vectors give the same output")


def test_different_answers_need_no_note() -> None:
    assert sameness(WANTED) == ""
    assert sameness(np.array([[1 << 60], [(1 << 60) + 1]])) == ""
    assert sameness(WANTED[:1]) == ""


@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
def test_the_note_stands_in_the_report(arithmetic: Any) -> None:
    checkpoint = tiny_checkpoint()
    made = compile_checkpoint(checkpoint, Options("c", arithmetic))
    note = sameness(np.zeros((4, 3)))
    found = judge(WANTED, WANTED, np.zeros(WANTED.shape), note)
    assert report_of(made, checkpoint, found)["note"] == note != ""
