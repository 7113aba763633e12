"""What only a crystal can do for area, over seeds: grid, clamps as kernels, few bits and points.

python -m benchmarks.rtl_levers [--seeds 5]

For each seed, on the split of ``benchmarks.rtl``: test accuracy of the plain integer network
(points anywhere, a table per neuron) and of the others, in integers all, and the bits where the
operands of adders overlap, which is what Yosys makes look-up tables of. The plain network is given
with as few points as the last of the others, too: what it loses by that is seen.
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
GRID = 0.5
PLAIN = (32, 24)
SMALL = ((32, 5), (32, 4), (24, 4))
"""Points and bits of the other networks."""


def dataset(data: Digits, seed: int) -> Dataset:
    """The training samples with 15 % of them for validation, the test samples as they are."""
    whole = Part((data.x / 16).astype(np.float32), data.y.astype(np.int64))
    train, validation = split_off(whole, 0.15, seed)
    test = Part((data.test_x / 16).astype(np.float32), data.test_y.astype(np.int64))
    return Dataset("digits", 10, train, validation, test, "")


def levers(data: Digits, seed: int, neurons: int, width: int) -> Graph:
    """So many points on the grid, relu kernel, integers of so many bits."""
    options = {"neurons": neurons, "activation": "relu", "frozen": 1.0, "seed": seed, "grid": GRID}
    recipe = recipe_for("digits").with_options(options)
    samples = dataset(data, seed)
    result = on_grid(recipe, samples, fit(recipe, samples))
    checkpoint = result.model.to_checkpoint(calibration_samples(samples, seed))
    quantize = Quantize(width, samples.train.x, power_of_two=True)
    return run_passes(lower_checkpoint(checkpoint), (Fold(), Prune(), quantize))


def area(graph: Graph) -> int:
    """Bits where both operands of an adder have one, in the whole design."""
    lowered = lower(run_passes(graph, shaping_passes("fixed", "f32")))
    return adder_tables(lowered.circuit, live_cells(lowered))


def row(data: Digits, seed: int) -> dict[str, Any]:
    """Accuracy and adder bits of all networks of one seed."""
    graphs = {f"plain, {n} points": crystal(data, n, seed) for n in PLAIN}
    graphs |= {f"{n} points, {w} bits": levers(data, seed, n, w) for n, w in SMALL}
    return {"seed": seed} | {name: [accuracy(g, data), area(g)] for name, g in graphs.items()}


def main() -> None:
    """Parse the command line, train, print and write the JSON after each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    data, rows = digits(), []
    for seed in range(a.seeds):
        rows.append(row(data, seed))
        names = list(rows[0])[1:]
        mean = {name: np.mean([r[name] for r in rows], axis=0).tolist() for name in names}
        a.output.parent.mkdir(exist_ok=True)
        text = json.dumps({"grid": GRID, "rows": rows, "mean": mean}, indent=1)
        write_atomic(a.output, text + "\n")
    table = Table("network", "accuracy", "standard deviation", "adder bits", "of plain")
    for name in names:
        found = np.array([r[name] for r in rows])
        bits = found[:, 1].mean()
        plain = np.mean([r[names[0]][1] for r in rows])
        table.add_row(
            name,
            f"{found[:, 0].mean():.2%}",
            f"{found[:, 0].std():.2%}",
            f"{bits:,.0f}",
            f"1 / {plain / bits:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
