"""How a figure is spread over random trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.viz.figure import save_figure

BINS = 30


def histogram_picture(series: Mapping[str, NDArray[Any]], label: str, path: Path) -> None:
    """One outline for each series of values, with its mean; written as PNG or SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    every = np.concatenate(list(series.values()))
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, BINS + 1)
    for k, (name, values) in enumerate(series.items()):
        axes.hist(
            values, edges.tolist(), histtype="stepfilled", alpha=0.5, color=f"C{k}", label=name
        )
        axes.axvline(float(values.mean()), color=f"C{k}", linestyle="--", linewidth=1)
    axes.set_xlabel(label)
    axes.set_ylabel("trials")
    axes.legend(frameon=False)
    save_figure(figure, path)
