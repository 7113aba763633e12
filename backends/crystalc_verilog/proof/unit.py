"""The unit of --argmax behind a folded design: proved by itself, for all time.

The design before it is followed up to the unit's input, where it promises N results a vector to
whoever takes them by valid and ready; the unit is shown to take N and give the place of the first
largest, again and again. Both begin anew at reset, so the two together do what the graph says.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from crystalc.ir import Op
from crystalc.render import source
from crystalc_verilog.engine import Engine
from crystalc_verilog.files import fixed
from crystalc_verilog.proof.build import Build
from crystalc_verilog.proof.machine import Broken
from crystalc_verilog.proof.rtl import Flat, Net
from crystalc_verilog.proof.sat import OPEN, PROVED, REFUTED, Verdict

UNIT = "crystal_argmax"
STEPS = 8
"""Clocks after reset in which a broken promise is looked for."""

CLAIM = "argmax: the place of the first largest of each vector's results, once"


def unit_ports(flat: Flat) -> dict[str, tuple[Net, ...]]:
    """The nets at the unit's input, as ports of the design before it. Raises Broken where the
    unit's output is not that of the design.
    """
    if len(flat.apart) != 1:
        raise Broken("there is not one unit of --argmax")
    [(_, unit)] = flat.apart
    same = all(unit[p] == flat.ports[p] for p in ("clk", "rst", "out_valid", "out_ready"))
    index, data = unit["out_data"], flat.ports["out_data"]
    if not same or data[: len(index)] != index or set(data[len(index) :]) - {"0"}:
        raise Broken("the unit of --argmax does not drive the output")
    pairs = {"out_valid": "in_valid", "out_ready": "in_ready", "out_data": "in_data"}
    return {port: unit[its] for port, its in pairs.items()}


def without_argmax(build: Build) -> Build:
    """The build whose outputs are the numbers that the unit compares."""
    *rest, argmax, last = build.graph.nodes
    assert argmax.op is Op.ARGMAX
    [given] = argmax.inputs
    ended = replace(last, inputs=(given,), type=build.graph[given].type)
    return replace(build, graph=replace(build.graph, nodes=(*rest, ended)))


def prove(build: Build, module: str, engine: Engine, folder: Path, limit: float) -> Verdict:
    """By induction over clocks, of the unit as the elaborated ``module``. Raises ToolError."""
    graph = build.graph
    given = graph[graph[graph.find(Op.ARGMAX)[0]].inputs[0]]
    kind = fixed(given.type.elem)
    count = int(given.type.shape[0])
    (folder / "watch_argmax.v").write_text(source("verilog/watch_argmax.v"), encoding="utf-8")
    bits = {"W": kind.width, "WI": max(1, (count - 1).bit_length())}
    parameters = {"N": count, "S": int(kind.signed), **bits}
    script = [
        f"read_verilog -defer crystal_cells.v {build.top}.v",
        f"hierarchy -top {build.top}",
        f"rename {module} unit",
        "expose unit/w:count unit/w:best unit/w:best_index",
        "read_verilog -defer watch_argmax.v",
        "chparam " + " ".join(f"-set {k} {v}" for k, v in parameters.items()) + " watched_argmax",
        "hierarchy -top watched_argmax",
        "proc",
        "flatten",
        "opt -full",
        "dffunmap",
        f"sat -tempinduct -prove bad 0 -maxsteps {STEPS} -timeout {limit:.0f} watched_argmax",
    ]
    started = time.perf_counter()
    said = engine.run(script, folder)
    proved, broken = "Induction step proven: SUCCESS!" in said, "model found for base case" in said
    status = PROVED if proved else REFUTED if broken else OPEN
    return Verdict(status, time.perf_counter() - started)
