"""Compile an emitted directory with the system's C compiler and run its harness."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import tools
from crystalc.diagnostics import ToolError
from crystalc_c.numbers import dtype

COMPILERS = ("cc", "gcc", "clang")
OPTIMISE = ("-std=c99", "-O3", "-march=native")
WARN = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
TIMEOUT = 300.0
"""Seconds for one compilation or one run."""


def find_compiler(chosen: str) -> list[str]:
    """The command of the C compiler: option, $CC, then the usual names. Raises ToolError."""
    asked = chosen or os.environ.get("CC", "")
    names = [asked] if asked else list(COMPILERS)
    for name in names:
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return words
    raise ToolError(
        f"no C compiler: {' or '.join(names)} is not on the PATH",
        hint="install gcc or clang, or set the option 'compiler'",
    )


def compile_harness(build: Path, name: str, compiler: str, cflags: str, output: Path) -> None:
    """NAME.c and NAME_main.c of ``build`` into the program ``output``. Raises ToolError."""
    flags = shlex.split(cflags) if cflags else list(OPTIMISE)
    sources = [f"{name}.c", f"{name}_main.c"]
    command = [*find_compiler(compiler), *flags, *WARN, "-I.", *sources, "-o", str(output)]
    run(command, build)


def run_harness(
    program: Path, inputs: NDArray[Any], types: tuple[str, str], outputs: int, *entry: str
) -> NDArray[Any]:
    """Outputs [batch, O] of the program for ``inputs`` [batch, I]; ``types`` are C types.

    ``entry``: nothing for one sample after another, "batch" for all together.
    """
    raw = np.ascontiguousarray(inputs, dtype=dtype(types[0])).tobytes()
    out = run([str(program), *entry], program.parent, raw)
    values = np.frombuffer(out, dtype=dtype(types[1]))
    if values.size != len(inputs) * outputs:
        raise ToolError(f"the harness gave {values.size} numbers, not {len(inputs) * outputs}")
    return values.reshape(len(inputs), outputs)


def run(command: Sequence[str], where: Path, stdin: bytes = b"") -> bytes:
    """stdout of ``command`` run in ``where``. Raises ToolError with what it said."""
    return tools.run(command, where, stdin, timeout=TIMEOUT)


def execute(
    build: Path, name: str, compiler: str, cflags: str, inputs: NDArray[Any]
) -> NDArray[Any]:
    """Compile ``build`` in a private directory and run it on ``inputs``.

    Every other vector goes through the batch entry, so that a check sees both.
    """
    types, shape = read_interface(build / f"{name}.h", name)
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        program = Path(place) / "harness"
        compile_harness(build, name, compiler, cflags, program)
        x = inputs.reshape(-1, shape[0])
        out = np.empty((len(x), shape[1]), dtype=dtype(types[1]))
        out[0::2] = run_harness(program, x[0::2], types, shape[1])
        out[1::2] = run_harness(program, x[1::2], types, shape[1], "batch")
        return out


def read_interface(header: Path, name: str) -> tuple[tuple[str, str], tuple[int, int]]:
    """C types and lengths of input and output, from the header that is going to be compiled."""
    words = [line.split() for line in header.read_text(encoding="utf-8").splitlines()]
    sizes = {w[1]: int(w[2]) for w in words if w[:1] == ["#define"] and w[2:3] and w[2].isdigit()}
    types = {w[2].rstrip(";"): w[1] for w in words if w[:1] == ["typedef"] and len(w) == 3}
    upper = name.upper()
    return (
        (types[f"{name}_in"], types[f"{name}_out"]),
        (sizes[f"{upper}_INPUTS"], sizes[f"{upper}_OUTPUTS"]),
    )
