"""How much faster a field trains when its frozen neurons' sum is cached per sample: measured.

    python -m benchmarks.freezing [--quick]

One training step (forward, backward, Adam) of a field that stands directly on the data, on one
thread. The variants take turns in one process and medians of CPU time are compared (with one
thread that is wall time less the time that other programs took). Beside the cache: the naive step
that computes every gradient and then sets those of the frozen rows to zero, and 1 / (1 - frozen),
which is arithmetic and no measurement. Ratios above it come from the smaller step fitting the CPU's
caches.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from crystalc.nn import FieldShape
from crystalc.training import optimizer
from crystalc.training.centred import Rows
from crystalc.training.growth import kernel_scale
from crystalc.training.split import SplitField

RESULTS = Path(__file__).parent / "results" / "freezing.json"
SHARES = (0.72, 0.90, 0.984)


@dataclass(frozen=True)
class Case:
    """One field: ``neurons`` in ``dim`` dimensions, ``batch`` samples a step, 10 classes."""

    neurons: int
    dim: int
    batch: int = 1024
    kernel: Any = "radial"
    activation: Any = "gelu"


CASES = (
    Case(1024, 64),
    Case(1024, 196),
    Case(1024, 64, kernel="gauss", activation=None),
    Case(1024, 64, 128),  # from here on a step is short and PyTorch's own overhead shows
    Case(128, 196, 128),  # the size of the MNIST recipe
    Case(64, 64, 64),  # and of the digits recipe
)
Step = Callable[[], None]


def neurons(case: Case, data: Tensor) -> Rows:
    """Neurons on data points, as training makes them."""
    shape = shape_of(case)
    positions = data[torch.arange(case.neurons) % len(data)].clone()
    values = torch.randn(case.neurons, shape.outputs) * 0.1
    return {"positions": positions, "values": values, **kernel_scale(shape, positions, data)}


def shape_of(case: Case) -> FieldShape:
    """Ten classes, unnormalised."""
    return FieldShape(case.dim, 10, "l2", case.kernel, case.activation)


def steps(case: Case, frozen: float) -> dict[str, Step]:
    """The variants of one training step, each on its own copy of the same field."""
    torch.manual_seed(0)
    x, y = torch.rand(case.batch, case.dim), torch.randint(10, (case.batch,))
    rows, settled = neurons(case, x), torch.arange(case.neurons) < round(frozen * case.neurons)

    def step(freeze: bool, mask_gradients: bool, cached: bool) -> Step:
        field = SplitField(shape_of(case), rows, x.mean(dim=0)).train()
        if freeze:
            field.settle(settled)
        adam = optimizer.adam(field)
        adam.param_groups[0]["lr"] = 1e-4
        cache = field.settled_output(x) if cached else None

        def run() -> None:
            loss = F.cross_entropy(field(x, cache), y)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if mask_gradients:
                for parameter in field.active.parameters():
                    parameter.grad[settled] = 0.0  # type: ignore[index]
            adam.step()

        return run

    return {
        "all train": step(False, False, False),
        "naive": step(False, True, False),
        "split": step(True, False, False),
        "cached": step(True, False, True),
    }


def medians(variants: dict[str, Step], rounds: int) -> dict[str, float]:
    """Median seconds of each variant; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 3):
        for name, step in variants.items():
            start = process_time()
            step()
            if turn >= 3:  # the first turns warm the caches and the allocator
                times[name].append(process_time() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def measure(case: Case, frozen: float, rounds: int) -> dict[str, Any]:
    """Speed-ups over the step in which every neuron trains."""
    seconds = medians(steps(case, frozen), rounds)
    base = seconds["all train"]
    return {
        "neurons": case.neurons,
        "dim": case.dim,
        "batch": case.batch,
        "kernel": " ".join(filter(None, (case.kernel, case.activation))),
        "frozen": round(frozen * case.neurons) / case.neurons,
        "step_ms": round(1e3 * base, 3),
        "formula": round(1 / (1 - round(frozen * case.neurons) / case.neurons), 2),
        **{name: round(base / seconds[name], 2) for name in ("naive", "split", "cached")},
    }


def show(rows: list[dict[str, Any]]) -> None:
    """The table on stdout."""
    table = Table(title="speed-up of one training step of a field on the data, measured")
    for name in rows[0]:
        table.add_column({"formula": "1/(1-f)", "step_ms": "step ms"}.get(name, name))
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=110).print(table)


def main() -> None:
    """Measure, print, and keep the numbers (not those of --quick)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="few rounds, first case only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases, rounds = (CASES[:1], 5) if options.quick else (CASES, 41)
    rows = [measure(case, share, rounds) for case in cases for share in SHARES]
    show(rows)
    if not options.quick:
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        RESULTS.parent.mkdir(exist_ok=True)
        result = {"versions": versions, "threads": 1, "rounds": rounds, "rows": rows}
        RESULTS.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
