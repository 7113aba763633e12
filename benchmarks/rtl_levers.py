"""What only a crystal can do for area, over seeds: grid points, clamps as kernels, few bits.

python -m benchmarks.rtl_levers [--seeds 5]

For each seed, on the split of ``benchmarks.rtl``: test accuracy of the plain integer network (32
points anywhere, a table per neuron) and of the other one, in integers both, and the bits where
the operands of adders overlap, which is what Yosys makes look-up tables of.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.rtl_networks import Digits, accuracy, crystal, digits
from crystalc.files import write_atomic
from crystalc.frontend.lower import lower as lower_checkpoint
from crystalc.ir import Graph
from crystalc.passes.fold import Fold
from crystalc.passes.prune import Prune
from crystalc.passes.quantize import Quantize
from crystalc.pipeline import run_passes, shaping_passes
from crystalc.training.dataset import Dataset, Part, split_off
from crystalc.training.grid import on_grid
from crystalc.training.loop import fit
from crystalc.training.recipes import recipe_for
from crystalc.training.report import calibration_samples
from crystalc_verilog.adder_bits import adder_tables
from crystalc_verilog.lower import lower
from crystalc_verilog.schedule import live_cells

RESULT = Path(__file__).parent / "results" / "rtl_levers.json"
GRID, WIDTHS = 0.5, (5, 4)


def dataset(data: Digits, seed: int) -> Dataset:
    """The training samples with 15 % of them for validation, the test samples as they are."""
    whole = Part((data.x / 16).astype(np.float32), data.y.astype(np.int64))
    train, validation = split_off(whole, 0.15, seed)
    test = Part((data.test_x / 16).astype(np.float32), data.test_y.astype(np.int64))
    return Dataset("digits", 10, train, validation, test, "")


def levers(data: Digits, seed: int, widths: tuple[int, ...] = WIDTHS) -> list[Graph]:
    """32 points on the grid, relu kernel, integers of so many bits."""
    options = {"neurons": 32, "activation": "relu", "frozen": 1.0, "seed": seed, "grid": GRID}
    recipe = recipe_for("digits").with_options(options)
    samples = dataset(data, seed)
    result = on_grid(recipe, samples, fit(recipe, samples))
    checkpoint = result.model.to_checkpoint(calibration_samples(samples, seed))
    meant = lower_checkpoint(checkpoint)
    return [
        run_passes(meant, (Fold(), Prune(), Quantize(w, samples.train.x, power_of_two=True)))
        for w in widths
    ]


def area(graph: Graph) -> int:
    """Bits where both operands of an adder have one, in the whole design."""
    lowered = lower(run_passes(graph, shaping_passes("fixed", "f32")))
    return adder_tables(lowered.circuit, live_cells(lowered))


def row(data: Digits, seed: int) -> dict[str, Any]:
    """All networks of one seed."""
    plain = crystal(data, seed=seed)
    out = {"seed": seed, "plain": [accuracy(plain, data), area(plain)]}
    for width, graph in zip(WIDTHS, levers(data, seed), strict=True):
        out[f"{width} bits"] = [accuracy(graph, data), area(graph)]
    return out


def main() -> None:
    """Parse the command line, train, print and write the JSON after each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    data, rows = digits(), []
    names = ["plain", *(f"{w} bits" for w in WIDTHS)]
    for seed in range(a.seeds):
        rows.append(row(data, seed))
        mean = {name: np.mean([r[name] for r in rows], axis=0).tolist() for name in names}
        a.output.parent.mkdir(exist_ok=True)
        text = json.dumps({"grid": GRID, "rows": rows, "mean": mean}, indent=1)
        write_atomic(a.output, text + "\n")
    table = Table("network", "accuracy", "standard deviation", "adder bits")
    for name in names:
        found = np.array([r[name] for r in rows])
        mean_accuracy, spread = found[:, 0].mean(), found[:, 0].std()
        table.add_row(name, f"{mean_accuracy:.2%}", f"{spread:.2%}", f"{found[:, 1].mean():,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
