"""A flat design of Yosys' own cells: what one clock of it computes, as Yosys reads the text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalc.diagnostics import ToolError
from crystalc_verilog.engine import Engine

Net = int | str
"""A net's number, or "0", "1", "x"."""


@dataclass(frozen=True)
class Gate:
    """A cell without a clock. ``params``: those that say what it computes; ``ports``: operands."""

    kind: str
    params: Mapping[str, int]
    ports: Mapping[str, tuple[Net, ...]]
    out: tuple[Net, ...]


@dataclass(frozen=True)
class Flop:
    """q <= d at every clock."""

    name: str
    q: tuple[Net, ...]
    d: tuple[Net, ...]


@dataclass(frozen=True)
class Memory:
    """Words of ``width`` bits. ``writes``: (address, data, enable of each bit), later ones win;
    ``initial``: the words at power-up, None where the text gives none.
    """

    name: str
    width: int
    size: int
    initial: Sequence[int | None]
    writes: Sequence[tuple[tuple[Net, ...], tuple[Net, ...], tuple[Net, ...]]]


@dataclass(frozen=True)
class Flat:
    """``gates`` stand in the order in which they can be computed; kind "read" is a memory's
    port, whose ``params["memory"]`` counts in ``memories``. ``apart``: the module and the ports of
    each instance that was left out.
    """

    ports: Mapping[str, tuple[Net, ...]]
    gates: Sequence[Gate]
    flops: Sequence[Flop]
    memories: Sequence[Memory]
    apart: Sequence[tuple[str, Mapping[str, tuple[Net, ...]]]] = ()


def read(engine: Engine, build: Path, top: str, folder: Path, apart: Sequence[str] = ()) -> Flat:
    """Module ``top`` of a build without the modules ``apart`` in it, flat. Raises ToolError."""
    for name in ("crystal_cells.v", f"{top}.v"):
        (folder / name).write_bytes((build / name).read_bytes())
    script = [
        f"read_verilog -defer crystal_cells.v {top}.v",
        f"hierarchy -top {top}",
        *(f"select -set apart =*{name}*; blackbox @apart" for name in apart),
        "proc",
        "flatten",
        "opt_expr",
        "opt_clean",
        "memory_collect",
        "opt_clean",
        "write_json flat.json",
    ]
    engine.run(script, folder)
    return parse(json.loads((folder / "flat.json").read_text("utf-8"))["modules"][top])


def parse(module: Mapping[str, Any]) -> Flat:
    """A flat module as Yosys writes it in JSON. Raises ToolError for a cell unknown here."""
    flops, gates, memories, apart = [], [], list[Memory](), []
    for name, cell in module["cells"].items():
        kind = cell["type"]
        if kind == "$scopeinfo":
            continue
        wires = {port: tuple(bits) for port, bits in cell["connections"].items()}
        if kind == "$dff":
            flops.append(Flop(name, wires["Q"], wires["D"]))
        elif kind == "$mem_v2":
            gates += _reads(cell, wires, len(memories))
            memories.append(_memory(name, cell, wires))
        elif kind.startswith(("$paramod", "crystal_")):
            apart.append((kind, wires))
        elif "Y" in wires:
            params = {k: int(v, 2) for k, v in cell["parameters"].items()}
            ports = {p: w for p, w in wires.items() if p != "Y"}
            gates.append(Gate(kind, params, ports, wires["Y"]))
        else:
            raise ToolError(f"the proof does not know the cell {kind}")
    ports = {name: tuple(port["bits"]) for name, port in module["ports"].items()}
    return Flat(ports, _ordered(gates, flops, ports), flops, memories, apart)


def _pieces(bits: Sequence[Net], width: int) -> list[tuple[Net, ...]]:
    return [tuple(bits[k : k + width]) for k in range(0, len(bits), width)]


def _reads(cell: Mapping[str, Any], wires: Mapping[str, tuple[Net, ...]], at: int) -> list[Gate]:
    p = {k: v for k, v in cell["parameters"].items() if k in ("ABITS", "WIDTH", "RD_CLK_ENABLE")}
    if int(p["RD_CLK_ENABLE"], 2):
        raise ToolError("the proof does not know memories with a clocked read port")
    wide, bits = int(p["WIDTH"], 2), int(p["ABITS"], 2)
    pairs = zip(_pieces(wires["RD_ADDR"], bits), _pieces(wires["RD_DATA"], wide), strict=True)
    return [Gate("read", {"memory": at}, {"A": a}, d) for a, d in pairs]


def _memory(name: str, cell: Mapping[str, Any], wires: Mapping[str, tuple[Net, ...]]) -> Memory:
    p = cell["parameters"]
    wide, size, bits = (int(p[k], 2) for k in ("WIDTH", "SIZE", "ABITS"))
    text = p["INIT"][::-1]
    words = [text[k * wide : (k + 1) * wide][::-1] for k in range(size)]
    initial = [None if not w or "x" in w else int(w, 2) for w in words]
    writes = zip(
        _pieces(wires["WR_ADDR"], bits),
        _pieces(wires["WR_DATA"], wide),
        _pieces(wires["WR_EN"], wide),
        strict=True,
    )
    return Memory(name, wide, size, initial, list(writes))


def _ordered(
    gates: Sequence[Gate], flops: Iterable[Flop], ports: Mapping[str, tuple[Net, ...]]
) -> list[Gate]:
    """Operands first. Raises ToolError where gates make a loop."""
    driver = {bit: k for k, gate in enumerate(gates) for bit in gate.out}
    done, order, waiting = set[int](), list[Gate](), set[int]()
    for start in range(len(gates)):
        todo = [start]
        while todo:
            k = todo[-1]
            needs = {driver[b] for w in gates[k].ports.values() for b in w if b in driver}
            missing = needs - done
            if k in done or not missing:
                todo.pop()
                waiting.discard(k)
                if k not in done:
                    done.add(k)
                    order.append(gates[k])
                continue
            if k in waiting and missing & waiting:
                raise ToolError("gates of the design make a loop")
            waiting.add(k)
            todo += missing
    return order
