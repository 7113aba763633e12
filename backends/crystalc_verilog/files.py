"""From modules to the text of the files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from crystalc.ir import FixedType, Graph
from crystalc.render import render, source
from crystalc.stored import to_json
from crystalc_verilog.bus import BUS_PARTS, WORD_BYTES, Sizes, byte_map, wrappers
from crystalc_verilog.circuit import WIRES
from crystalc_verilog.lower import Lowered, State
from crystalc_verilog.schedule import Schedule, live_cells
from crystalc_verilog.wires import LOOKUP_LIMIT, PRIMITIVES, Wires, lookup, table

Files = Mapping[PurePosixPath, str | bytes]

PATIENCE = 200
"""Clocks without a result, beyond the latency, after which the testbench gives up."""


@dataclass(frozen=True)
class Module:
    """A module with a streaming port at either end."""

    name: str
    input_bits: int
    output_bits: int
    address_bits: int
    data_bits: int
    lines: Sequence[str]


@dataclass(frozen=True)
class Design:
    """A whole artefact. ``beats``: into how many parts a vector is cut at input and output;
    ``parts``: files of the primitives it needs; ``area``: features of an estimate (area.py).
    """

    graph: Graph
    name: str
    beats: tuple[int, int]
    latency: int
    interval: int
    states: Sequence[State]
    modules: Sequence[str]
    parts: Sequence[str]
    cells: Mapping[str, int]
    area: Mapping[str, int] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[tuple[int, FixedType], tuple[int, FixedType]]:
        """Elements and their type at input and output."""
        types = self.graph.input.type, self.graph.output.type
        first, last = ((int(t.shape[0]), fixed(t.elem)) for t in types)
        return first, last

    @property
    def bits(self) -> tuple[int, int]:
        """Wires of a beat at input and output."""
        first, last = (
            n * t.width // beats for (n, t), beats in zip(self.ends, self.beats, strict=True)
        )
        return first, last


@dataclass(frozen=True)
class Context:
    """Everything the Verilog templates may read. No string in it comes from the model."""

    name: str
    header: Sequence[str]
    interface: Sequence[str]
    modules: Sequence[str]
    input_bits: int
    output_bits: int
    input_beats: int
    output_beats: int
    address_bits: int
    data_bits: int
    latency: int
    interval: int
    patience: int
    buses: Sequence[str]


def fixed(elem: Any) -> FixedType:
    """``elem``, which is an integer type in every fixed graph."""
    assert isinstance(elem, FixedType)
    return elem


def address_bits(states: Sequence[State]) -> int:
    """Wires of the bus address; 0 where nothing can be rewritten."""
    words = sum(s.words for s in states)
    return max(1, (words - 1).bit_length()) if words else 0


def write(design: Design, header: str) -> Files:
    """NAME.v, crystal_cells.v, NAME_tb.v, NAME.core, NAME.json, NAME.graph.json, and the buses."""
    lines = header.strip("\n").split("\n")
    context = Context(
        name=design.name,
        header=lines,
        interface=_interface(design),
        modules=[m.rstrip("\n") for m in design.modules],
        input_bits=design.bits[0],
        output_bits=design.bits[1],
        input_beats=design.beats[0],
        output_beats=design.beats[1],
        address_bits=address_bits(design.states),
        data_bits=_data_bits(design.states),
        latency=design.latency,
        interval=design.interval,
        patience=PATIENCE + 2 * design.latency,
        buses=["axil", "wb"] if design.states else [],
    )
    name = design.name
    sources = {
        f"{name}.v": render("verilog/model.v.j2", context),
        "crystal_cells.v": _primitives(design, lines),
    }
    return {
        **(wrappers(name, _sizes(design), lines) if design.states else {}),
        **{PurePosixPath(file): text for file, text in sources.items()},
        PurePosixPath(f"{name}_tb.v"): render("verilog/tb.v.j2", context),
        PurePosixPath(f"{name}.core"): render("verilog/fusesoc.core.j2", context),
        PurePosixPath(f"{name}.json"): json.dumps(_facts(design, sources), indent=1) + "\n",
        PurePosixPath(f"{name}.graph.json"): to_json(design.graph),
    }


def _sizes(design: Design) -> Sizes:
    words = sum(s.words for s in design.states)
    return Sizes(words, address_bits(design.states), _data_bits(design.states), *design.bits)


def _interface(design: Design) -> list[str]:
    """The comment that says how to talk to the module."""
    (inputs, _), (outputs, _) = design.ends
    if design.beats == (1, 1):
        return [
            f"One vector of {inputs} numbers in, one of {outputs} out, element 0 lowest.",
            f"{design.latency} clock edges from taking a vector to giving its result; "
            "one vector a clock.",
        ]
    return [
        f"{inputs} numbers in, then {outputs} out, one a clock.",
        f"{design.latency} clock edges from taking the first to giving the last; "
        f"a vector every {design.interval} clocks.",
    ]


def _data_bits(states: Sequence[State]) -> int:
    return max((s.type.width for s in states), default=0)


def module(name: str, wires: Wires, bits: tuple[int, int]) -> str:
    """A scheduled circuit as a module."""
    states = wires.lowered.states
    return render(
        "verilog/module.v.j2",
        Module(name, *bits, address_bits(states), _data_bits(states), wires.lines()),
    )


def tables(lowered: Lowered, name: str) -> list[str]:
    """The modules of the tables that are read, each content once."""
    circuit = lowered.circuit
    widths = {
        circuit.cells[c].params[0]: circuit.cells[c].type.width
        for c in live_cells(lowered)
        if circuit.cells[c].kind == "table"
    }
    return [
        _table(f"{name}_t{number:04d}", entries, widths[number])
        for entries, number in circuit.tables.items()
        if number in widths
    ]


def _table(name: str, entries: Sequence[int], width: int) -> str:
    if len(entries) <= LOOKUP_LIMIT:
        return render("verilog/lookup.v.j2", lookup(name, entries, width))
    return render("verilog/table.v.j2", table(name, entries, width))


def parts(lowered: Lowered) -> list[str]:
    """Files of the primitives that a circuit needs."""
    kinds = {lowered.circuit.cells[c].kind for c in live_cells(lowered)}
    bank = ["bank.v"] if any(not s.memory for s in lowered.states) else []
    return ["rank.v", *(PRIMITIVES[k] for k in PRIMITIVES if k in kinds), *bank]


def _primitives(design: Design, header: Sequence[str]) -> str:
    """The hand-written primitives in one file."""
    head = f"// {header[0]}\n\n`default_nettype none\n// verilator lint_off DECLFILENAME\n"
    parts = dict.fromkeys([*design.parts, *(BUS_PARTS if design.states else ())])
    texts = [source(f"verilog/{name}") for name in parts]
    return "\n".join([head, *texts, "`default_nettype wire\n"])


def _facts(design: Design, sources: Mapping[str, str]) -> dict[str, Any]:
    """What a user of the module needs to know, for programs."""
    first, last = design.ends
    return {
        "top": design.name,
        "latency": design.latency,
        "interval": design.interval,
        "input": _port(*first, design.beats[0]),
        "output": _port(*last, design.beats[1]),
        "state": [
            {
                "name": f"n{s.node:04d}",
                "role": design.graph[s.node].attrs["role"],
                "address": s.address,
                "byte_address": WORD_BYTES * s.address,
                "shape": s.shape,
                "width": s.type.width,
                "signed": s.type.signed,
            }
            for s in design.states
        ],
        "address_bits": address_bits(design.states),
        "data_bits": _data_bits(design.states),
        "bus": byte_map(_sizes(design)) if design.states else None,
        "cells": design.cells,
        "area": dict(sorted((k, v) for k, v in design.area.items() if v)),
        "sha256": {file: sha256(text.encode()).hexdigest() for file, text in sources.items()},
    }


def _port(elements: int, elem: FixedType, beats: int) -> dict[str, Any]:
    return {
        "elements": elements,
        "beats": beats,
        "width": elem.width,
        "signed": elem.signed,
        "frac": elem.frac,
    }


def count(found: Iterable[tuple[Lowered, Schedule]]) -> dict[str, int]:
    """Cells by kind, and bits of adders, of pipeline registers and of state."""
    total: Counter[str] = Counter()
    for lowered, schedule in found:
        cells = lowered.circuit.cells
        live = live_cells(lowered)
        total.update(cells[c].kind for c in live)
        total["adder_bits"] += sum(cells[c].type.width for c in live if cells[c].kind == "add")
        total["register_bits"] += sum(cells[c].type.width for rank in schedule.ranks for c in rank)
        total["state_bits"] += sum(s.words * s.type.width for s in lowered.states)
    wires = {"input", "const", "state", *WIRES}
    return {kind: total[kind] for kind in sorted(total) if kind not in wires}
