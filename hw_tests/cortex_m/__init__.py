"""Build an emitted model for a Cortex-M4, measure its flash, and run it under QEMU."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from c_models import Array, Model, model, run

from crystalc_c.numbers import dtype

HERE = Path(__file__).parent
M4 = (
    *("arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16"),
    *("-mfloat-abi=hard", "-Os", "-ffreestanding", "-nostdlib", "-I.", f"-I{HERE}"),
    *("-Wall", "-Wextra", "-Wconversion", "-Werror"),
)
QEMU = (
    *("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-icount", "shift=6"),
    *("-semihosting-config", "enable=on,target=native", "-kernel"),
)
SMALL = {"inputs": 64, "dim": 16, "neurons": 32, "outputs": 10}


@dataclass(frozen=True)
class Flash:
    """Bytes of one object file (text includes read-only data), and what it lacks."""

    text: int
    data: int
    bss: int
    undefined: tuple[str, ...]


@dataclass(frozen=True)
class Simulated:
    """``ticks`` of the first run: instructions as QEMU counts them, good for ratios only."""

    model: Model
    vectors: Array
    outputs: Array
    ticks: int


def emit(place: Path, arithmetic: str, **shape: Any) -> Model:
    """The 64-16-32-10 model in the compact layout, one file."""
    options = {"layout": "compact", "constants": "hex"}
    return model(place, arithmetic, options, **{**SMALL, **shape})


def flash(place: Path, source: str = "crystal.c") -> Flash:
    """Compile ``source`` for size and measure its object."""
    run([*M4, "-c", source, "-o", "model.o"], place)
    line = run(["arm-none-eabi-size", "model.o"], place).decode().splitlines()[1].split()
    missing = run(["arm-none-eabi-nm", "-u", "model.o"], place).decode().split()
    return Flash(int(line[0]), int(line[1]), int(line[2]), tuple(w for w in missing if w != "U"))


def simulate(case: Model, count: int) -> Simulated:
    """Run the first ``count`` vectors on the emulated board."""
    vectors = case.vectors[:count]
    (case.place / "vectors.h").write_text(_header(vectors, case.types[0]))
    state = ["-DSTATE"] if any(node.is_state for _, node in case.compiled.shaped) else []
    sources = ["crystal.c", str(HERE / "main.c"), str(HERE / "startup.c")]
    link = ["-T", str(HERE / "link.ld"), "-o", "model.elf"]
    run([*M4, *state, *sources, *link], case.place)
    printed = words(case.place)
    size = np.dtype(dtype(case.types[1])).itemsize
    raw = printed[1:].astype("<u4").view("u1").reshape(-1, 4)[:, :size]
    outputs = np.ascontiguousarray(raw).view(dtype(case.types[1])).reshape(count, -1)
    return Simulated(case, vectors, outputs, int(printed[0]))


def words(place: Path) -> Array:
    """What the program printed: hexadecimal words, on either stream of QEMU."""
    done = subprocess.run([*QEMU, "model.elf"], cwd=place, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return np.array([int(w, 16) for w in (done.stdout + done.stderr).split()], dtype=np.uint32)


def _header(vectors: Array, ctype: str) -> str:
    """The vectors as C constants."""
    rows = [", ".join(_literal(v, ctype) for v in row) for row in vectors]
    body = ",\n".join(f"    {{ {row} }}" for row in rows)
    size = f"{len(rows)}][{vectors.shape[1]}"
    return (
        f"#define VECTORS {len(rows)}\nstatic const crystal_in vectors[{size}] = {{\n{body}\n}};\n"
    )


def _literal(value: Any, ctype: str) -> str:
    return f"{float(np.float32(value)).hex()}f" if ctype == "float" else str(int(value))
