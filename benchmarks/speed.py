"""Inference time of one classifier, side by side: ``python -m benchmarks.speed``.

One core, one thread, all contenders interleaved in one process, median of the rounds. Time is
thread CPU time: inside C for the C rows, around the Python call for PyTorch and ONNX Runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import (
    Library,
    OnnxRuntime,
    crystal_library,
    eager,
    eager_seconds,
    naive_library,
)
from benchmarks.random_models import Shape, pixels, random_checkpoint
from crystalc.checkpoint import Checkpoint, Kernel
from crystalc.frontend import read_checkpoint

Array = NDArray[Any]
BATCH = 1536
VARIETY = 16
"""Different vectors that the batch-1 timers take in turn."""

FORMS = ("cdist", "product", "module")
CASES = ("b1", "b1 dense", "batch", "batch dense")
RUNTIME = "ONNX Runtime (Python API)"
RESULT = Path(__file__).parent / "results" / "speed.json"


@dataclass(frozen=True)
class Row:
    """One contender: a timer per case (seconds per inference) and its outputs on the digits."""

    name: str
    timers: dict[str, Callable[[], float]]
    outputs: Array
    times: dict[str, list[float]]

    def measure(self) -> None:
        """One round of every case."""
        for case, timer in self.timers.items():
            self.times.setdefault(case, []).append(timer())


def rows_for(checkpoint: Checkpoint, place: Path, calls: int) -> list[Row]:
    """Every contender for one model. ``calls`` scales how long each is timed."""
    inputs = checkpoint.config.inputs
    x = np.ascontiguousarray(np.resize(pixels(512, inputs), (BATCH, inputs)))
    dense = np.random.default_rng(1).uniform(0.01, 1, x.shape).astype(np.float32)
    rows = [_eager_row(checkpoint, form, x, dense, calls) for form in FORMS]
    rows.append(_runtime_row(OnnxRuntime(checkpoint), x, dense, calls))
    for name, flags in (("naive C -O3", ()), ("naive C -O3 -ffast-math", ("-ffast-math",))):
        library = naive_library(checkpoint, place / name, (x, dense), *flags)
        rows.append(_library_row(name, library, calls))
    fixed: dict[str, Any] = {"arithmetic": "fixed", "width": 8}
    for name, options in (("f32", {}), ("int8 weights", {"weights": "q8"}), ("int8", fixed)):
        for compiler in ("gcc", "clang"):
            title = f"crystalc C {name}, {compiler}"
            library = crystal_library(checkpoint, place / title, (x, dense), compiler, **options)
            rows.append(_library_row(title, library, 10 * calls))
    return rows


def _eager_row(checkpoint: Checkpoint, form: str, x: Array, dense: Array, calls: int) -> Row:
    model = eager(checkpoint, form)
    digits, noise = torch.from_numpy(x), torch.from_numpy(dense)
    with torch.inference_mode():
        outputs = model(digits).numpy()
    timers = {
        "b1": lambda: eager_seconds(model, digits[:1], calls),
        "b1 dense": lambda: eager_seconds(model, noise[:1], calls),
        "batch": lambda: eager_seconds(model, digits, 2),
        "batch dense": lambda: eager_seconds(model, noise, 2),
    }
    return Row(f"PyTorch eager, {form}", timers, outputs, {})


def _runtime_row(runtime: OnnxRuntime, x: Array, dense: Array, calls: int) -> Row:
    timers = {
        "b1": lambda: runtime.seconds(x[:1], 5 * calls),
        "b1 dense": lambda: runtime.seconds(dense[:1], 5 * calls),
        "batch": lambda: runtime.seconds(x, 2),
        "batch dense": lambda: runtime.seconds(dense, 2),
    }
    return Row(RUNTIME, timers, runtime(x), {})


def _library_row(name: str, library: Library, calls: int) -> Row:
    timers = {
        "b1": lambda: library.seconds("time_one", 0, calls, VARIETY),
        "b1 dense": lambda: library.seconds("time_one", 1, calls, VARIETY),
    }
    if "time_batch" in library.calls:
        timers["batch"] = lambda: library.seconds("time_batch", 0, 2, BATCH)
        timers["batch dense"] = lambda: library.seconds("time_batch", 1, 2, BATCH)
    return Row(name, timers, library.outputs(), {})


def dispatch_seconds(kernel: Kernel, calls: int) -> float:
    """Eager time of the same operators on a net of almost no arithmetic: what dispatch costs."""
    tiny = random_checkpoint(kernel, Shape(1, 1, 1, 1))
    x = torch.zeros(1, 1)
    forms = [eager(tiny, form) for form in FORMS]
    return min(statistics.median(eager_seconds(m, x, calls) for _ in range(5)) for m in forms)


def run(checkpoint: Checkpoint, rounds: int, calls: int) -> dict[str, Any]:
    """All rows of one model, interleaved ``rounds`` times; microseconds and ratios."""
    with tempfile.TemporaryDirectory() as place:
        rows = rows_for(checkpoint, Path(place), calls)
        for row in rows:
            row.measure()
            row.times.clear()
        for _ in range(rounds):
            for row in rows:
                row.measure()
        dispatch = dispatch_seconds(checkpoint.config.kernel, calls)
    return _result(checkpoint, rows, dispatch)


def _result(checkpoint: Checkpoint, rows: list[Row], dispatch: float) -> dict[str, Any]:
    us = {r.name: {k: statistics.median(v) * 1e6 for k, v in r.times.items()} for r in rows}
    eager_names = [f"PyTorch eager, {form}" for form in FORMS]
    fastest = {case: min(us[e][case] for e in eager_names) for case in CASES}
    reference = rows[0].outputs.argmax(1)
    c = checkpoint.config
    return {
        "model": f"{c.inputs}-{c.dim}-{c.neurons}-{c.outputs}",
        "kernel": c.kernel if c.activation is None else f"{c.kernel} {c.activation}",
        "source": checkpoint.source or "random weights",
        "active_neurons": int((~checkpoint.frozen).sum()),
        "nonzero_inputs": float((pixels(512, c.inputs) != 0).mean()),
        "eager_dispatch_us": dispatch * 1e6,
        "eager_dispatch_share": dispatch * 1e6 / fastest["b1"],
        "rows": [
            {
                "contender": r.name,
                "us": us[r.name],
                "vs_eager": {k: fastest[k] / v for k, v in us[r.name].items()},
                "vs_onnxruntime": {k: us[RUNTIME][k] / v for k, v in us[r.name].items()},
                "decisions_equal": float((r.outputs.argmax(1) == reference).mean()),
            }
            for r in rows
        ],
    }


def show(result: dict[str, Any], console: Console) -> None:
    """One model as a table."""
    name = f"{result['model']} {result['kernel']}, {result['active_neurons']} active neurons"
    title = f"{name}: microseconds per inference (x faster eager, x ORT)"
    table = Table(title=title)
    for name in ("contender", *CASES, "same"):
        table.add_column(name, justify="left" if name == "contender" else "right")
    for r in result["rows"]:
        cells = [_cell(r, case) for case in CASES]
        table.add_row(r["contender"], *cells, f"{100 * r['decisions_equal']:.1f} %")
    console.print(table)
    console.print(
        f"b1, batch ({BATCH}): digits, {100 * result['nonzero_inputs']:.0f} % of the inputs are "
        f"not zero; dense: none is zero. same: decisions equal to eager's.\n"
        f"dispatch alone (the same operators on single numbers): {result['eager_dispatch_us']:.1f}"
        f" us, {100 * result['eager_dispatch_share']:.0f} % of eager's b1.\n"
    )


def _cell(row: dict[str, Any], case: str) -> str:
    if case not in row["us"]:
        return ""
    us = row["us"][case]
    number = f"{us:.3f}" if us < 10 else f"{us:.1f}"
    return f"{number} ({row['vs_eager'][case]:.1f}, {row['vs_onnxruntime'][case]:.1f})"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    return {"cpu": model, "torch": torch.__version__, "numpy": np.__version__}


def _read(path: Path, freeze: bool) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    if not freeze:
        return checkpoint
    tensors = {**checkpoint.tensors, "field.frozen": np.ones_like(checkpoint.frozen)}
    return replace(checkpoint, tensors=tensors)


def main() -> None:
    """Parse the command line, run, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, action="append", default=[], help="a .pt with projection"
    )
    parser.add_argument("--freeze", action="store_true", help="take its active neurons as frozen")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--calls", type=int, default=300, help="calls of the slow contenders a round"
    )
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    kernels: tuple[Kernel, ...] = ("radial", "laplace")
    models = [_read(p, a.freeze) for p in a.model] or [
        random_checkpoint(k, Shape()) for k in kernels
    ]
    results = [run(m, a.rounds, a.calls) for m in models]
    console = Console(width=130)
    for result in results:
        show(result, console)
    a.output.parent.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "rounds": a.rounds, "models": results}, indent=1)
    a.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
