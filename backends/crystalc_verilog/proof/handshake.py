"""Promises of the ports, for all time, by ABC's ``pdr`` on the control of the emitted design.

The data are left out: every register is known to load with its rank, so a one-bit tag that does
the same stands for all of them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from crystalc.diagnostics import ToolError
from crystalc.render import source
from crystalc_verilog.engine import Engine
from crystalc_verilog.proof.netlist import Bit, Netlist
from crystalc_verilog.proof.sat import OPEN, PROVED, REFUTED, Verdict, call

PROMISES = (
    "a result that waits is held and does not change",
    "no vector is lost, doubled or overtaken",
    "as many are on the way as went in and did not come out",
    "reset leaves nothing on the way",
    "a vector is out after as many ready clocks as there are ranks",
    "a ready output opens the input",
    "a bus write meets no vector",
)


def gates(
    netlist: Netlist, loads: Mapping[Bit, int], top: str, engine: Engine, folder: Path
) -> None:
    """The watched control as ``control.blif``. Raises ToolError."""
    names = [netlist.name((bit,)) for bit in loads]
    bus = "cfg_valid" in netlist.ports
    (folder / "watch.v").write_text(_harness(names, top, bus), encoding="utf-8")
    data = [f"{top}/{kind}:{port}" for kind, port in _data(netlist)]
    script = [
        "read_verilog -defer cells.v design.v",
        f"hierarchy -top {top}",
        "proc -norom",
        "flatten",
        f"delete -port {' '.join(data)}",
        f"expose {' '.join(f'{top}/w:{name}' for name in names)}",
        "opt_clean -purge",
        "read_verilog watch.v",
        "hierarchy -top watched",
        "proc",
        "flatten",
        "opt -full",
        "memory_map",
        "techmap",
        "opt -fast",
        "dffunmap",
        "opt_clean -purge",
        "write_blif control.blif",
    ]
    engine.run(script, folder)


def _data(netlist: Netlist) -> list[tuple[str, str]]:
    found = [("i", "in_data"), ("o", "out_data")]
    return [*found, *(("i", p) for p in ("cfg_address", "cfg_data") if p in netlist.ports)]


def _harness(loads: list[str], top: str, bus: bool) -> str:
    """The first clock is a reset; everything after it is free."""
    ports = ["clk", "rst", "in_valid", "in_ready", "out_valid", "out_ready"]
    given = [f".{p}({p})" for p in [*ports, *(["cfg_valid", "cfg_ready"] if bus else [])]]
    given += [f".{name}(load[{k}])" for k, name in enumerate(loads)]
    n = len(loads)
    return source("verilog/watch.v") + "\n".join(
        [
            "module watched (input clk, free, in_valid, out_ready, mark, bus, output [6:0] bad);",
            "    reg started; initial started = 0;",
            "    always @(posedge clk) started <= 1;",
            "    wire rst = free | ~started;",
            "    wire in_ready, out_valid;",
            f"    wire cfg_valid = {'bus' if bus else 0}, cfg_ready;",
            *([] if bus else ["    assign cfg_ready = 0;"]),
            f"    wire [{n - 1}:0] load;",
            f"    {top} dut ({', '.join(given)});",
            f"    crystal_watch #({n}) watch (clk, rst, in_valid, in_ready, out_valid, out_ready,",
            "        cfg_valid, cfg_ready, load, mark, bad);",
            "endmodule",
            "",
        ]
    )


def prove(abc: str, folder: Path, bus: bool, limit: float) -> Iterator[tuple[str, Verdict]]:
    """Each promise. Raises ToolError when ABC does not answer as expected."""
    for k, promise in enumerate(PROMISES[: None if bus else -1]):
        started = time.perf_counter()
        said = _ask(abc, k, folder, limit)
        yield promise, Verdict(_status(said), time.perf_counter() - started, _frame(said))


def _ask(abc: str, promise: int, folder: Path, limit: float) -> str | None:
    """What pdr says. When scorr has settled the promise alone, pdr has nothing left to do."""
    start = f"read_blif control.blif; undc; strash; cone -O {promise}; "
    said = call(abc, start + "scorr; pdr", folder, limit)
    if said is not None and "UNDECIDED" in said:
        said = call(abc, start + "pdr", folder, limit)
    return said


def _status(said: str | None) -> str:
    if said is None:
        return OPEN
    if "Property proved" in said:
        return PROVED
    if "was asserted in frame" in said:
        return REFUTED
    raise ToolError("yosys-abc gave no verdict", details=said)


def _frame(said: str | None) -> dict[str, int]:
    found = re.search(r"asserted in frame (\d+)", said or "")
    return {"clock": int(found[1])} if found else {}
