"""From a netlist to the files of the artefact."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from crystalc.backend import Files
from crystalc.render import render
from crystalc_spice.cells import BOLTZMANN
from crystalc_spice.mos import BIAS, SUPPLY
from crystalc_spice.netlist import Netlist, folded, number
from crystalc_spice.opamps import OpAmp, multiplier, supply, transistors

POLE_FARADS = 1e-9
"""Inside an amplifier."""


@dataclass(frozen=True)
class Context:
    """Everything the netlist template may read. No string in it comes from the model."""

    name: str
    level: str
    header: Sequence[str]
    inputs: int
    outputs: Sequence[str]
    options: str
    library: Sequence[str]
    lines: Sequence[str]
    saved: Sequence[str]


@dataclass(frozen=True)
class Library:
    """What the template of the parts may read: numbers, and words of our own data file."""

    name: str
    description: str
    gbw: str
    slew: str
    current: str
    noise_ohms: str
    transconductance: str
    pole_ohms: str
    resistance: str
    slew_current: str
    per_slew: str
    multiplier_farads: str
    multiplier_current: str
    saturation: str
    beta: str
    early: str
    emitter: str
    supply: str


def library(part: OpAmp) -> list[str]:
    """Subcircuits and models of level ``macro``, one line each.

    An amplifier is a transconductance into 1 nF, which gives the pole, and a buffer. A resistor
    whose thermal noise is the amplifier's stands in its input.
    """
    gm = 2 * math.pi * part.gbw * POLE_FARADS
    limit = part.slew * POLE_FARADS
    product, pair = multiplier(), transistors()
    numbers = {
        "gbw": part.gbw,
        "slew": part.slew,
        "current": part.current,
        "noise_ohms": part.noise**2 / (4 * BOLTZMANN * 300.15),
        "transconductance": gm,
        "pole_ohms": part.gain / gm,
        "resistance": part.resistance,
        "slew_current": limit,
        "per_slew": gm / limit,
        "multiplier_farads": 1 / (2 * math.pi * product.bandwidth * 1e3),
        "multiplier_current": product.current,
        "saturation": pair.saturation,
        "beta": pair.beta,
        "early": pair.early,
        "emitter": pair.emitter,
        "supply": supply(),
    }
    words = {name: f"{value:.9g}" for name, value in numbers.items()}
    context = Library(name=part.name, description=part.description, **words)
    return render("spice/parts.cir.j2", context).rstrip("\n").split("\n")


@dataclass(frozen=True)
class Chip:
    """What the template of level ``mos`` may read: volts and amperes."""

    supply: str
    bias: str


def transistors_library() -> list[str]:
    """Models and the cell of level ``mos``, one line each."""
    context = Chip(supply=number(SUPPLY), bias=number(BIAS))
    return render("spice/mos.cir.j2", context).rstrip("\n").split("\n")


@dataclass(frozen=True)
class Circuit:
    """A whole artefact. ``outputs``: nets of the results."""

    name: str
    level: str
    inputs: int
    outputs: Sequence[str]
    options: str
    library: Sequence[str]
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
        library=circuit.library,
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
