"""The emitted top module as Yosys reads it: words, instances of primitives, registers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalc.diagnostics import refuse
from crystalc_verilog.engine import Engine

Bit = int | str
"""A net's number, or "0", "1", "x"."""

Bits = tuple[Bit, ...]
"""Wires side by side, lowest first."""

CLOCKED = frozenset({"crystal_rank", "crystal_bank", "crystal_memory"})
"""Primitives with a clock."""

GATES: Mapping[str, str] = {"$mux": "ABSY", "$reduce_or": "AY"}
"""Operators between the instances, and the ports of each; the result is the last."""


@dataclass(frozen=True)
class Instance:
    """A primitive or table in the top module; ``ports`` in the order of its header."""

    name: str
    kind: str
    params: tuple[int, ...]
    ports: tuple[Bits, ...]

    @property
    def args(self) -> tuple[Bits, ...]:
        """The operands."""
        return self.ports[:-1]

    @property
    def out(self) -> Bits:
        """The result."""
        return self.ports[-1]


@dataclass(frozen=True)
class Register:
    """q <= d where ``enable`` is 1."""

    q: Bits
    d: Bits
    enable: Bit


@dataclass(frozen=True)
class Netlist:
    """``driver``: what drives a bit, and at which place of its word. ``names``: of words."""

    ports: Mapping[str, Bits]
    instances: Sequence[Instance]
    registers: Sequence[Register]
    driver: Mapping[Bit, tuple[Instance | Register, int]]
    inverted: Mapping[Bit, Bit]
    names: Mapping[Bits, str]

    def name(self, bits: Bits) -> str:
        """The name the emitted text uses, if it has one."""
        return self.names.get(bits, "a wire without a name")


def read(engine: Engine, build: Path, top: str, folder: Path) -> Netlist:
    """``top`` of BUILD/TOP.v, its instances left whole. Raises ToolError."""
    script = [
        f"read_verilog {folder / 'design.v'}",
        "proc -norom -noopt",
        f"select {top}",
        f"write_json -selected {folder / 'top.json'}",
    ]
    (folder / "design.v").write_bytes((build / f"{top}.v").read_bytes())
    engine.run(script, folder)
    return parse(json.loads((folder / "top.json").read_text(encoding="utf-8"))["modules"][top])


def parse(module: Mapping[str, Any]) -> Netlist:
    """A module as Yosys writes it in JSON."""
    alias, inverted = _flipped(module["cells"])
    cells = _renamed(module["cells"], alias)
    registers = _registers(cells)
    instances = [
        _instance(name, cell) for name, cell in cells.items() if not cell["type"].startswith("$")
    ]
    instances += _gates(cells)
    driver: dict[Bit, tuple[Instance | Register, int]] = {}
    words: list[tuple[Instance | Register, Bits]] = [(r, r.q) for r in registers]
    words += [(i, i.out) for i in instances if i.kind != "crystal_rank"]
    for made, word in words:
        driver.update((bit, (made, k)) for k, bit in enumerate(word))
    names = {
        tuple(alias.get(b, b) for b in net["bits"]): name
        for name, net in module["netnames"].items()
        if name[0] != "$"
    }
    ports = {
        name: tuple(alias.get(b, b) for b in port["bits"]) for name, port in module["ports"].items()
    }
    return Netlist(ports, instances, registers, driver, inverted, names)


def _flipped(cells: Mapping[str, Any]) -> tuple[dict[Bit, Bit], dict[Bit, Bit]]:
    """Wires that are another wire, and wires that are another wire inverted: of ~a and of
    a ^ constant.
    """
    source: dict[Bit, tuple[Bit, bool]] = {}
    for cell in cells.values():
        a, b, y = (cell["connections"].get(port, []) for port in "ABY")
        if cell["type"] == "$not":
            source.update((there, (here, True)) for here, there in zip(a, y, strict=False))
        elif cell["type"] == "$xor" and set(b) <= {"0", "1"}:
            source.update(
                (there, (here, flip == "1")) for here, flip, there in zip(a, b, y, strict=False)
            )
    ends = {there: _source(there, source) for there in source}
    alias = {there: here for there, (here, flip) in ends.items() if not flip}
    return alias, {there: here for there, (here, flip) in ends.items() if flip}


def _source(bit: Bit, source: Mapping[Bit, tuple[Bit, bool]]) -> tuple[Bit, bool]:
    """The wire that ``bit`` is in the end, and is it inverted?"""
    flipped = False
    while bit in source:
        bit, once = source[bit]
        flipped ^= once
    return bit, flipped


def _renamed(cells: Mapping[str, Any], alias: Mapping[Bit, Bit]) -> dict[str, Any]:
    """The cells with one name for each wire; what only gives names is left out."""
    return {
        name: cell
        | {"connections": {p: [alias.get(b, b) for b in w] for p, w in cell["connections"].items()}}
        for name, cell in cells.items()
        if cell["type"] != "$xor"
    }


def _gates(cells: Mapping[str, Any]) -> list[Instance]:
    """Choices and ors between the instances, none of which only enables a register."""
    ends = {tuple(c["connections"].get("D", ())) for c in cells.values() if c["type"] == "$dff"}
    made = [
        Instance(name, c["type"], (), tuple(tuple(c["connections"][p]) for p in GATES[c["type"]]))
        for name, c in cells.items()
        if c["type"] in GATES
    ]
    return [gate for gate in made if gate.kind != "$mux" or gate.out not in ends]


def _instance(name: str, cell: Mapping[str, Any]) -> Instance:
    params = tuple(_number(v) for _, v in _ordered(cell["parameters"]))
    ports = tuple(tuple(bits) for _, bits in _ordered(cell["connections"]))
    return Instance(name, str(cell["type"]), params, ports)


def _ordered(given: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """Parameters or ports by position: "$1", "$2", ..."""
    try:
        return sorted((int(k.removeprefix("$")), v) for k, v in given.items())
    except ValueError:
        raise refuse("the design is not as crystalc wrote it: a port is given by name") from None


def _number(text: Any) -> int:
    return text if isinstance(text, int) else int(str(text), 2)


def _registers(cells: Mapping[str, Any]) -> list[Register]:
    """Every flip-flop with what its multiplexer lets in; without one it is always enabled."""
    muxes = {
        tuple(c["connections"]["Y"]): c["connections"]
        for c in cells.values()
        if c["type"] == "$mux"
    }
    made = []
    for cell in cells.values():
        if cell["type"] != "$dff":
            continue
        q, d = (tuple(cell["connections"][port]) for port in "QD")
        mux = muxes.get(d)
        if mux is not None and tuple(mux["A"]) == q:
            made.append(Register(q, tuple(mux["B"]), mux["S"][0]))
        else:
            made.append(Register(q, d, "1"))
    return made
