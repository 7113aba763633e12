"""Tolerances: parts drawn at random, every trial in NumPy, a few of them again in ngspice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc_spice.build import Build
from crystalc_spice.equations import NOMINAL, Parts, solve
from crystalc_spice.netlist import number
from crystalc_spice.simulate import solve_netlist

Array = NDArray[np.float64]

LEVELS = ("crossbar", "macro")
"""Levels that are made of parts whose values spread."""

CHECKED_VECTORS = 20
"""Of a trial that ngspice repeats."""

BOUND = 1e-3
"""Of the range of the outputs: how far NumPy and ngspice may differ in a trial."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations: of a resistor, relative; of an offset, in volts; of a neuron's
    temperature, relative: the gain before its kernel, as the feedback resistor sets it.
    """

    ohms: float
    offset: float
    temperature: float = 0.0


@dataclass(frozen=True)
class Tolerances:
    """Agreement of each trial with the nominal circuit's decisions, by temperature; accuracy where
    labels are known; the worst difference between NumPy and ngspice over the range of outputs.
    """

    vectors: int
    agreement: dict[float, Array]
    accuracy: dict[float, Array]
    repeated: int
    difference: float

    @property
    def ok(self) -> bool:
        """The equations are those of the netlist."""
        return self.difference <= BOUND


def draw(build: Build, spread: Spread, rng: np.random.Generator, degrees: float) -> Parts:
    """One set of parts, normally distributed."""
    nominal = build.resistors
    factors = 1.0 + spread.ohms * rng.standard_normal(len(nominal))
    ohms = {n: r * f for (n, r), f in zip(nominal.items(), factors.tolist(), strict=True)}
    drawn = spread.offset * rng.standard_normal(len(build.offsets))
    if spread.temperature:
        for name in _feedbacks(build):
            ohms[name] *= 1.0 + spread.temperature * rng.standard_normal()
    return Parts(ohms, dict(zip(build.offsets, drawn.tolist(), strict=True)), degrees)


def _feedbacks(build: Build) -> list[str]:
    """Feedback resistors of the amplifiers whose outputs are the arguments of kernels."""
    if "scores" not in build.facts:
        text = f"level {build.level} has no gain that is a neuron's temperature alone"
        raise refuse(text, hint="--sigma-t is for level crossbar")
    scores = set(build.facts["scores"])
    return [s["resistors"][0][0] for s in build.stages if s["out"] in scores and "resistors" in s]


def tolerances(
    build: Build,
    inputs: Array,
    labels: NDArray[np.int64] | None,
    spread: Spread,
    trials: int,
    seed: int = 1,
    degrees: tuple[float, ...] = (NOMINAL,),
    repeated: int = 3,
    progress: Callable[[], None] = lambda: None,
) -> Tolerances:
    """``trials`` sets of parts at each temperature, the first ``repeated`` again in ngspice.

    Raises ToolError where ngspice fails.
    """
    stages, outputs = build.stages, build.facts["outputs"]
    nominal = solve(stages, inputs, outputs, Parts(build.resistors, {}))
    agreement: dict[float, Array] = {}
    accuracy: dict[float, Array] = {}
    worst = 0.0
    for celsius in degrees:
        rng = np.random.default_rng(seed)
        agree, right = np.empty(trials), np.empty(trials)
        for k in range(trials):
            parts = draw(build, spread, rng, celsius)
            found = solve(stages, inputs, outputs, parts)
            decided = found.argmax(-1)
            agree[k] = (decided == nominal.argmax(-1)).mean()
            right[k] = np.nan if labels is None else (decided == labels).mean()
            if k < repeated:
                some = inputs[:CHECKED_VECTORS]
                gap = np.abs(in_ngspice(build, parts, some) - found[:CHECKED_VECTORS]).max()
                worst = max(worst, float(gap / np.ptp(nominal)))
            progress()
        agreement[celsius] = agree
        if labels is not None:
            accuracy[celsius] = right
    return Tolerances(len(inputs), agreement, accuracy, repeated * len(degrees), worst)


def in_ngspice(build: Build, parts: Parts, inputs: Array) -> Array:
    """The same parts in the netlist itself: voltages [batch, O]."""
    lines = build.netlist.read_text(encoding="ascii").split("\n")
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        changed = Path(place) / "trial.cir"
        changed.write_text("\n".join(_fitted(line, parts) for line in lines), encoding="ascii")
        return solve_netlist(changed, build.facts["outputs"], inputs, Path(place))


def _fitted(line: str, parts: Parts) -> str:
    """A line of the netlist with the value that was drawn."""
    name, _, rest = line.partition(" ")
    if name in parts.ohms:
        return f"{name} {rest.rpartition(' ')[0]} {number(parts.ohms[name])}"
    if name in parts.offsets:
        return f"{name} {rest.rpartition(' ')[0]} {number(parts.offsets[name])}"
    if name == ".option":
        return f"{line} temp={parts.degrees:g}"
    return line
