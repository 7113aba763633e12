"""Noise of the outputs: ngspice's ``.noise`` about an operating point."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import ToolError
from crystalc_spice.build import Build
from crystalc_spice.netlist import number
from crystalc_spice.raw import read_plots
from crystalc_spice.simulate import run_batch

Array = NDArray[np.float64]

LEVELS = ("macro", "crossbar")
"""Levels whose resistors are parts, and so make noise."""

PER_DECADE = 10
TOTAL = "v(onoise_total)"


@dataclass(frozen=True)
class Band:
    """Hertz."""

    first: float
    last: float


def noise(build: Build, inputs: Array, band: Band) -> Array:
    """Volts rms [O] of each output while ``inputs`` [I] are applied. Raises ToolError."""
    body = _lines(build)
    for d, volts in enumerate(inputs.tolist()):
        signal = " ac 1" if d == 0 else ""  # ngspice wants one
        body[body.index(f"vx{d} x{d} 0 dc 0")] = f"vx{d} x{d} 0 dc {number(volts)}{signal}"
    span = f"dec {PER_DECADE} {number(band.first)} {number(band.last)}"
    outputs = build.facts["outputs"]
    asked = [f".noise v({net}) vx0 {span}" for net in outputs]
    body += [".save onoise_spectrum onoise_total", *asked, ".end", ""]
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        plots = read_plots(run_batch(body, Path(place)))
        found = [float(plot[TOTAL][0]) for plot in plots if TOTAL in plot]
    if len(found) != len(outputs):
        raise ToolError(f"ngspice gave the noise of {len(found)} outputs, not of {len(outputs)}")
    return np.array(found)


def _lines(build: Build) -> list[str]:
    """The netlist less what it saves: a noise analysis has vectors of its own."""
    lines = build.netlist.read_text(encoding="ascii").split("\n")
    last = next(k for k, line in enumerate(lines) if line.startswith(".save"))
    return lines[:last]
