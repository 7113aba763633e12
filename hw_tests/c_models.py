"""Small compiled crystals and C tool runs that the tests of the C backend share."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crystalc.driver import Compiled, Options, check_vectors, compile_checkpoint, write
from crystalc_c import CBackend
from crystalc_c.build import read_interface
from crystalc_c.numbers import dtype

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import tiny_checkpoint

Array = NDArray[Any]

ARITHMETIC: Mapping[str, Mapping[str, Any]] = {
    "f32": {},
    "q8": {"weights": "q8"},
    "fixed8": {"arithmetic": "fixed", "width": 8},
    "fixed16": {"arithmetic": "fixed", "width": 16},
}
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")


@dataclass(frozen=True)
class Model:
    """An emitted crystal: where its files lie, and vectors [n, I] with the oracle's graph."""

    compiled: Compiled
    place: Path
    vectors: Array

    @property
    def types(self) -> tuple[str, str]:
        """C types of input and output."""
        return read_interface(self.place / "crystal.h", "crystal")[0]

    def run(self, program: Path, *arguments: str) -> Array:
        """Outputs [n, O] of a built harness for the vectors."""
        raw = np.ascontiguousarray(self.vectors, dtype=dtype(self.types[0])).tobytes()
        done = run([str(program), *arguments], self.place, raw)
        return np.frombuffer(done, dtype=dtype(self.types[1])).reshape(len(self.vectors), -1)


def model(
    place: Path,
    arithmetic: str,
    options: Mapping[str, str] | None = None,
    samples: Array | None = None,
    **shape: Any,
) -> Model:
    """Compile a tiny checkpoint with the C backend and write its files into ``place``.

    ``samples`` replaces its calibration vectors.
    """
    defaults = {"inputs": 21, "neurons": 37, "outputs": 10, "projection": True, "dim": 12}
    checkpoint = tiny_checkpoint(**{**defaults, **shape})
    if samples is not None:
        checkpoint = replace(checkpoint, calibration=samples.astype(np.float32))
    chosen = Options(target="c", backend=dict(options or {}), count=60, **ARITHMETIC[arithmetic])
    compiled = compile_checkpoint(checkpoint, chosen)
    write(compiled, place)
    return Model(compiled, place, check_vectors(compiled))


def need(tool: str) -> str:
    """``tool``, or skip the test where it is absent."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return tool


def run(command: Sequence[str], where: Path, stdin: bytes = b"") -> bytes:
    """stdout of a command that must succeed; its stderr is the failure's text."""
    done = subprocess.run(command, cwd=where, input=stdin, capture_output=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr.decode()[:4000]}"
    return done.stdout


def need_processor(flags: Sequence[str]) -> None:
    """Skip the test unless this processor runs what ``flags`` ask a compiler for."""
    wanted = [f.removeprefix("-m") for f in flags if f.startswith(("-mavx", "-mfma"))]
    known = Path("/proc/cpuinfo")
    there = known.read_text().split() if known.is_file() else []
    missing = [f for f in wanted if f not in there]
    if missing:
        pytest.skip(f"cpu: none with {' '.join(missing)}")


def build(where: Path, compiler: str, flags: Sequence[str], program: str = "harness") -> Path:
    """The harness of an emitted model, with every warning an error."""
    need_processor(flags)
    sources = ["crystal.c", "crystal_main.c"]
    run([compiler, "-std=c99", *flags, *STRICT, "-I.", *sources, "-o", program], where)
    return where / program


def backend(**options: str) -> CBackend:
    """The C backend with options."""
    return CBackend(**options)
