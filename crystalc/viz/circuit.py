"""Pictures of a circuit's measurements: how it settles, and what one neuron makes of its input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.viz.figure import save_figure

Arrays = Mapping[str, NDArray[Any]]


STYLES = ("-", "--", "-.", ":")
"""Of lines: the next one where the ten colours begin again."""


def settling_picture(found: Arrays, path: Path) -> None:
    """``settling_figure`` as PNG or SVG."""
    save_figure(settling_figure(found), path)


def settling_figure(found: Arrays) -> Any:
    """Every output over ``seconds`` [n]: ``outputs`` [n, O] in volts, ``wanted`` [V, O] at rest,
    and ``watts`` [n] below; vector k was applied at k * ``hold``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    time, hold = found["seconds"] * 1e6, float(found["hold"]) * 1e6
    for k in range(found["outputs"].shape[1]):
        look = {"color": f"C{k % 10}", "linestyle": STYLES[k // 10 % len(STYLES)]}
        upper.plot(time, found["outputs"][:, k], linewidth=1, label=str(k), **look)
    for vector, volts in enumerate(found["wanted"]):
        ends = [vector * hold, (vector + 1) * hold]
        upper.hlines(volts, *ends, colors="0.6", linestyles="dotted", linewidth=0.8)
        lower.axvline(ends[0], color="0.8", linewidth=0.8)
    upper.set_ylabel("outputs, V (dotted: at rest)")
    lower.plot(time, found["watts"], color="0.3", linewidth=1)
    lower.set_ylabel("supplies, W")
    lower.set_xlabel("time, us")
    figure.legend(loc="outside right upper", title="output", frameon=False)
    return figure


def transfer_picture(found: Arrays, path: Path) -> None:
    """A neuron's weight over ``curve_position`` [n]: ``curve_measured`` in the circuit against
    ``curve_ideal``, with the difference below.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    position, ideal = found["curve_position"], found["curve_ideal"]
    upper.plot(position, ideal, color="0.3", linewidth=1, label="the model")
    upper.plot(position, found["curve_measured"], "o", color="C0", markersize=3, label="circuit")
    upper.set_ylabel("weight of the neuron")
    upper.legend(frameon=False)
    error = (found["curve_measured"] - ideal) / np.ptp(ideal)
    lower.plot(position, 100 * error, color="C3", linewidth=1)
    lower.set_ylabel("error, % of range")
    lower.set_xlabel("from the input that moves it least (0) to the one that moves it most (1)")
    save_figure(figure, path)
