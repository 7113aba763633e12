"""Everything on a GPU, built, checked and timed: ``python -m benchmarks.cuda``, or make cuda-bench.

Each classifier is compiled with its check against the oracle, on the CPU's shim and on the GPU;
then its .cu is timed by CUDA events, with data resident in device memory and, apart, fed over the
bus. The device's memory bandwidth is measured by a copy of as many bytes in the same process.
PyTorch runs the same work: eager, as a CUDA graph, compiled. Every step is a process with a time
limit, and results are written after each: one that fails is a row ``not_run`` with the reason.

Without a GPU nothing is timed and nothing is written. ``--dry-run`` goes the same way on the CPU's
shim with a few samples, to test all of this; nvcc, where it is, compiles what a GPU would run. On a
machine without an installed crystalc: PYTHONPATH=backends python3 -m benchmarks.cuda --output FILE.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda_classifiers import CASES
from benchmarks.cuda_events import ROUNDS
from benchmarks.cuda_language import MANY, PLANS
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_TOOL_FAILED
from crystalc.files import write_atomic
from crystalc_cuda import nvcc

RESULT = Path(__file__).parent / "results" / "cuda.json"
MINUTES = 8.0


@dataclass(frozen=True)
class Step:
    """``kind`` of cuda_step.KINDS, whose rows go to ``part`` of the result; seconds it may take."""

    part: str
    kind: str
    name: str
    limit: float


STEPS = (
    *(Step("classifiers", "classifier", name, 100) for name in CASES),
    Step("language_models", "language library", "", 150),
    *(Step("language_models", "one sequence", name, 40) for name in PLANS),
    *(Step("language_models", "many sequences", name, 40) for name in MANY),
    *(Step("peers", "peer", name, 60) for name in CASES),
    Step("peers", "peer language", "", 90),
    *(Step("peers", "peer compiled", name, 100) for name in CASES),
)
"""Ours first: what the time runs out for is a peer."""


def taken(step: Step, folder: Path, dry: bool, left: float) -> Iterator[dict[str, Any]]:
    """The rows of a step, and one more where it did not come to its end."""
    place = folder / (step.part if "language" in step.part else step.name.replace(" ", "-"))
    place.mkdir(parents=True, exist_ok=True)
    rows, said = folder / "rows", folder / "said"
    rows.write_text("")
    words = [step.kind, step.name, str(place), str(rows), *(["--dry-run"] if dry else [])]
    lost = ended(
        [sys.executable, "-m", "benchmarks.cuda_step", *words], said, min(step.limit, left)
    )
    yield from (json.loads(line) for line in rows.read_text().splitlines())
    if lost:
        yield {"name": f"{step.kind} {step.name}".strip(), "not_run": lost}


def ended(command: Sequence[str], said: Path, limit: float) -> str:
    """Nothing, or why the command did not end well within ``limit`` seconds."""
    if limit <= 0:
        return "no time was left"
    with said.open("w") as file:
        try:
            done = subprocess.run(command, stderr=file, stdout=file, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return f"it took more than {limit:.0f} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip()]
    return f"code {done.returncode}: {lines[-1] if lines else 'it said nothing'}"


def line(row: Mapping[str, Any], dry: bool) -> str:
    """A row for the screen."""
    what = ", ".join(str(row[k]) for k in ("name", "plan", "peer") if k in row)
    if "not_run" in row:
        return f"{what:60} not run: {row['not_run']}"
    if dry:
        return f"{what:60} ran"
    for key, unit, scale in (
        ("us_per_token", "us/token", 1.0),
        ("tokens_per_second", "M tokens/s", 1e6),
        ("inferences_per_second", "G inferences/s", 1e9),
    ):
        if key in row:
            share = row.get("share_of_copy_bandwidth")
            more = f", {100 * share:.0f} % of the copy's bandwidth" if share else ""
            return f"{what:60} {row[key] / scale:.4g} {unit}{more}"
    return what


def device() -> dict[str, Any]:
    """What a reader must know of the machine."""
    name, _, version = nvcc.gpu().partition(", ")
    return {
        "device": name,
        "driver": version,
        "driver_cuda": _driver_cuda(),
        "clocks": clocks(),
        "compiler": nvcc.compiler(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "cpu": platform.processor() or platform.machine(),
        "rounds": ROUNDS,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def clocks() -> str:
    """SM and memory clock, their maxima, power limit, temperature; as nvidia-smi writes them."""
    what = "clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu"
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().split("\n")[0]


def _driver_cuda() -> str:
    """The newest CUDA that the driver knows: ``13.0``."""
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return ""
    return "" if failed else f"{version.value // 1000}.{version.value % 1000 // 10}"


def compared(found: dict[str, Any]) -> None:
    """Each classifier beside the fastest of PyTorch on the same work."""
    speed = "inferences_per_second"
    for row in found["classifiers"]:
        peers = [p.get(speed, 0.0) for p in found["peers"] if p["name"] == row["name"]]
        if speed in row and max(peers, default=0.0):
            row["over_pytorch"] = row[speed] / max(peers)


def main() -> int:
    """Exit codes of the compiler: 3 without a GPU, 1 where a step of ours did not end well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dry-run", action="store_true", help="on the CPU's shim; times nothing")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the JSON goes")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no step begins after")
    options = parser.parse_args()
    dry = options.dry_run
    if not dry and not (nvcc.gpu() and nvcc.compiler().startswith("nvcc")):
        print("error: no NVIDIA GPU with nvcc on this machine: nothing was timed", file=sys.stderr)
        return EXIT_TOOL_FAILED
    found: dict[str, Any] = {} if dry else device()
    found |= {"classifiers": [], "language_models": [], "peers": []}
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="crystalc-") as folder:
        for step in STEPS:
            for row in taken(step, Path(folder), dry, end - time.monotonic()):
                found[step.part].append(row)
                print(line(row, dry), flush=True)
            compared(found)
            if not dry:
                found["clocks_after"] = clocks()
                write_atomic(options.output, json.dumps(found, indent=1) + "\n")
    ours = [*found["classifiers"], *found["language_models"]]
    lost = [row for row in ours if "not_run" in row and "plan" not in row]
    if dry and not lost:
        print("dry run on the CPU: every step works, nothing was timed")
    if not dry:
        print(f"wrote {options.output}")
    return EXIT_CHECK_FAILED if lost else 0


if __name__ == "__main__":
    sys.exit(main())
