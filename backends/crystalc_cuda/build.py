"""Compile an emitted directory for the CPU's shim and run its harness."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.backend import Examined
from crystalc.diagnostics import ToolError
from crystalc.render import template_root
from crystalc_c.build import read_interface, run
from crystalc_c.numbers import dtype
from crystalc_cuda import nvcc, nvrtc

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off")
WARN = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-variable")
ORDERS = ("forward", "reverse", "random")
"""Orders of threads, each of which must give the same."""


def find_compiler() -> list[str]:
    """The command of the C++ compiler: $CXX, or the usual names. Raises ToolError."""
    asked = os.environ.get("CXX", "")
    for name in [asked] if asked else COMPILERS:
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return words
    raise ToolError(
        f"no C++ compiler: {asked or ' or '.join(COMPILERS)} is not on the PATH",
        hint="install g++ or clang++, or set CXX",
    )


def compile_shim(build: Path, sources: Sequence[str], output: Path, *flags: str) -> None:
    """The .cu ``sources`` of ``build`` into a program for the CPU. Raises ToolError."""
    shim = template_root() / "cuda" / "shim.h"
    command = [*find_compiler(), *(flags or FLAGS), *WARN, "-I.", "-include", str(shim)]
    run([*command, "-x", "c++", *sources, "-o", str(output)], build)


def one_source(build: Path, name: str, place: Path) -> Path:
    """A file that includes kernel and harness: the shim lives in one translation unit."""
    path = place / "all.cu"
    parts = [build / f"{name}.cu", build / f"{name}_main.cu"]
    path.write_text("".join(f'#include "{p.resolve()}"\n' for p in parts))
    return path


def run_harness(
    program: Path, x: NDArray[Any], types: tuple[str, str], outputs: int, order: str
) -> NDArray[Any]:
    """Outputs [batch, O] of a built harness for ``x`` [batch, I]; ``types`` are C types."""
    raw = np.ascontiguousarray(x, dtype=dtype(types[0])).tobytes()
    command = ["env", f"CRYSTAL_SHIM_ORDER={order}", str(program)]
    values = np.frombuffer(run(command, program.parent, raw), dtype=dtype(types[1]))
    if values.size != len(x) * outputs:
        raise ToolError(f"the harness gave {values.size} numbers, not {len(x) * outputs}")
    return values.reshape(len(x), outputs)


def execute(build: Path, name: str, inputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs [batch, O]: a share of the vectors in each order of threads, and on a GPU if any."""
    types, shape = read_interface(build / f"{name}.h", name)
    x = inputs.reshape(-1, shape[0])
    out = np.empty((len(x), shape[1]), dtype=dtype(types[1]))
    with tempfile.TemporaryDirectory(prefix="crystalc-") as folder:
        place = Path(folder)
        compile_shim(build, [str(one_source(build, name, place))], place / "shim")
        runs = [(place / "shim", order) for order in ORDERS]
        if on_gpu():
            nvcc.build_program(build, [f"{name}.cu", f"{name}_main.cu"], place / "gpu")
            runs.append((place / "gpu", ORDERS[0]))
        for k, (program, order) in enumerate(runs):
            part = slice(k, None, len(runs))
            out[part] = run_harness(program, x[part], types, shape[1], order)
    return out


def on_gpu() -> bool:
    """This machine can compile for a GPU and has one."""
    return bool(nvcc.gpu()) and shutil.which("nvcc") is not None


def examine(build: Path, name: str, archs: Sequence[str]) -> Examined:
    """Registers, shared memory and spills on every architecture. Raises ToolError."""
    used = nvcc.compiler()
    report: dict[str, Any] = {"compiler": used or None, "gpu": nvcc.gpu() or None, "kernels": []}
    ran = f"ran on {report['gpu']}" if on_gpu() else "ran on the CPU alone, no GPU was used"
    if not used:
        line = "gpu     neither nvcc nor NVRTC is there, so no GPU compiler saw the kernel"
        return Examined((f"{line}; pip install {nvrtc.PACKAGE}",), report)
    found = nvcc.kernels(build / f"{name}.cu", archs)
    dynamic = _dynamic(build / f"{name}.h")
    report["kernels"] = [{**k.to_dict(), "shared_dynamic": dynamic} for k in found]
    lines = [_line([k for k in found if k.arch == arch], used, dynamic) for arch in archs]
    bad = dict.fromkeys(k.arch for k in found if k.spills)
    reason = f"registers spill on {', '.join(bad)}" if bad else ""
    return Examined((*lines, f"gpu     {ran}"), report, reason)


def _line(found: Sequence[nvcc.Kernel], used: str, dynamic: int) -> str:
    """Of the kernels for one architecture, which differ in the type of their samples."""
    bad = [k.stack for k in found if k.spills]
    spills = f"FAILED: {max(bad)} bytes of stack and spills" if bad else "no spills"
    most, shared = max(k.registers for k in found), max(k.shared for k in found) + dynamic
    return f"gpu     {used} for {found[0].arch}: {most} registers, {shared} bytes shared, {spills}"


def _dynamic(header: Path) -> int:
    """Dynamic shared memory of a block, as the header says."""
    found = re.search(r"_SHARED_BYTES (\d+)", header.read_text(encoding="utf-8"))
    return int(found[1]) if found else 0
