"""How fast a circuit settles and what it draws: a transient between vectors, amplifiers with rails.

Nothing here is computed from data sheets: times are read from waveforms and watts from the
currents of the supplies.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import ToolError
from crystalc_spice.build import Build
from crystalc_spice.netlist import number
from crystalc_spice.opamps import opamp, supply
from crystalc_spice.raw import read_raw
from crystalc_spice.simulate import run_batch, solve_netlist

Array = NDArray[np.float64]

EDGE = 10e-9
"""Seconds that the inputs take from one vector to the next."""

CYCLES = 100.0
"""Of the amplifiers' gain-bandwidth product: how long a vector is held at first."""

SHORTEST = 10e-6
"""Seconds that a vector is held at least."""

POINTS = 200
"""Of a waveform for each vector, at least."""

LONGER = 3
"""Times that the hold is doubled before a circuit counts as not settling."""

BAND = 0.01
"""Of the range of the outputs: settled is within it, for good."""

SUPPLIES = ("vplus", "vminus", "vplusm", "vminusm")


@dataclass(frozen=True)
class Waveform:
    """``seconds`` [n], ``outputs`` [n, O] in volts, ``watts`` [n] of all supplies and of the
    multipliers' alone; vector k was applied at k * ``hold``.
    """

    seconds: Array
    outputs: Array
    watts: Array
    products: Array
    hold: float

    def during(self, k: int) -> NDArray[np.bool_]:
        """Points from the moment that vector k was applied until the next."""
        end = (k + 1) * self.hold
        return np.asarray((self.seconds >= k * self.hold) & (self.seconds <= end))


@dataclass(frozen=True)
class Settling:
    """Seconds of each step until the outputs stay within BAND of where they end, and until the
    decision stays; watts at rest, mean over the vectors. ``wanted`` [V, O]: volts at rest.
    """

    seconds: tuple[float, ...]
    decided: tuple[float, ...]
    watts: float
    products: float
    wave: Waveform
    wanted: Array


def with_rails(lines: list[str]) -> list[str]:
    """The netlist with amplifiers that saturate and slew."""
    swap = ("xcore p n o vdd vss opamp_linear", "xcore p n o vdd vss opamp_rails")
    return [swap[1] if line == swap[0] else line for line in lines]


def settling(build: Build, inputs: Array) -> Settling:
    """Steps from each of ``inputs`` [V, I] to the next. Raises ToolError: it does not settle."""
    outputs = build.facts["outputs"]
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        wanted = solve_netlist(build.netlist.resolve(), outputs, inputs, Path(place))
    hold = max(SHORTEST, CYCLES / opamp(build.facts["opamp"]).gbw)
    for _ in range(LONGER + 1):
        wave = waveform(build, inputs, hold)
        found = [step(wave, k, wanted) for k in range(1, len(inputs))]
        if all(seconds <= 0.8 * hold for seconds, _ in found):
            break
        hold *= 2
    else:
        raise ToolError(f"the circuit does not settle within {hold / 2:.1e} s")
    ends = [np.flatnonzero(wave.during(k))[-1] for k in range(len(inputs))]
    return Settling(
        seconds=tuple(seconds for seconds, _ in found),
        decided=tuple(decided for _, decided in found),
        watts=float(wave.watts[ends].mean()),
        products=float(wave.products[ends].mean()),
        wave=wave,
        wanted=wanted,
    )


def waveform(build: Build, inputs: Array, hold: float) -> Waveform:
    """The circuit while each of ``inputs`` [V, I] is applied for ``hold`` seconds."""
    lines = with_rails(build.netlist.read_text(encoding="ascii").split("\n"))
    body = [line for line in lines if line != ".end"]
    for d in range(inputs.shape[1]):
        body[body.index(f"vx{d} x{d} 0 dc 0")] = _steps(d, inputs[:, d].tolist(), hold)
    body += [".save " + " ".join(f"i({name})" for name in SUPPLIES)]
    body += [f".tran {number(hold / POINTS)} {number(hold * len(inputs))}", ".end", ""]
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        found = read_raw(run_batch(body, Path(place)))
    plus, minus, plus_m, minus_m = (found[f"i({name})"] for name in SUPPLIES)
    products = supply() * (minus_m - plus_m)
    return Waveform(
        seconds=found["time"],
        outputs=np.stack([found[f"v({net})"] for net in build.facts["outputs"]], axis=1),
        watts=supply() * (minus - plus) + products,
        products=products,
        hold=hold,
    )


def _steps(d: int, values: list[float], hold: float) -> str:
    """x_d holds each value, with an edge between two."""
    points = [f"0 {number(values[0])}"]
    for k, (before, after) in enumerate(pairwise(values), start=1):
        points += [f"{number(k * hold)} {number(before)}"]
        points += [f"{number(k * hold + EDGE)} {number(after)}"]
    return f"vx{d} x{d} 0 pwl({' '.join(points)})"


def step(wave: Waveform, k: int, wanted: Array) -> tuple[float, float]:
    """Seconds until the outputs, and until the decision, stay where they belong."""
    shown = wave.during(k)
    seconds, volts = wave.seconds[shown] - k * wave.hold, wave.outputs[shown]
    outside = (np.abs(volts - wanted[k]) > BAND * np.ptp(wanted)).any(-1)
    other = volts.argmax(-1) != wanted[k].argmax()
    return _last(seconds, outside), _last(seconds, other)


def _last(seconds: Array, flags: NDArray[np.bool_]) -> float:
    """The first moment after all that are flagged: 0 where none is."""
    where = np.flatnonzero(flags)
    if not len(where):
        return 0.0
    return float(seconds[min(where[-1] + 1, len(seconds) - 1)])
