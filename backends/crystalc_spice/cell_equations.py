"""What each kind of amplifier stage computes, in NumPy: Kirchhoff and the transistor's law.

    Ic = Is exp(Vbe / Vt) (1 - Vbc / Va)

with the emitter's ohms and the base current through the divider taken in by a few steps of a
contraction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc_spice.cells import BOLTZMANN, CHARGE
from crystalc_spice.opamps import transistors

Array = NDArray[np.float64]
Stage = Mapping[str, Any]
Volts = Mapping[str, Array]

NOMINAL = 27.0
"""Degrees Celsius that a kernel is trimmed for."""

STEPS = 4
"""Of the contraction: its factor is far below 0.01."""

LEAST = 1e-15
"""Amperes of a transistor that is off."""


@dataclass(frozen=True)
class Parts:
    """What was drawn for one trial. ``ohms`` by name of a resistor, ``offsets`` in volts by name
    of a source; ``degrees`` Celsius.
    """

    ohms: Mapping[str, float]
    offsets: Mapping[str, float]
    degrees: float = NOMINAL

    @property
    def thermal(self) -> float:
        """kT/q in volts."""
        return BOLTZMANN * (self.degrees + 273.15) / CHARGE

    def offset(self, stage: Stage) -> float:
        """Of a stage's amplifier."""
        return self.offsets.get(stage["offset"], 0.0)


def _network(resistors: Any, volts: Volts, parts: Parts) -> tuple[Array, float]:
    """Current into a grounded node and the conductance at it."""
    if not resistors:
        return np.zeros_like(volts["one"]), 0.0
    siemens = np.array([1.0 / parts.ohms[name] for name, *_ in resistors])
    rails = np.stack([volts[rail] for _, rail, _ in resistors])
    return siemens @ rails, float(siemens.sum())


def amplifier(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """Kirchhoff at the virtual ground, with a finite open-loop gain."""
    feedback, *rails = stage["resistors"]
    current, siemens = _network(rails, volts, parts)
    back, gain = 1.0 / parts.ohms[feedback[0]], stage["gain"]
    total = siemens + back
    return np.asarray((parts.offset(stage) * total - current) * gain / (total + gain * back))


def rectifier(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """The amplifier's output where it is above 0."""
    return np.maximum(amplifier(stage, volts, parts), 0.0)


def log(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """The emitter of a transistor whose collector takes the current that is drawn."""
    part = transistors()
    current, siemens = _network(stage["resistors"], volts, parts)
    ground: float | Array = parts.offset(stage)
    for _ in range(2):
        drawn = np.maximum(ground * siemens - current, LEAST)
        out = parts.thermal * np.log(drawn / part.saturation) + drawn * _emitter()
        ground = parts.offset(stage) - out / stage["gain"]
    return np.asarray(out)


def follower(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """The resistors' mean."""
    current, siemens = _network(stage["resistors"], volts, parts)
    return np.asarray((current / siemens + parts.offset(stage)) / (1.0 + 1.0 / stage["gain"]))


def antilog(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """A transistor's collector current into a resistor of feedback."""
    current = _collector(volts[stage["emitter"]], _emitter(), parts)
    return _converted(stage, -current, parts)


def reference(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """The emitter at which the base's divider gives the first resistor's current."""
    part = transistors()
    source, *divider = stage["resistors"]
    current, siemens = _network([source], volts, parts)
    current = current - parts.offset(stage) * siemens
    into, total = _network(divider, volts, parts)
    base = (into - current / part.beta) / total
    early = 1.0 - (base - parts.offset(stage)) / part.early
    drop = parts.thermal * np.log(current / (part.saturation * early))
    return np.asarray(base - drop - current * _emitter())


def exponential(stage: Stage, volts: Volts, parts: Parts) -> Array:
    """A transistor between the divider's base and the reference's emitter."""
    part = transistors()
    into, total = _network(stage["resistors"][1:], volts, parts)
    base = into / total
    resistance = 1.0 / (total * part.beta) + _emitter()
    early = 1.0 - (base - parts.offset(stage)) / part.early
    current = _collector(base - volts[stage["emitter"]], resistance, parts, early)
    return _converted(stage, current, parts)


def _emitter() -> float:
    """Ohms of the emitter as the collector current sees them."""
    part = transistors()
    return part.emitter * (1.0 + 1.0 / part.beta)


def _collector(volts: Array, resistance: float, parts: Parts, early: Array | float = 1.0) -> Array:
    """Amperes for the volts across base, emitter and a resistance."""
    bare = transistors().saturation * early * np.exp(np.minimum(volts, 1.0) / parts.thermal)
    current = bare
    for _ in range(STEPS):
        current = bare * np.exp(-current * resistance / parts.thermal)
    return np.asarray(current)


def _converted(stage: Stage, current: Array, parts: Parts) -> Array:
    """A current out of the virtual ground into volts."""
    ohms = parts.ohms[stage["resistors"][0][0]]
    return np.asarray((parts.offset(stage) + current * ohms) / (1.0 + 1.0 / stage["gain"]))


CELLS: Mapping[str, Callable[[Stage, Volts, Parts], Array]] = {
    "amplifier": amplifier,
    "rectifier": rectifier,
    "log": log,
    "follower": follower,
    "antilog": antilog,
    "reference": reference,
    "exponential": exponential,
}
