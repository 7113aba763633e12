"""Crystals trained for parts that vary, against the same crystals before: Monte Carlo of both.

python -m benchmarks.analog_noise [--seeds 3] [--kernels laplace,gauss,radial]

Digits, 32 neurons. Each row trains one crystal, fine-tunes it for a spread of parts, compiles both
as E96 crossbars and draws the same number of circuits of each with the functions that ``crystalc
montecarlo`` runs, on the test samples of its split; ngspice repeats the first draw.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from crystalc import driver
from crystalc.files import write_atomic
from crystalc.training.analog import for_parts
from crystalc.training.data import load
from crystalc.training.dataset import Dataset
from crystalc.training.loop import Result, fit
from crystalc.training.recipe import Recipe
from crystalc.training.recipes import recipe_for
from crystalc.training.report import calibration_samples
from crystalc_spice.build import read_build
from crystalc_spice.equations import NOMINAL
from crystalc_spice.montecarlo import Spread, tolerances

RESULT = Path(__file__).parent / "results" / "analog_noise.json"
SPREADS = ((0.01, 0.001, 0.02), (0.03, 0.003, 0.06))
"""Resistors, offsets in volts, temperatures."""

NEURONS, TRIALS = 32, 200
FIGURES = ("agreement mean", "agreement p5", "accuracy mean", "accuracy p5")


def recipe(kernel: Any, seed: int, spread: tuple[float, float, float]) -> Recipe:
    """Of one row."""
    names = ("analog_r", "analog_vos", "analog_t")
    options = {"neurons": NEURONS, "seed": seed, **dict(zip(names, spread, strict=True))}
    return recipe_for("digits", kernel).with_options(options)


def circuits(result: Result, data: Dataset, chosen: Recipe) -> dict[str, float]:
    """What TRIALS circuits of a crystal decide."""
    checkpoint = result.model.to_checkpoint(calibration_samples(data, chosen.seed))
    options = driver.Options("spice", backend={"level": "crossbar"})
    compiled = driver.compile_checkpoint(checkpoint, options)
    with tempfile.TemporaryDirectory() as place:
        driver.write(compiled, Path(place))
        found = tolerances(
            read_build(Path(place)),
            data.test.x.astype(np.float64),
            data.test.y,
            Spread(*chosen.analog),
            TRIALS,
            repeated=1,
        )
    if not found.ok:
        raise SystemExit(f"NumPy and ngspice differ by {found.difference:.1e} of the range")
    drawn = {"agreement": found.agreement[NOMINAL], "accuracy": found.accuracy[NOMINAL]}
    p5 = {f"{name} p5": float(np.quantile(v, 0.05)) for name, v in drawn.items()}
    return {**{f"{name} mean": float(v.mean()) for name, v in drawn.items()}, **p5}


def rows(kernel: str, seed: int) -> list[dict[str, Any]]:
    """One crystal for every spread, before and after."""
    data = load("digits", seed=seed)
    plain = fit(recipe(kernel, seed, (0.0, 0.0, 0.0)), data)
    made = []
    for spread in SPREADS:
        chosen = recipe(kernel, seed, spread)
        aware = for_parts(chosen, data, plain)
        before, after = (circuits(r, data, chosen) for r in (plain, aware))
        made.append(
            {"kernel": kernel, "seed": seed, "spread": spread, "before": before, "after": after}
        )
    return made


def means(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Over seeds, by kernel and spread."""
    keys = dict.fromkeys((r["kernel"], tuple(r["spread"])) for r in found)
    out = []
    for kernel, spread in keys:
        some = [r for r in found if (r["kernel"], tuple(r["spread"])) == (kernel, spread)]
        figures = {
            when: {f: float(np.mean([r[when][f] for r in some])) for f in FIGURES}
            for when in ("before", "after")
        }
        out.append({"kernel": kernel, "spread": spread, "seeds": len(some), **figures})
    return out


def main() -> None:
    """Parse the command line, train, print; the JSON is written after each crystal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kernels", default="laplace,gauss,radial")
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for kernel in a.kernels.split(","):
        for seed in range(a.seeds):
            found += rows(kernel, seed)
            a.output.parent.mkdir(exist_ok=True)
            facts = {"neurons": NEURONS, "trials": TRIALS, "rows": found, "mean": means(found)}
            write_atomic(a.output, json.dumps(facts, indent=1) + "\n")
    table = Table("kernel", "R, Vos, T", "seeds", "", *FIGURES)
    for row in means(found):
        r, vos, t = row["spread"]
        for when in ("before", "after"):
            cells = (f"{row[when][f]:.3f}" for f in FIGURES)
            spread = f"{r:.0%}, {vos * 1e3:g} mV, {t:.0%}"
            table.add_row(row["kernel"], spread, str(row["seeds"]), when, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
