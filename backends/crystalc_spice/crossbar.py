"""Level ``crossbar``: every gain is a resistor from a rail into an op-amp's virtual ground.

An amplifier makes  v(out) = - sum v(rail) * Rf / R,  so a positive gain takes the inverted rail.
Kernels and squares stay behavioral sources. Each amplifier has its offset voltage as a source of
its own, so that tolerances can be drawn for every part of the netlist.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc_spice.behavioral import Behavioral, Sum
from crystalc_spice.equations import OPEN_LOOP, nominal
from crystalc_spice.netlist import number
from crystalc_spice.steering import FEEDBACK, Signals, fit

Array = NDArray[np.float64]

SEED = 1
GUESSED = 256
"""Calibration vectors where none are known."""

TRIMMED = 300.15
"""Kelvin at which a kernel is trimmed."""


@dataclass(frozen=True)
class Amplifier:
    """``resistors``: (name, rail, ohms); the first is the feedback from ``out`` itself."""

    out: str
    offset: str
    resistors: tuple[tuple[str, str, float], ...]

    @property
    def facts(self) -> dict[str, Any]:
        """For NAME.json."""
        return {"out": self.out, "offset": self.offset, "resistors": self.resistors}


@dataclass(frozen=True)
class Source:
    """A behavioral source: ``out`` is the sum of the expressions."""

    out: str
    expressions: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """For NAME.json."""
        return {"out": self.out, "expressions": self.expressions}


Stage = Amplifier | Source


def _warmed(expression: str) -> str:
    """An antilog cell's exponent is voltage over kT/q: trimmed at 27 C, it falls with heat."""
    head = "exp(max(min("
    if not expression.startswith(head):
        return expression
    return f"exp({TRIMMED}/(temper+273.15)*{expression.removeprefix('exp(')}"


@dataclass
class Crossbar(Behavioral):
    """``series``: of the resistors, "exact" for none. ``stages``: what stands in the netlist.

    ``samples`` [K, I]: calibration vectors, on which every net is followed in two circuits:
    ``ideal``, with the gains as they are in the model, and ``real``, with the parts so far.
    """

    series: str = "E96"
    samples: Array | None = None
    ideal: dict[str, Array] = field(default_factory=dict)
    real: dict[str, Array] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    inverted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.graph.input.type.shape[0]
        x = self.samples
        if x is None:
            x = np.random.default_rng(SEED).standard_normal((GUESSED, size))
        self.real = {"one": np.ones(len(x)), **{f"x{d}": x[:, d] for d in range(size)}}
        self.ideal = dict(self.real)

    def net(self, total: Sum, name: str) -> str:
        if not total.constant and list(total.gains.values()) == [1.0]:
            return next(iter(total.gains))
        gains = {**total.gains, **({"one": total.constant} if total.constant else {})}
        self.amplifier(name, {net: gain for net, gain in gains.items() if gain})
        return name

    def made(self, name: str, expressions: Iterable[str]) -> Sum:
        terms = tuple(_warmed(text) for text in expressions)
        self.ideal[name] = nominal(Source(name, terms).facts, self.ideal)
        self.add(Source(name, terms))
        inside = super().made(f"{name}_s", terms)
        self.netlist.element("e", name, "0", *inside.gains, "0", "1")  # resistors load no sum
        return Sum({name: 1.0})

    def amplifier(self, out: str, gains: dict[str, float]) -> None:
        """An inverting summing amplifier with gains of either sign."""
        self.ideal[out] = np.sum([g * self.ideal[net] for net, g in gains.items()], axis=0)
        feedback, parts = self.fitted(out, gains)
        rails = [(out, feedback)]
        for net, ohms in parts:
            rails.append((net if ohms < 0 else self.inverse(net), abs(ohms)))
        ground, plus = f"{out}_m", f"{out}_p"
        resistors = tuple(
            (self.netlist.element("r", ground, rail, number(ohms)), rail, ohms)
            for rail, ohms in rails
        )
        self.netlist.source(plus, 0.0)
        self.netlist.element("e", out, "0", plus, ground, number(OPEN_LOOP))
        self.add(Amplifier(out, f"v{plus}", resistors))

    def add(self, stage: Stage) -> None:
        """Keep a stage, and what it gives on the calibration vectors."""
        self.stages.append(stage)
        self.real[stage.out] = nominal(stage.facts, self.real)

    def fitted(self, out: str, gains: dict[str, float]) -> tuple[float, list[tuple[str, float]]]:
        """Ohms of the feedback; (net, ohms) of the parts that exist, negative for such a gain."""
        if self.series == "exact" or not gains:
            return FEEDBACK, [(net, FEEDBACK / g) for net, g in gains.items()]
        rails = np.stack([self.real[net] for net in gains], axis=1)
        signals = Signals(rails, self.ideal[out], np.ones(len(rails)))
        feedback, ohms = fit(np.array(list(gains.values())), signals, self.series)
        parts = zip(gains, ohms.tolist(), strict=True)
        return feedback, [(net, r) for net, r in parts if math.isfinite(r)]

    def inverse(self, net: str) -> str:
        """The rail of the other sign, made once."""
        if net not in self.inverted:
            self.inverted[net] = f"{net}_n"
            self.amplifier(f"{net}_n", {net: -1.0})
        return self.inverted[net]
