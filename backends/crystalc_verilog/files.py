"""From a scheduled circuit to the text of the files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from crystalc.ir import FixedType, Graph
from crystalc.render import render, source
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import Schedule, live_cells
from crystalc_verilog.wires import PRIMITIVES, Wires, table_module

Files = Mapping[PurePosixPath, str | bytes]

PATIENCE = 200
"""Clocks without a result, beyond those of the pipeline, after which the testbench gives up."""


@dataclass(frozen=True)
class Table:
    """One ``case``: ``lines`` of its items."""

    name: str
    index_width: int
    width: int
    lines: Sequence[str]
    default: str


@dataclass(frozen=True)
class Context:
    """Everything the Verilog templates may read. No string in it comes from the model."""

    name: str
    header: Sequence[str]
    inputs: int
    outputs: int
    input_bits: int
    output_bits: int
    address_bits: int
    data_bits: int
    latency: int
    patience: int
    lines: Sequence[str]
    tables: Sequence[str]
    sources: Sequence[str]


def write(graph: Graph, lowered: Lowered, schedule: Schedule, name: str, header: str) -> Files:
    """NAME.v, crystal_cells.v, NAME_tb.v, NAME.core and NAME.json."""
    words = sum(s.words for s in lowered.states)
    address_bits = max(1, (words - 1).bit_length()) if words else 0
    inputs, outputs = graph.input.type, graph.output.type
    wires = Wires(lowered, schedule, name, address_bits, _fixed(outputs.elem).width)
    context = Context(
        name=name,
        header=header.strip("\n").split("\n"),
        inputs=inputs.shape[0],
        outputs=outputs.shape[0],
        input_bits=inputs.shape[0] * _fixed(inputs.elem).width,
        output_bits=outputs.shape[0] * _fixed(outputs.elem).width,
        address_bits=address_bits,
        data_bits=max((s.type.width for s in lowered.states), default=0),
        latency=schedule.latency,
        patience=PATIENCE + schedule.latency,
        lines=wires.lines(),
        tables=_tables(lowered, name),
        sources=("crystal_cells.v", f"{name}.v"),
    )
    return {
        PurePosixPath(f"{name}.v"): render("verilog/model.v.j2", context),
        PurePosixPath("crystal_cells.v"): _cells(lowered, context.header),
        PurePosixPath(f"{name}_tb.v"): render("verilog/tb.v.j2", context),
        PurePosixPath(f"{name}.json"): json.dumps(
            _facts(graph, lowered, schedule, context), indent=1
        )
        + "\n",
    }


def _fixed(elem: Any) -> FixedType:
    assert isinstance(elem, FixedType)
    return elem


def _tables(lowered: Lowered, name: str) -> list[str]:
    """The modules of the tables that are read, each content once."""
    circuit = lowered.circuit
    users = {
        circuit.cells[c].params[0]: circuit.cells[c]
        for c in live_cells(lowered)
        if circuit.cells[c].kind == "table"
    }
    made = []
    for entries, number in circuit.tables.items():
        if number in users:
            parts = table_module(f"{name}_t{number:04d}", entries, users[number])
            made.append(render("verilog/table.v.j2", Table(**parts)))  # type: ignore[arg-type]
    return made


def _cells(lowered: Lowered, header: Sequence[str]) -> str:
    """The hand-written primitives that this model needs, in one file."""
    kinds = {lowered.circuit.cells[c].kind for c in live_cells(lowered)}
    names = ["rank.v", *(PRIMITIVES[k] for k in PRIMITIVES if k in kinds)]
    if any(not s.memory for s in lowered.states):
        names.append("bank.v")
    head = "".join(f"// {line}\n" for line in header[:1])
    parts = [source(f"verilog/{n}") for n in names]
    return "\n".join(
        [
            head,
            "`default_nettype none\n// verilator lint_off DECLFILENAME\n",
            *parts,
            "`default_nettype wire\n",
        ]
    )


def _facts(graph: Graph, lowered: Lowered, schedule: Schedule, context: Context) -> dict[str, Any]:
    """What a user of the module needs to know, for programs."""
    return {
        "top": context.name,
        "latency": schedule.latency,
        "interval": 1,
        "input": _port(context.inputs, _fixed(graph.input.type.elem)),
        "output": _port(context.outputs, _fixed(graph.output.type.elem)),
        "state": [
            {
                "name": f"n{s.node:04d}",
                "address": s.address,
                "shape": s.shape,
                "width": s.type.width,
                "signed": s.type.signed,
            }
            for s in lowered.states
        ],
        "address_bits": context.address_bits,
        "data_bits": context.data_bits,
        "cells": count(lowered, schedule),
    }


def _port(elements: int, elem: FixedType) -> dict[str, Any]:
    return {"elements": elements, "width": elem.width, "signed": elem.signed, "frac": elem.frac}


def count(lowered: Lowered, schedule: Schedule) -> dict[str, int]:
    """Cells by kind, and bits of adders and of pipeline registers."""
    cells = lowered.circuit.cells
    live = live_cells(lowered)
    kinds = Counter(cells[c].kind for c in live)
    wanted = sorted(set(kinds) - {"input", "const", "state", "left", "bits", "flip"})
    return {
        **{kind: kinds[kind] for kind in wanted},
        "adder_bits": sum(cells[c].type.width for c in live if cells[c].kind == "add"),
        "register_bits": sum(cells[c].type.width for rank in schedule.ranks for c in rank),
        "state_bits": sum(s.words * s.type.width for s in lowered.states),
    }
