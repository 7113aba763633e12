"""One picture of a trained crystal: its neurons among the data, frozen and active told apart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Checkpoint
from crystalc.viz.figure import save_figure

Floats = NDArray[np.float64]
FROZEN, ACTIVE, DATA, INK = "#2b6cb0", "#dd6b20", "#cbd5e0", "#2d3748"
MOST_TILES = 100  # neurons on the contact sheet


def neurons_picture(checkpoint: Checkpoint, path: Path) -> None:
    """Write a PNG: neurons and calibration samples in 2-D, and the positions as images if square.

    Needs ``checkpoint.calibration`` [n, I] only for the grey background points.
    """
    from matplotlib.figure import Figure

    positions = np.asarray(checkpoint.tensors["field.positions"], dtype=np.float64)
    samples = embedded(checkpoint)
    side = image_side(checkpoint)
    figure = Figure(figsize=(13.0 if side else 7.0, 6.6), dpi=120, facecolor="white")
    parts: list[Any] = list(figure.subfigures(1, 2)) if side else [figure]  # type: ignore[arg-type]
    _scatter(parts[0], checkpoint, positions, samples)
    if side:
        _sheet(parts[1], checkpoint, positions, side)
    save_figure(figure, path)


def embedded(checkpoint: Checkpoint) -> Floats:
    """[n, D]: the calibration samples in the space of the neurons (none: an empty array)."""
    if checkpoint.calibration is None:
        return np.zeros((0, checkpoint.config.dim))
    x = np.asarray(checkpoint.calibration, dtype=np.float64)
    if not checkpoint.config.projection:
        return x
    weight, bias = (checkpoint.tensors[f"projection.{k}"] for k in ("weight", "bias"))
    projected: Floats = x @ weight.T.astype(np.float64) + bias
    return projected


def image_side(checkpoint: Checkpoint) -> int:
    """Side of the square image that a position is, or 0 when it is none."""
    side = math.isqrt(checkpoint.config.dim)
    image = not checkpoint.config.projection and side >= 4 and side * side == checkpoint.config.dim
    return side if image else 0


def principal_plane(points: Floats) -> tuple[Floats, Floats, Floats]:
    """(mean [D], axes [2, D], share of variance [2]) of the two widest directions of ``points``."""
    mean = points.mean(axis=0)
    _, spread, axes = np.linalg.svd(points - mean, full_matrices=False)
    axes = np.vstack([axes, np.zeros((2, points.shape[1]))])[:2]
    variance = np.append(spread**2, (0.0, 0.0))
    return mean, axes, variance[:2] / max(float(variance.sum()), 1e-30)


def influence(checkpoint: Checkpoint) -> Floats:
    """[N]: how far a neuron's values reach, 0..1, the strongest being 1."""
    norm = np.linalg.norm(checkpoint.tensors["field.values"].astype(np.float64), axis=1)
    scaled: Floats = norm / max(float(norm.max(initial=0.0)), 1e-30)
    return scaled


def _scatter(part: Any, checkpoint: Checkpoint, positions: Floats, samples: Floats) -> None:
    mean, axes, share = principal_plane(samples if len(samples) > 2 else positions)
    plot = part.subplots()
    if len(samples):
        flat = (samples - mean) @ axes.T
        plot.scatter(*flat.T, s=9, c=DATA, linewidths=0, label=f"{len(samples)} training samples")
    flat, frozen, reach = (positions - mean) @ axes.T, checkpoint.frozen, influence(checkpoint)
    for mask, colour, marker, name in (
        (frozen, FROZEN, "s", "frozen: constants of the program"),
        (~frozen, ACTIVE, "o", "active: rewritable after deployment"),
    ):
        style = {"c": colour, "marker": marker, "edgecolors": "white", "linewidths": 0.8}
        label = f"{int(mask.sum())} {name}"
        plot.scatter(*flat[mask].T, s=30 + 90 * reach[mask], label=label, **style)
    plot.set_xlabel(f"first principal axis of the data ({share[0]:.0%} of the variance)")
    plot.set_ylabel(f"second ({share[1]:.0%})")
    plot.set_title(_title(checkpoint), loc="left", color=INK, fontsize=12)
    plot.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=1, frameon=False, fontsize=9)
    plot.spines[["top", "right"]].set_visible(False)
    part.subplots_adjust(left=0.11, right=0.97, top=0.93, bottom=0.24)


def _title(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    kernel = " ".join(filter(None, (config.kernel, config.activation, config.metric)))
    return f"{config.neurons} neurons in {config.dim} dimensions, {kernel}"


def _sheet(part: Any, checkpoint: Checkpoint, positions: Floats, side: int) -> None:
    frozen = checkpoint.frozen
    order = np.lexsort((-influence(checkpoint), ~frozen))
    shown = order[:: max(1, math.ceil(len(order) / MOST_TILES))]
    columns = math.ceil(math.sqrt(len(shown)))
    grid = part.subplots(math.ceil(len(shown) / columns), columns, squeeze=False).flatten()
    low, high = (float(np.quantile(positions, q)) for q in (0.01, 0.99))
    for tile in grid:
        tile.set_axis_off()
    for tile, neuron in zip(grid, shown, strict=False):
        tile.set_axis_on()
        tile.set(xticks=[], yticks=[])
        image = positions[neuron].reshape(side, side)
        tile.imshow(image, cmap="gray_r", vmin=low, vmax=max(high, low + 1e-9))
        for spine in tile.spines.values():
            spine.set(color=FROZEN if frozen[neuron] else ACTIVE, linewidth=2.2)
    part.suptitle(
        "Positions as images: blue frame frozen, orange frame active",
        x=0.03,
        y=0.975,
        ha="left",
        color=INK,
        fontsize=12,
    )
    part.subplots_adjust(left=0.03, right=0.97, top=0.92, bottom=0.03, wspace=0.12, hspace=0.12)
