"""The classifiers of ``benchmarks.cuda``: compiled with their check, then timed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cuda_events import ROUNDS
from benchmarks.random_models import Shape, random_checkpoint
from crystalc import driver
from crystalc.diagnostics import ToolError
from crystalc_c.build import run
from crystalc_cuda import nvcc
from crystalc_cuda.build import compile_shim

DRIVER = Path(__file__).with_name("cuda_driver.cu")
RESIDENT = 1 << 31
"""Bytes of input, so that no cache holds them and a kernel's first microseconds do not count."""


@dataclass(frozen=True)
class Case:
    """A classifier and the form of its data."""

    shape: Shape
    options: Mapping[str, Any]
    bytes_in: int


BIG, SMALL = Shape(784, 64, 128, 10), Shape(64, 16, 32, 10)
FIXED = {"arithmetic": "fixed", "argmax": True}
CASES = {
    "784-64-128-10 f32": Case(BIG, {}, 4 * 784),
    "784-64-128-10 u8, argmax": Case(BIG, FIXED, 784),
    "64-16-32-10 f32": Case(SMALL, {}, 4 * 64),
    "64-16-32-10 u8, argmax": Case(SMALL, FIXED, 64),
}


def rows(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """The row of a case of this name, made in ``place``. Raises ToolError."""
    case = CASES[name]
    compiled = compiled_case(case, 96 if dry else 1000)
    driver.write(compiled, place)
    comparison = driver.verify_build(compiled, place, driver.check_vectors(compiled))
    if not comparison.ok:
        raise ToolError(f"the check failed: {comparison.reason}")
    program = timer(place, dry)
    samples, rounds = (512, 1) if dry else (RESIDENT // case.bytes_in, ROUNDS)
    found = json.loads(run([str(program), str(samples), str(rounds)], place))
    row = {"name": name, "vectors_checked": comparison.vectors, **found}
    row["inferences_per_second"] = found["samples"] * 1e3 / found["resident_ms"]
    row["share_of_copy_bandwidth"] = found["bytes_per_second"] / found["copy_bytes_per_second"]
    if found["fed_ms"]:
        row["fed_inferences_per_second"] = found["fed_samples"] * 1e3 / found["fed_ms"]
    yield row


def compiled_case(case: Case, vectors: int = 96) -> driver.Compiled:
    """The network of a case, to be checked with so many vectors."""
    options = driver.Options("cuda", count=vectors, **case.options)
    return driver.compile_checkpoint(random_checkpoint("radial", case.shape), options)


def input_step(case: Case) -> float | None:
    """The real number that an input of 1 stands for; None where inputs are reals."""
    compiled = compiled_case(case)
    if not compiled.meaning.is_fixed:
        return None
    return float(2.0**-compiled.meaning.input.type.elem.frac)


def timer(place: Path, dry: bool) -> Path:
    """The driver linked with the network in ``place``. Raises ToolError.

    A dry one is for the shim, and only compiled by nvcc where there is one.
    """
    (place / "driver.cu").write_text(DRIVER.read_text(encoding="utf-8"))
    (place / "all.cu").write_text('#include "crystal.cu"\n#include "driver.cu"\n')
    if not dry:
        nvcc.build_program(place, ["all.cu"], place / "timer")
        return place / "timer"
    if shutil.which("nvcc"):
        nvcc.build_program(place, ["all.cu"], place / "unused", "sm_90")
    compile_shim(place, ["all.cu"], place / "timer")
    return place / "timer"
