"""LUTs of the same integers by crystalc, da4ml and alkaid: same Yosys, same script, all exact.

python -m benchmarks.rtl [--networks crystal mlp ...] [--tools crystalc da4ml alkaid]

Needs the extra ``peers``, Icarus and Yosys. A design of 14,000 LUTs takes Yosys several minutes;
each row is stored as it is finished and skipped the next time if its integers, its tool and its
RTL are the same. The peers' designs are combinational, crystalc's has registers at both ends.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import rtl_peers
from benchmarks.rtl_levers import levers
from benchmarks.rtl_networks import NETWORKS, Digits, accuracy, digits, inputs
from benchmarks.rtl_synth import Combinational, count
from crystalc.files import write_atomic, write_tree
from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph
from crystalc.pipeline import run_passes, shaping_passes
from crystalc.text import constants, render
from crystalc.verify import check
from crystalc_verilog import VerilogBackend
from crystalc_verilog.lower import lower
from crystalc_verilog.schedule import live_cells

RESULT = Path(__file__).parent / "results" / "rtl.json"
WORK = Path("build") / "rtl"
TOOLS = ("crystalc", "da4ml", "alkaid")
COLUMNS = ("LUT", "INV", "FF", "CARRY", "MUXF", "adders", "levels", "compile_s", "synth_s")
ONE_STAGE = "1000"

Row = dict[str, Any]

EVERY = {**NETWORKS, "levers": lambda data: levers(data, 0, 24, 4)}
"""``levers``: the smallest crystal of ``benchmarks.rtl_levers``, of 24 points and four bits.
It is compared with a peer's ``crystal``, which does the same for the user.
"""


def fingerprint(graph: Graph) -> str:
    """Names the integers of a network."""
    text = render(graph) + " ".join(sorted(constants(graph)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ours(graph: Graph, data: Digits, place: Path) -> tuple[Row, Callable[[str], Row]]:
    """Facts of crystalc's design, written and simulated; and how to count its cells."""
    start = time.perf_counter()
    shaped = run_passes(graph, shaping_passes("fixed", "f32"))
    backend = VerilogBackend(levels_per_stage=ONE_STAGE)
    files = backend.emit(shaped, "benchmarks.rtl")
    seconds = time.perf_counter() - start
    write_tree(place, files)
    x = inputs(graph, data)
    exact = np.array_equal(backend.execute(place, x), interpret(graph, x))
    sources = [place / "crystal_cells.v", place / "crystal.v"]
    text = "".join(s.read_text() for s in sources)
    row = {
        "tool": f"crystalc {version('crystalc')}",
        "exact": exact,
        "rtl": hashlib.sha256(text.encode()).hexdigest()[:16],
        "compile_s": round(seconds, 2),
        **adders(shaped),
    }
    return row, lambda prefer: count("crystal", sources, place, prefer)


def adders(shaped: Graph) -> dict[str, int]:
    """How many adders, and how many in a row on the longest path."""
    lowered = lower(shaped)
    level: dict[int, int] = {}
    for c in (live := live_cells(lowered)):
        cell = lowered.circuit.cells[c]
        level[c] = (cell.kind == "add") + max((level[a] for a in cell.args), default=0)
    found = sum(lowered.circuit.cells[c].kind == "add" for c in live)
    return {"adders": found, "levels": max(level[c] for c in lowered.outputs)}


def peer(library: str, graph: Graph, data: Digits, place: Path) -> tuple[Row, Callable[[str], Row]]:
    """The same for da4ml and alkaid."""
    start = time.perf_counter()
    x = inputs(graph, data)
    traced = rtl_peers.trace(library, graph, x)
    sources = rtl_peers.write(traced, place)
    seconds = time.perf_counter() - start
    top = next(s.stem for s in sources if s.stem.endswith("_wrapper"))
    folder = place / "src" / "memfiles"
    folder.mkdir(exist_ok=True)
    design = Combinational(top, sources, folder)
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    wanted = interpret(graph, x)
    got = design.simulate(x, wanted.shape[1], elem.width)
    row = {
        "tool": traced.library,
        "exact": np.array_equal(got, wanted),
        "rtl": "",
        "compile_s": round(seconds, 2),
        "adders": traced.adders,
        "levels": traced.levels,
    }
    return row, lambda prefer: count(top, sources, folder, prefer)


def measure(name: str, tool: str, graph: Graph, data: Digits, a: argparse.Namespace) -> Row | None:
    """A finished row, or None where it is stored already."""
    place = WORK / name / tool
    made = ours(graph, data, place) if tool == "crystalc" else peer(tool, graph, data, place)
    row, counted = made
    row = {"network": name, "integers": fingerprint(graph), "yosys": a.engine, **row}
    if not row["exact"]:
        raise SystemExit(f"{tool} differs from the oracle on {name}")
    if any(all(old.get(k) == row[k] for k in KEY) for old in stored(a.output)):
        return None
    print(f"{name}: {tool} is exact on {len(data.test_x)} samples; Yosys starts", flush=True)
    return {**row, "accuracy": accuracy(graph, data), **counted(a.engine)}


KEY = ("network", "tool", "integers", "rtl", "yosys")


def stored(path: Path) -> list[Row]:
    """The rows of earlier runs."""
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def store(path: Path, row: Row) -> None:
    """Put ``row`` in the place of the one for the same network, tool and engine."""
    same = ("network", "tool", "yosys")
    rows = [r for r in stored(path) if any(r[k] != row[k] for k in same)]
    path.parent.mkdir(exist_ok=True)
    rows = sorted([*rows, row], key=lambda r: (r["network"], r["yosys"], r["tool"]))
    write_atomic(path, json.dumps({"rows": rows}, indent=1) + "\n")


def show(rows: list[Row]) -> None:
    """The table; ratios are to da4ml's design of the same integers."""
    table = Table(title="Yosys synth_xilinx -family xcup -flatten -noiopad -nodsp")
    for column in ("network", "accuracy", "tool", *COLUMNS, "LUT / da4ml", "engine"):
        table.add_column(column, justify="right" if column in COLUMNS else "left")
    for r in rows:
        table.add_row(
            r["network"],
            f"{r['accuracy']:.2%}",
            r["tool"],
            *(f"{r[c]:,}" for c in COLUMNS),
            ratio(r, rows),
            r["engine"],
        )
    Console(width=180).print(table)


def ratio(row: Row, rows: list[Row]) -> str:
    """LUTs over those of da4ml, same network and engine; of ``levers`` over its ``crystal``."""
    keys = ("network", "integers", "engine")
    like = row
    if row["network"] == "levers":
        plain = [r for r in rows if r["network"] == "crystal" and r["engine"] == row["engine"]]
        like = {**row, **{k: plain[0][k] for k in keys}} if plain else row
    base = [r for r in rows if r["tool"].startswith("da4ml") and same(r, like, keys)]
    return f"{row['LUT'] / base[0]['LUT']:.3f}" if base else ""


def same(a: Mapping[str, Any], b: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    """Equal in all ``keys``."""
    return all(a[k] == b[k] for k in keys)


def main() -> None:
    """Parse the command line, run what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=EVERY, default=list(EVERY))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--engine", choices=("pyosys", "yosys"), default="pyosys")
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    data = digits()
    for name in a.networks:
        graph = check(EVERY[name](data))
        for tool in (t for t in a.tools if name != "levers" or t == "crystalc"):
            row = measure(name, tool, graph, data, a)
            if row:
                store(a.output, row)
    show(stored(a.output))


if __name__ == "__main__":
    main()
