"""An emitted language model built for the CPU's shim, and asked in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc_c.build import find_compiler as find_c_compiler
from crystalc_c.build import run
from crystalc_c.runtime import units
from crystalc_cuda.build import compile_shim

SHIM_FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-c")
C_FLAGS = ("-std=c99", "-O1", "-DCRYSTAL_NO_SIMD", "-fPIC", "-c")
"""All layers of the runtime give the same bits; this one compiles fastest."""


def shim_library(build: Path, prefix: str, output: Path, *flags: str) -> None:
    """The kernels on the shim and the C runtime, as a shared library. Raises ToolError.

    ``flags`` (of sanitizers) go to the compiler of the kernels and to the linker.
    """
    build = build.resolve()
    compiler = find_c_compiler("")
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        made = Path(place) / "gpu.o"
        compile_shim(build, [f"{prefix}_gpu.cu"], made, *SHIM_FLAGS, *flags)
        objects = [made]
        for source in units(prefix):
            objects.append((Path(place) / source).with_suffix(".o"))
            run([*compiler, *C_FLAGS, source, "-o", str(objects[-1])], build)
        link = [*compiler, "-shared", *flags, *map(str, objects), "-lstdc++", "-lm"]
        run([*link, "-o", str(output)], build)


@contextmanager
def built(build: Path, prefix: str) -> Iterator[Path]:
    """A folder that holds ``model.so`` while the block runs."""
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        shim_library(build, prefix, Path(place) / "model.so")
        yield Path(place)


def logits(folder: Path, prefix: str, ids: NDArray[Any]) -> NDArray[np.float32]:
    """[B, T, V] for ids [B, T], of the kernel of many sequences. Raises ToolError."""
    np.save(folder / "ids.npy", np.asarray(ids, np.int64))
    _ask(folder, ["logits", prefix, "ids.npy", "logits.npy"], "forward")
    return np.asarray(np.load(folder / "logits.npy", allow_pickle=False))


def texts(folder: Path, prefix: str, prompt: Sequence[int], count: int) -> dict[str, list[int]]:
    """``count`` greedy tokens after ``prompt``: "one", "many", "runtime". Raises ToolError."""
    words = [str(count), *(str(int(t)) for t in prompt)]
    said = _ask(folder, ["texts", prefix, *words], "reverse")
    found: dict[str, list[int]] = json.loads(said)
    return found


def _ask(folder: Path, words: Sequence[str], order: str) -> bytes:
    here = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    setting = [f"PYTHONPATH={here}", f"CRYSTAL_SHIM_ORDER={order}"]
    program = [sys.executable, "-m", "crystalc_cuda.language_run", "model.so", *words]
    return run(["env", *setting, *program], folder)
