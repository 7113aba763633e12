"""Level ``crossbar``: every gain is a resistor from a rail into an op-amp's virtual ground.

An amplifier makes  v(out) = - sum v(rail) * Rf / R,  so a positive gain takes the inverted rail.
Kernels and squares stay behavioral sources. Each amplifier has its offset voltage as a source of
its own, so that tolerances can be drawn for every part of the netlist.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import Node, Op
from crystalc_spice.behavioral import Behavioral, Sum
from crystalc_spice.cells import Amplifier, Source, Stage, as_data
from crystalc_spice.equations import nominal
from crystalc_spice.netlist import number
from crystalc_spice.series import nearest
from crystalc_spice.steering import FEEDBACK, LARGEST, fit

Array = NDArray[np.float64]

OPEN_LOOP = 1e6
"""Voltage gain of an amplifier."""

SEED = 1
GUESSED = 256
"""Calibration vectors where none are known."""

TRIMMED = 300.15
"""Kelvin at which a kernel is trimmed."""


def _warmed(expression: str) -> str:
    """An antilog cell's exponent is voltage over kT/q: trimmed at 27 C, it falls with heat."""
    head = "exp(max(min("
    if not expression.startswith(head):
        return expression
    return f"exp({TRIMMED}/(temper+273.15)*{expression.removeprefix('exp(')}"


@dataclass
class Crossbar(Behavioral):
    """``series``: of the resistors, "exact" for none. ``stages``: what stands in the netlist;
    ``scores``: nets that kernels take as arguments.

    ``samples`` [K, I]: calibration vectors, on which every net is followed in two circuits:
    ``exact``, with the gains as they are in the model, and ``real``, with the parts so far.
    """

    series: str = "E96"
    samples: Array | None = None
    exact: dict[str, Array] = field(default_factory=dict)
    real: dict[str, Array] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    inverted: dict[str, str] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = self.graph.input.type.shape[0]
        x = self.samples
        if x is None:
            x = np.random.default_rng(SEED).standard_normal((GUESSED, size))
        self.real = {"one": np.ones(len(x)), **{f"x{d}": x[:, d] for d in range(size)}}
        self.exact = dict(self.real)

    def net(self, total: Sum, name: str) -> str:
        if not total.constant and list(total.gains.values()) == [1.0]:
            return next(iter(total.gains))
        gains = {**total.gains, **({"one": total.constant} if total.constant else {})}
        self.amplifier(name, {net: gain for net, gain in gains.items() if gain})
        return name

    def made(self, name: str, expressions: Iterable[str]) -> Sum:
        terms = tuple(_warmed(text) for text in expressions)
        self.exact[name] = nominal(as_data(Source(name, terms)), self.exact)
        self.add(Source(name, terms))
        inside = super().made(f"{name}_s", terms)
        self.netlist.element("e", name, "0", *inside.gains, "0", "1")  # resistors load no sum
        return Sum({name: 1.0})

    def function(self, i: int, node: Node) -> list[Sum]:
        if node.op is not Op.SQRT:
            self.scores += self.nets(node.inputs[0])
        return super().function(i, node)

    def softmax(self, i: int, node: Node) -> list[Sum]:
        self.scores += self.nets(node.inputs[0])
        return super().softmax(i, node)

    def amplifier(self, out: str, gains: dict[str, float]) -> None:
        """An inverting summing amplifier with gains of either sign."""
        silent = np.zeros_like(self.exact["one"])
        self.exact[out] = sum((g * self.exact[net] for net, g in gains.items()), silent)
        feedback, parts = self.fitted(gains, self.exact[out])
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
        self.add(Amplifier(out, f"v{plus}", resistors, OPEN_LOOP))

    def add(self, stage: Stage) -> None:
        """Keep a stage, and what it gives on the calibration vectors."""
        self.stages.append(stage)
        self.real[stage.out] = nominal(as_data(stage), self.real)

    def fitted(
        self, gains: dict[str, float], wanted: Array | None = None
    ) -> tuple[float, list[tuple[str, float]]]:
        """Ohms of the feedback; (net, ohms) of the parts that exist, negative for such a gain.

        ``wanted`` is the output to aim at. Without it the feedback is FEEDBACK, and the aim what
        ``gains`` make of the rails as they are.
        """
        if self.series == "exact" or not gains:
            ohms = {net: FEEDBACK / gain for net, gain in gains.items()}
            return FEEDBACK, [(net, r) for net, r in ohms.items() if abs(r) <= LARGEST]
        rails = np.stack([self.carries(net) for net in gains], axis=1)
        feedback, found = fit(np.array(list(gains.values())), rails, wanted, self.series)
        parts = zip(gains, found.tolist(), strict=True)
        return feedback, [(net, r) for net, r in parts if math.isfinite(r)]

    def carries(self, net: str) -> Array:
        """Volts of a net on the calibration vectors."""
        return self.real[net]

    def rounded(self, ohms: float) -> float:
        """The part that is fitted for a value that nothing makes good."""
        return ohms if self.series == "exact" else nearest(ohms, self.series)

    def inverse(self, net: str) -> str:
        """The rail of the other sign, made once."""
        if net not in self.inverted:
            self.inverted[net] = f"{net}_n"
            self.amplifier(f"{net}_n", {net: -1.0})
        return self.inverted[net]
