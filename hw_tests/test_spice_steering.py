"""Resistors fitted to signals: what rounding leaves, against rounding each alone."""

from __future__ import annotations

import numpy as np
import pytest

from crystalc_spice.series import nearest, nearest_of
from crystalc_spice.steering import FEEDBACK, LARGEST, Signals, fit

COUNT, RAILS = 400, 20


def signals(rng: np.random.Generator, gains: np.ndarray) -> Signals:
    """Rails that move together, as pixels do."""
    common = rng.standard_normal((COUNT, 4)) @ rng.standard_normal((4, len(gains)))
    rails = 1.0 + common + 0.1 * rng.standard_normal((COUNT, len(gains)))
    return Signals(rails, rails @ gains, np.ones(COUNT))


def error(met: Signals, gains: np.ndarray) -> float:
    """Root mean square of what an amplifier with these gains does wrong."""
    return float(np.sqrt(np.mean((met.rails @ gains - met.wanted) ** 2)))


@pytest.mark.parametrize("series", ["E12", "E24", "E96"])
@pytest.mark.parametrize("seed", range(4))
def test_fitted_parts_err_less_than_rounded_ones(seed: int, series: str) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.uniform(0.2, 3.0, RAILS) * rng.choice([-1.0, 1.0], RAILS)
    met = signals(rng, gains)
    feedback, ohms = fit(gains, met, series)
    alone = [np.copysign(FEEDBACK / nearest(FEEDBACK / abs(g), series), g) for g in gains]
    assert error(met, feedback / ohms) < 0.3 * error(met, np.array(alone))
    assert all(nearest(r, series) == r for r in [feedback, *np.abs(ohms).tolist()])


def test_a_constant_larger_than_the_signal_is_met() -> None:
    """Two rails of 600 V that cancel to 1 V: two parts of a series
    do it to 0.2 %."""
    x = np.random.default_rng(1).standard_normal(COUNT)
    rails = np.stack([600.0 + x, np.ones(COUNT)], axis=1)
    gains = np.array([-1.0, 600.0])
    met = Signals(rails, rails @ gains, np.ones(COUNT))
    feedback, ohms = fit(gains, met, "E96")
    assert error(met, feedback / ohms) < 1.5
    assert error(met, np.array([-1.0, FEEDBACK / nearest(FEEDBACK / 600, "E96")])) > 5.0


def test_earlier_stages_are_made_good() -> None:
    """Rails that are 5 % too large, as a stage before it left them: the gains become smaller."""
    rng = np.random.default_rng(2)
    gains = rng.uniform(0.2, 3.0, RAILS)
    met = signals(rng, gains)
    met = Signals(1.05 * met.rails, met.wanted, met.weights)
    feedback, ohms = fit(gains, met, "E96")
    assert error(met, feedback / ohms) < 0.05 * error(met, gains)


def test_a_tiny_gain_is_left_out() -> None:
    gains = np.array([1.0, 1e-6])
    met = Signals(np.eye(2), gains, np.ones(2))
    _, ohms = fit(gains, met, "E96")
    assert ohms[1] == np.inf
    assert abs(ohms[0]) <= LARGEST


def test_many_at_once_are_rounded_as_one() -> None:
    ohms = 10.0 ** np.random.default_rng(3).uniform(1, 7, 300)
    for series in ("E12", "E24", "E96", "E192"):
        alone = [nearest(r, series) for r in ohms.tolist()]
        assert nearest_of(ohms, series) == pytest.approx(alone, rel=1e-12)
