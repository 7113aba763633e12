"""Folded designs of three networks for digits, LUT x clocks: ``python -m benchmarks.folded``.

All have 64 inputs, 32 neurons and 10 outputs: a dense network of 6 bits (the integers of
``benchmarks.rtl``), and a crystal of 6 and of 8 bits. Every row is bit-exact over all 1,797 images
as C++ (CXXRTL) with both ends held back at random, over the first 60 in Icarus, and synthesised
with the script that stands in the result. LUTs are Yosys' LUT1..LUT6, without memories made of
LUTs, packing, placing or timing; blocks of memory stand in columns of their own. Beside each row
stands the plain time-multiplexed circuit of the same integers (benchmarks/naive.py), simulated on
the first images in Icarus; it gives raw sums and knows no back-pressure, ours does, and rounds and
clips a crystal's outputs.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import naive
from benchmarks.rtl_networks import digits, mlp
from crystalc.driver import Options, compile_checkpoint
from crystalc.files import write_tree
from crystalc.frontend import read_checkpoint
from crystalc.interpret import interpret
from crystalc.ir import Graph
from crystalc.pipeline import run_passes, shaping_passes
from crystalc_verilog import VerilogBackend
from crystalc_verilog.cxxrtl import Program
from crystalc_verilog.engine import engine
from crystalc_verilog.files import fixed

RESULT = Path(__file__).parent / "results" / "folded.json"
SCRIPT = (
    "read_verilog crystal_cells.v crystal.v",
    "synth_xilinx -family xcup -flatten -noiopad -top crystal",
    "tee -o stat.txt stat",
)
VECTORS = 60
"""Images that Icarus simulates."""

STALL = 20
"""Percent of clocks in which either end waits, in CXXRTL."""

TRAIN = ("--kernel", "radial", "--activation", "relu", "--neurons", "32", "--frozen", "1.0")
FOLDED = {"arch": "folded", "lanes": "1"}


@dataclass(frozen=True)
class Row:
    """One design. ``clocks``: from one vector to the next, its loading included."""

    model: str
    design: str
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


def row(model: str, graph: Graph, lanes: int, prefer: str) -> Row:
    """Emit, simulate and synthesise one design."""
    backend = VerilogBackend(arch="folded", lanes=str(lanes))
    x = pixels(graph)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_tree(place, backend.emit(graph, "benchmarks.folded"))
        wanted = interpret(graph, x)
        with Program(place, "crystal") as program:
            exact = np.array_equal(program.run(x, stall=STALL), wanted)
        some = backend.execute(place, x[:VECTORS])
        exact = exact and np.array_equal(some, wanted[:VECTORS])
        engine(prefer).run(SCRIPT, place)
        cells = counted((place / "stat.txt").read_text())
        facts = json.loads((place / "crystal.json").read_text())
    total = [sum(n for c, n in cells.items() if re.match(k, c)) for k in PATTERNS]
    return Row(
        model, "crystalc", lanes, facts["interval"], *total, vectors=len(x), exact=bool(exact)
    )


PATTERNS = (r"LUT\d", "FD", "CARRY", "DSP", "RAMB36", "RAMB18", r"RAM\d")


def plain(model: str, graph: Graph, lanes: int, prefer: str) -> Row:
    """The plain circuit of the same integers."""
    net = naive.net_of(graph)
    x = pixels(graph)[:VECTORS]
    with tempfile.TemporaryDirectory() as name:
        exact, clocks = naive.simulate(net, naive.verilog(net, lanes), x, Path(name))
        cells = counted(naive.synthesised(Path(name), prefer))
    total = [sum(n for c, n in cells.items() if re.match(k, c)) for k in PATTERNS]
    return Row(model, "plain", lanes, clocks, *total, vectors=len(x), exact=exact)


def pixels(graph: Graph) -> NDArray[Any]:
    """All 1,797 images as integers of the input's type, [n, 64]."""
    from sklearn.datasets import load_digits

    kind = fixed(graph.input.type.elem)
    return np.asarray(np.minimum(load_digits().data.astype(np.int64), kind.high))


def networks(place: Path) -> dict[str, Graph]:
    """The integers of each network, by name."""
    path = place / "relu.pt"
    train = [sys.executable, "-m", "crystalc", "train", "digits", "-o", str(path), *TRAIN]
    subprocess.run(train, check=True)
    options = [Options("verilog", arithmetic="fixed", width=w, backend=FOLDED) for w in (6, 8)]
    small, large = (compile_checkpoint(read_checkpoint(path), o).shaped for o in options)
    dense = run_passes(mlp(digits()), shaping_passes("fixed", "f32"))
    return {"dense, 6 bits": dense, "crystal, 6 bits": small, "crystal, 8 bits": large}


def main() -> None:
    """Parse the command line, run, print and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lanes", default="1,4,8,32")
    parser.add_argument("--engine", default="", help="pyosys or yosys")
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        found = networks(Path(name))
    for model, graph in found.items():
        for lanes in map(int, a.lanes.split(",")):
            rows += [made(model, graph, lanes, a.engine) for made in (row, plain)]
            print(*rows[-2:], sep="\n", flush=True)
    used = engine(a.engine)
    show(rows, f"{used.name} {used.version}; {SCRIPT[1]}")
    result = {
        "engine": used.name,
        "version": used.version,
        "script": SCRIPT,
        "rows": [asdict(r) for r in rows],
    }
    a.output.parent.mkdir(exist_ok=True)
    a.output.write_text(json.dumps(result, indent=1) + "\n")


def show(rows: list[Row], title: str) -> None:
    """The table."""
    table = Table(title=f"Folded 64-32-10, {title}")
    names = (
        "network",
        "design",
        "lanes",
        "clocks",
        "LUT",
        "FF",
        "CARRY4",
        "DSP",
        "RAMB36",
        "RAMB18",
        "LUTRAM",
    )
    for column in (*names, "LUT x clocks", "exact"):
        table.add_column(column, justify="right")
    for r in rows:
        numbers = (r.lanes, r.clocks, r.lut, r.ff, r.carry, r.dsp, r.ramb36, r.ramb18, r.lutram)
        table.add_row(
            r.model, r.design, *map(str, numbers), f"{r.product:,}", "yes" if r.exact else "NO"
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
