"""Resistors fitted to signals: what rounding leaves, against rounding each alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError
from crystalc.driver import Options, compile_checkpoint, write
from crystalc_spice.build import read_build
from crystalc_spice.equations import Parts, solve
from crystalc_spice.series import nearest, nearest_of
from crystalc_spice.steering import FEEDBACK, LARGEST, fit
from hw_tests.spice_models import NEEDS_NGSPICE
from hw_tests.verilog_models import tiny_checkpoint

COUNT, RAILS = 400, 20


def moving(rng: np.random.Generator) -> np.ndarray:
    """Rails [COUNT, RAILS] that move together, as pixels do."""
    common = rng.standard_normal((COUNT, 4)) @ rng.standard_normal((4, RAILS))
    return np.asarray(1.0 + common + 0.1 * rng.standard_normal((COUNT, RAILS)))


def error(rails: np.ndarray, wanted: np.ndarray, gains: np.ndarray) -> float:
    """Root mean square of what an amplifier with these gains does wrong."""
    return float(np.sqrt(np.mean((rails @ gains - wanted) ** 2)))


@pytest.mark.parametrize("series", ["E12", "E24", "E96"])
@pytest.mark.parametrize("seed", range(4))
def test_fitted_parts_err_less_than_rounded_ones(seed: int, series: str) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.uniform(0.2, 3.0, RAILS) * rng.choice([-1.0, 1.0], RAILS)
    rails = moving(rng)
    wanted = rails @ gains
    feedback, ohms = fit(gains, rails, wanted, series)
    alone = [np.copysign(FEEDBACK / nearest(FEEDBACK / abs(g), series), g) for g in gains]
    assert error(rails, wanted, feedback / ohms) < 0.3 * error(rails, wanted, np.array(alone))
    assert all(nearest(r, series) == r for r in [feedback, *np.abs(ohms).tolist()])


def test_a_constant_larger_than_the_signal_is_met() -> None:
    """Two rails of 600 V that cancel to 1 V: two parts of a series
    do it to 0.2 %."""
    x = np.random.default_rng(1).standard_normal(COUNT)
    rails = np.stack([600.0 + x, np.ones(COUNT)], axis=1)
    gains = np.array([-1.0, 600.0])
    wanted = rails @ gains
    feedback, ohms = fit(gains, rails, wanted, "E96")
    assert error(rails, wanted, feedback / ohms) < 1.5
    assert error(rails, wanted, np.array([-1.0, FEEDBACK / nearest(FEEDBACK / 600, "E96")])) > 5.0


def test_earlier_stages_are_made_good() -> None:
    """Rails that are 5 % too large, as a stage before it left them: the gains become smaller."""
    rng = np.random.default_rng(2)
    gains = rng.uniform(0.2, 3.0, RAILS)
    rails = moving(rng)
    wanted = rails @ gains
    feedback, ohms = fit(gains, 1.05 * rails, wanted, "E96")
    left = error(1.05 * rails, wanted, feedback / ohms)
    assert left < 0.05 * error(1.05 * rails, wanted, gains)


def test_a_tiny_gain_is_left_out() -> None:
    gains = np.array([1.0, 1e-6])
    _, ohms = fit(gains, np.eye(2), gains, "E96")
    assert ohms[1] == np.inf
    assert abs(ohms[0]) <= LARGEST


def test_without_an_aim_the_feedback_stays() -> None:
    gains = np.array([2.0, -0.7])
    feedback, ohms = fit(gains, np.eye(2), None, "E96")
    assert feedback == FEEDBACK
    assert feedback / ohms == pytest.approx(gains, rel=0.012)


def test_signals_beyond_numbers_are_refused() -> None:
    rails = np.full((4, 2), 1e300)
    with pytest.raises(CompileError, match="too far apart in size"):
        fit(np.array([1.0, -1.0]), rails, np.zeros(4), "E96")


@NEEDS_NGSPICE
@pytest.mark.parametrize("series", ["E96", "exact"])
def test_an_output_of_nothing_is_nothing(series: str, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(bias=False)
    checkpoint.tensors["field.values"][:, 1] = 0.0
    options = Options("spice", backend={"level": "crossbar", "series": series})
    made = compile_checkpoint(checkpoint, options)
    write(made, tmp_path)
    assert np.abs(made.backend.execute(tmp_path, made.samples[:3])[:, 1]).max() < 1e-9
    facts = read_build(tmp_path)
    nominal = Parts(facts.resistors, {})
    assert not solve(facts.stages, made.samples, facts.facts["outputs"], nominal)[:, 1].any()


def test_many_at_once_are_rounded_as_one() -> None:
    ohms = 10.0 ** np.random.default_rng(3).uniform(1, 7, 300)
    for series in ("E12", "E24", "E96", "E192"):
        alone = [nearest(r, series) for r in ohms.tolist()]
        assert nearest_of(ohms, series) == pytest.approx(alone, rel=1e-12)
