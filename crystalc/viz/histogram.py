"""How a figure is spread over random trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.viz.figure import save_figure

BINS = 30
"""At most."""


def edges(values: NDArray[Any], steps: int) -> NDArray[np.float64]:
    """Bounds of at most BINS bins for ``values``, multiples of 1/steps: between two of them, and
    each bin as wide as a whole number of steps.
    """
    low, high = round(float(values.min()) * steps), round(float(values.max()) * steps)
    wide = -(-(high - low + 1) // BINS)
    count = -(-(high - low + 1) // wide)
    return (low - 0.5 + wide * np.arange(count + 1)) / steps


def histogram_picture(
    series: Mapping[str, NDArray[Any]], label: str, path: Path, steps: int
) -> None:
    """One outline for each series of multiples of 1/steps, with its mean; as PNG or SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    every = np.concatenate(list(series.values()))
    bounds = edges(every, steps).tolist()
    for k, (name, values) in enumerate(series.items()):
        axes.hist(values, bounds, histtype="stepfilled", alpha=0.5, color=f"C{k}", label=name)
        axes.axvline(float(values.mean()), color=f"C{k}", linestyle="--", linewidth=1)
    axes.set_xlabel(label)
    axes.set_ylabel("trials")
    axes.legend(frameon=False)
    save_figure(figure, path)
