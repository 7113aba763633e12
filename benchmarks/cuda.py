"""Everything on a GPU, built, checked and timed: ``python -m benchmarks.cuda``, or make cuda-bench.

Each classifier is compiled with its check against the oracle, on the CPU's shim and on the GPU;
then its .cu is timed by CUDA events, with data resident in device memory and, apart, fed over the
bus. The device's memory bandwidth is measured by a copy kernel on as many bytes. PyTorch runs the
same work: eager, as a CUDA graph, compiled. Without a GPU nothing is timed and nothing is written.
``--dry-run`` goes the same way on the CPU's shim with a few samples, to test this file.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda_events import ROUNDS, seconds
from benchmarks.random_models import Shape, random_checkpoint
from crystalc import driver
from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_TOOL_FAILED, ToolError
from crystalc.render import template_root
from crystalc_c.build import run
from crystalc_cuda import nvcc
from crystalc_cuda.build import compile_shim

RESULT = Path(__file__).parent / "results" / "cuda.json"
DRIVER = Path(__file__).with_name("cuda_driver.cu")
RESIDENT = 1 << 30
"""Bytes of input, so that no cache holds them."""


@dataclass(frozen=True)
class Case:
    """A classifier and the form of its data."""

    name: str
    shape: Shape
    options: Mapping[str, Any]
    bytes_in: int


BIG, SMALL = Shape(784, 64, 128, 10), Shape(64, 16, 32, 10)
FIXED = {"arithmetic": "fixed", "argmax": True}
CASES = (
    Case("784-64-128-10 f32", BIG, {}, 4 * 784),
    Case("784-64-128-10 u8, argmax", BIG, FIXED, 784),
    Case("64-16-32-10 f32", SMALL, {}, 4 * 64),
    Case("64-16-32-10 u8, argmax", SMALL, FIXED, 64),
)


def measured(case: Case, dry: bool) -> dict[str, Any]:
    """One row. Raises ToolError; SystemExit where the check fails."""
    checkpoint = random_checkpoint("radial", case.shape)
    options = driver.Options("cuda", count=96 if dry else 1000, **case.options)
    compiled = driver.compile_checkpoint(checkpoint, options)
    with tempfile.TemporaryDirectory(prefix="crystalc-") as folder:
        place = Path(folder)
        driver.write(compiled, place)
        comparison = driver.verify_build(compiled, place, driver.check_vectors(compiled))
        if not comparison.ok:
            print(f"error: {case.name}: {comparison.reason}", file=sys.stderr)
            sys.exit(EXIT_CHECK_FAILED)
        program = timer(place, dry)
        samples, rounds = (512, 1) if dry else (RESIDENT // case.bytes_in, ROUNDS)
        found = json.loads(run([str(program), str(samples), str(rounds)], place))
    row = {"name": case.name, "vectors_checked": comparison.vectors, **found}
    row["inferences_per_second"] = found["samples"] * 1e3 / found["resident_ms"]
    row["share_of_copy_bandwidth"] = found["bytes_per_second"] / found["copy_bytes_per_second"]
    if found["fed_ms"]:
        row["fed_inferences_per_second"] = found["fed_samples"] * 1e3 / found["fed_ms"]
    row["pytorch"] = torch_rows(checkpoint, case, samples)
    fastest = max(row["pytorch"].values(), default=0.0)
    row["over_pytorch"] = row["inferences_per_second"] / fastest if fastest else None
    return row


def timer(place: Path, dry: bool) -> Path:
    """The driver linked with the network in ``place``. Raises ToolError."""
    platform = template_root() / "cuda" / "platform.h"
    (place / "platform.h").write_text(platform.read_text(encoding="utf-8"))
    (place / "driver.cu").write_text(DRIVER.read_text(encoding="utf-8"))
    (place / "all.cu").write_text('#include "crystal.cu"\n#include "driver.cu"\n')
    if dry:
        compile_shim(place, ["all.cu"], place / "timer")
    else:
        nvcc.build_program(place, ["all.cu"], place / "timer")
    return place / "timer"


def torch_rows(checkpoint: Checkpoint, case: Case, samples: int) -> dict[str, float]:
    """Inferences a second of PyTorch in f32 on as many samples as fit well; {} without CUDA."""
    if not torch.cuda.is_available():
        return {}
    from benchmarks.contenders import eager  # which needs the extra "bench"

    count = min(samples, 1 << 18)
    x = torch.rand(count, case.shape.inputs, device="cuda")
    rows = {}
    for form in ("cdist", "product"):
        model = eager(checkpoint, form).cuda().eval()
        ways = {
            f"eager, {form}": lambda m=model: m(x),
            f"CUDA graph, {form}": graph_of(model, x),
            f"torch.compile, {form}": compiled_call(model, x),
        }
        for name, call in ways.items():
            rows[name] = count / seconds(call)
    return rows


def graph_of(model: torch.nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """A replay of the captured forward pass."""
    with torch.inference_mode():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                model(x)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(x)
    return graph.replay


def compiled_call(model: torch.nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """torch.compile with CUDA graphs of its own."""
    made = torch.compile(model, mode="reduce-overhead")
    return lambda: made(x)


def language_rows(dry: bool) -> list[dict[str, Any]]:
    """What benchmarks/cuda_language.py measures, where it is."""
    try:
        module = importlib.import_module("benchmarks.cuda_language")
    except ModuleNotFoundError:
        return []
    rows: list[dict[str, Any]] = module.rows(dry)
    return rows


def main() -> int:
    """Exit codes of the compiler: 3 without a GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dry-run", action="store_true", help="on the CPU's shim; times nothing")
    dry = parser.parse_args().dry_run
    if not dry and not (nvcc.gpu() and nvcc.compiler().startswith("nvcc")):
        print("error: no NVIDIA GPU with nvcc on this machine: nothing was timed", file=sys.stderr)
        return EXIT_TOOL_FAILED
    try:
        rows = [measured(case, dry) for case in CASES]
        language = language_rows(dry)
    except ToolError as error:
        print(error, file=sys.stderr)
        return EXIT_TOOL_FAILED
    for row in rows:
        said = "ran" if dry else f"{row['inferences_per_second'] / 1e9:.2f} G inferences/s"
        print(f"{row['name']:28} {said}")
    if dry:
        print("dry run on the CPU: every step works, nothing was timed")
        return 0
    device, _, version = nvcc.gpu().partition(", ")
    head = {"device": device, "driver": version, "compiler": nvcc.compiler(), "rounds": ROUNDS}
    head["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    head["torch"] = torch.__version__
    content = {**head, "classifiers": rows, "language_models": language}
    RESULT.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {RESULT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
