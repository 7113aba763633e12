"""From a netlist to the files of the artefact."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from crystalc.backend import Files
from crystalc.render import render
from crystalc_spice.netlist import Netlist, folded


@dataclass(frozen=True)
class Context:
    """Everything the netlist template may read. No string in it comes from the model."""

    name: str
    level: str
    header: Sequence[str]
    inputs: int
    outputs: Sequence[str]
    options: str
    lines: Sequence[str]
    saved: Sequence[str]


@dataclass(frozen=True)
class Circuit:
    """A whole artefact. ``outputs``: nets of the results; ``states``: nets that may be altered."""

    name: str
    level: str
    inputs: int
    outputs: Sequence[str]
    options: str
    netlist: Netlist
    facts: Mapping[str, Any]


def write(circuit: Circuit, header: str) -> Files:
    """NAME.cir and NAME.json."""
    context = Context(
        name=circuit.name,
        level=circuit.level,
        header=header.strip("\n").split("\n"),
        inputs=circuit.inputs,
        outputs=circuit.outputs,
        options=circuit.options,
        lines=circuit.netlist.lines,
        saved=folded(".save", (f"v({net})" for net in circuit.outputs)),
    )
    facts = {
        "level": circuit.level,
        "inputs": circuit.inputs,
        "outputs": list(circuit.outputs),
        "elements": circuit.netlist.counts(),
        **circuit.facts,
    }
    return {
        PurePosixPath(f"{circuit.name}.cir"): render("spice/netlist.cir.j2", context),
        PurePosixPath(f"{circuit.name}.json"): json.dumps(facts, indent=1) + "\n",
    }
