"""Flash and run time on a Cortex-M4 of small classifiers: ``python -m benchmarks.flash``.

Flash is text + read-only data of the object file, and of the whole program with the libraries it
needs. Ticks are instructions as QEMU counts them: good for ratios, not for cycles.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "hw_tests"))

from c_models import run  # noqa: E402
from cortex_m import HERE as BOARD  # noqa: E402
from cortex_m import M4, SMALL, emit, flash, simulate, words  # noqa: E402
from support import tiny_checkpoint  # noqa: E402

from benchmarks.contenders import weights_header  # noqa: E402
from crystalc.interpret import interpret  # noqa: E402

RESULT = HERE / "results" / "flash.json"
HOSTED = tuple(f for f in M4 if f not in ("-nostdlib", "-ffreestanding", "-Wconversion", "-Werror"))
NEWLIB = ("-nostartfiles", "--specs=nano.specs", "-lm", "-lc", "-lgcc")
CRYSTALS = {
    "radial relu": {"kernel": "radial", "activation": "relu"},
    "radial gelu": {"kernel": "radial", "activation": "gelu"},
    "laplace": {"kernel": "laplace"},
}
ARITHMETICS = {"f32": "f32", "int8 weights": "q8", "int8": "fixed8"}
EMLEARN = """
import emlearn, numpy, sys, warnings
from sklearn.neural_network import MLPClassifier
warnings.filterwarnings("ignore")
rng = numpy.random.default_rng(0)
net = MLPClassifier(hidden_layer_sizes=(32,), max_iter=5, random_state=0)
net.fit(rng.normal(size=(200, 64)), numpy.arange(200) % 10)
emlearn.convert(net).save(file="emlearn_mlp.h", name="mlp")
print(emlearn.__version__, emlearn.includedir)
"""
EMLEARN_C = """#include "emlearn_mlp.h"
void peer_run(const float *in, float *out) { mlp_regress(in, 64, out, 10); }
"""


@dataclass(frozen=True)
class Row:
    """Bytes of the object and of the linked program; ``ticks`` of one run."""

    program: str
    object_flash: int
    ram: int
    linked_flash: int
    ticks: int
    libraries: str
    max_error: float | None


def crystal_row(name: str, arithmetic: str) -> Row:
    """One of ours, compact layout."""
    with tempfile.TemporaryDirectory() as place:
        case = emit(Path(place), ARITHMETICS[arithmetic], frozen=1.0, **CRYSTALS[name])
        size = flash(case.place)
        done = simulate(case, 1)
        wanted = interpret(case.compiled.meaning, done.vectors)
        return Row(
            f"crystalc {arithmetic}, {name}",
            size.text,
            size.data + size.bss,
            _linked(case.place),
            done.ticks,
            " ".join(size.undefined) or "none",
            float(np.abs(done.outputs - wanted).max()),
        )


def _linked(place: Path) -> int:
    line = run(["arm-none-eabi-size", "model.elf"], place).decode().splitlines()[1].split()
    return int(line[0]) + int(line[1])


def peer_row(name: str, place: Path, source: str, flags: tuple[str, ...]) -> Row:
    """A program with ``peer_run``, linked with newlib-nano."""
    (place / "peer.c").write_text(source)
    vector = ", ".join(f"{v:.1f}f" for v in np.arange(64) % 3 / 2)
    (place / "vectors.h").write_text(f"static const float vectors[1][64] = {{ {{ {vector} }} }};\n")
    run([*HOSTED, *flags, "-c", "peer.c", "-o", "model.o"], place)
    line = run(["arm-none-eabi-size", "model.o"], place).decode().splitlines()[1].split()
    missing = run(["arm-none-eabi-nm", "-u", "model.o"], place).decode().replace("U ", "").split()
    sources = ["model.o", str(HERE / "peer_main.c"), str(BOARD / "startup.c")]
    link = ["-T", str(BOARD / "link.ld"), "-Wl,--gc-sections", "-o", "model.elf"]
    run([*HOSTED, *sources, *NEWLIB, *link], place)
    ram = int(line[1]) + int(line[2])
    return Row(
        name, int(line[0]), ram, _linked(place), int(words(place)[0]), " ".join(missing), None
    )


def has_newlib() -> bool:
    """Whether programs that need a C library can be built for the board."""
    found = run([M4[0], "-print-file-name=libm.a"], HERE).decode().strip()
    if "/" not in found:
        print("newlib is not installed: rows of plain C and emlearn left out", file=sys.stderr)
    return "/" in found


def naive_rows() -> list[Row]:
    """The same networks as plain C with libm: a baseline, not a peer."""
    rows = []
    for name, kind in (("radial relu", "RELU"), ("radial gelu", "GELU"), ("laplace", "LAPLACE")):
        with tempfile.TemporaryDirectory() as place:
            checkpoint = tiny_checkpoint(**{**SMALL, **CRYSTALS[name]}, projection=True, frozen=1.0)
            (Path(place) / "naive_weights.h").write_text(weights_header(checkpoint))
            source = '#define naive_run peer_run\n#include "naive.c"\n'
            flags = (f"-I{HERE}", f"-D{kind}")
            rows.append(peer_row(f"plain C, {name}", Path(place), source, flags))
    return rows


def emlearn_rows(python: str) -> list[Row]:
    """An MLP 64-32-10 by emlearn (it has no geometric neurons), if ``python`` can import it."""
    if not python:
        return []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        done = subprocess.run([python, "-c", EMLEARN], cwd=place, capture_output=True, text=True)
        if done.returncode:
            print(f"emlearn left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return []
        version, include = done.stdout.split()
        flags = (f"-I{include}", "-Wno-unused-function", "-Wno-unused-parameter")
        return [peer_row(f"emlearn {version}, MLP 64-32-10", place, EMLEARN_C, flags)]


def main() -> None:
    """Parse the command line, run, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emlearn", default="", help="a Python that has emlearn and scikit-learn")
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    rows = [crystal_row(name, arithmetic) for arithmetic in ARITHMETICS for name in CRYSTALS]
    if has_newlib():
        rows += naive_rows() + emlearn_rows(a.emlearn)
    table = Table(title="Cortex-M4, -Os, 64-16-32-10: bytes and QEMU ticks")
    for column in ("program", "object", "RAM", "linked", "ticks", "libraries", "max error"):
        table.add_column(column, justify="left" if column in ("program", "libraries") else "right")
    for r in rows:
        error = "" if r.max_error is None else f"{r.max_error:.1e}"
        numbers = (f"{v:,}" for v in (r.object_flash, r.ram, r.linked_flash, r.ticks))
        table.add_row(r.program, *numbers, r.libraries, error)
    Console(width=130).print(table)
    a.output.parent.mkdir(exist_ok=True)
    a.output.write_text(json.dumps({"rows": [asdict(r) for r in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
