"""Folded designs of a digits crystal, LUT x clocks: ``python -m benchmarks.folded``.

64 inputs, 32 frozen neurons, 10 outputs. Every row is bit-exact in Icarus over the whole data set,
and synthesised with the script that stands in the result. LUTs are Yosys' LUT1..LUT6, without
memories made of LUTs, packing, placing or timing. Beside each row stands the plain time-multiplexed
circuit of the same integers (benchmarks/naive.py), simulated and synthesised in the same run; it
gives raw sums and knows no back-pressure, ours rounds and clips its outputs and does.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import naive
from crystalc.driver import Options, compile_checkpoint, write
from crystalc.frontend import read_checkpoint
from crystalc.interpret import interpret
from crystalc.passes.quantize import quantize_inputs
from crystalc_verilog.engine import engine

RESULT = Path(__file__).parent / "results" / "folded.json"
SCRIPT = (
    "read_verilog crystal_cells.v crystal.v",
    "synth_xilinx -family xcup -flatten -noiopad -top crystal",
    "tee -o stat.txt stat",
)
NAIVE_VECTORS = 60
"""Images on which the plain circuit is simulated."""

TRAIN = ("--kernel", "radial", "--neurons", "32", "--frozen", "1.0")


@dataclass(frozen=True)
class Row:
    """One design. ``clocks``: from one vector to the next, its loading included."""

    model: str
    lanes: int
    clocks: int
    lut: int
    ff: int
    carry: int
    dsp: int
    ramb36: int
    ramb18: int
    lutram: int
    vectors: int
    exact: bool

    @property
    def product(self) -> int:
        """LUT x clocks."""
        return self.lut * self.clocks


def counted(text: str) -> Counter[str]:
    """Cells by type in what ``stat`` prints, of either version of Yosys."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        match = re.fullmatch(r"\s+(?:(\d+)\s+([A-Z]\w+)|([A-Z]\w+)\s+(\d+))\s*", line)
        if match:
            found[match[2] or match[3]] += int(match[1] or match[4])
    return found


def row(model: str, path: Path, lanes: int, width: int, prefer: str) -> Row:
    """Compile, simulate and synthesise one design."""
    backend = {"arch": "folded", "lanes": str(lanes)}
    options = Options("verilog", arithmetic="fixed", width=width, backend=backend)
    made = compile_checkpoint(read_checkpoint(path), options)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write(made, place)
        x = quantize_inputs(made.meaning, digits())
        exact = np.array_equal(made.backend.execute(place, x), interpret(made.meaning, x))
        engine(prefer).run(SCRIPT, place)
        cells = counted((place / "stat.txt").read_text())
        facts = json.loads((place / "crystal.json").read_text())
    total = {k: sum(n for c, n in cells.items() if re.match(k, c)) for k in PATTERNS}
    return Row(model, lanes, facts["interval"], *total.values(), len(x), bool(exact))


PATTERNS = (r"LUT\d", "FD", "CARRY", "DSP", "RAMB36", "RAMB18", r"RAM\d")


def plain(path: Path, lanes: int, width: int, prefer: str) -> Row:
    """The plain circuit of the same integers."""
    backend = {"arch": "folded", "lanes": str(lanes)}
    options = Options("verilog", arithmetic="fixed", width=width, backend=backend)
    made = compile_checkpoint(read_checkpoint(path), options)
    net = naive.net_of(made.shaped)
    x = quantize_inputs(made.meaning, digits())[:NAIVE_VECTORS]
    with tempfile.TemporaryDirectory() as name:
        exact, clocks = naive.simulate(net, naive.verilog(net, lanes), x, Path(name))
        cells = counted(naive.synthesised(Path(name), prefer))
    total = [sum(n for c, n in cells.items() if re.match(k, c)) for k in PATTERNS]
    return Row("plain", lanes, clocks, *total, len(x), exact)


def digits() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """All 1,797 images, [n, 64], 0..1."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data, dtype=np.float64) / 16


def main() -> None:
    """Parse the command line, run, print and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lanes", default="1,4,8,32")
    parser.add_argument("--activations", default="relu")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--engine", default="", help="pyosys or yosys")
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for activation in a.activations.split(","):
            path = Path(name) / f"{activation}.pt"
            train = [sys.executable, "-m", "crystalc", "train", "digits", "-o", str(path)]
            subprocess.run([*train, *TRAIN, "--activation", activation], check=True)
            for lanes in map(int, a.lanes.split(",")):
                rows.append(row(f"radial {activation}", path, lanes, a.width, a.engine))
                print(rows[-1], flush=True)
                if activation == "relu":
                    rows.append(plain(path, lanes, a.width, a.engine))
                    print(rows[-1], flush=True)
    used = engine(a.engine)
    show(rows, f"{used.name} {used.version}; {SCRIPT[1]}; {a.width} bits")
    found = {
        "engine": used.name,
        "version": used.version,
        "script": SCRIPT,
        "width": a.width,
        "rows": [asdict(r) for r in rows],
    }
    a.output.parent.mkdir(exist_ok=True)
    a.output.write_text(json.dumps(found, indent=1) + "\n")


def show(rows: list[Row], title: str) -> None:
    """The table."""
    table = Table(title=f"Folded 64-32-10, {title}")
    names = ("model", "lanes", "clocks", "LUT", "FF", "CARRY4", "DSP", "RAMB36", "RAMB18", "LUTRAM")
    for column in (*names, "LUT x clocks", "exact"):
        table.add_column(column, justify="right")
    for r in rows:
        numbers = (r.lanes, r.clocks, r.lut, r.ff, r.carry, r.dsp, r.ramb36, r.ramb18, r.lutram)
        table.add_row(r.model, *map(str, numbers), f"{r.product:,}", "yes" if r.exact else "NO")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
