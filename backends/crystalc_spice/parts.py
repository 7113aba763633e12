"""The parts of a circuit: a list to buy from and a netlist for KiCad."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crystalc_spice.build import Build

REFERENCES_SHOWN = 6
LEVELS = ("crossbar", "macro")
"""Levels that have parts."""

KINDS = {
    "r": ("R", "resistor"),
    "c": ("C", "capacitor"),
    "d": ("D", "diode"),
    "q": ("Q", "transistor"),
    "x": ("U", "operational amplifier"),
}
"""Letter of reference and kind, by the first letter of a netlist's line."""

MODELS = {"qn": "npn", "qp": "pnp", "diode": "", "clamp": ""}
SYMBOLS = {"operational amplifier": "OPAMP", "analog multiplier": "MULTIPLIER"}
FREE = re.compile(r"v(?!x\d+ |one |plus|minus)\w+ (\w+) (\w+) dc 0")
"""A source of 0 V that stands for an offset: a wire on a board."""


@dataclass(frozen=True)
class Part:
    """``pins``: the net at each. ``size``: ohms or farads, 0 of other kinds."""

    reference: str
    kind: str
    value: str
    size: float
    pins: tuple[str, ...]


def placed(build: Build) -> list[Part]:
    """Every part of the circuit."""
    return list(_crossbar(build) if build.level == "crossbar" else _macro(build))


def lines(parts: Sequence[Part]) -> list[tuple[str, str, str, str]]:
    """Rows of the parts list, the header first: quantity, part, value, references."""
    alike: defaultdict[tuple[str, float, str], list[str]] = defaultdict(list)
    for part in parts:
        alike[part.kind, part.size, part.value].append(part.reference)
    order = [kind for _, kind in KINDS.values()] + ["analog multiplier"]
    rows = [("quantity", "part", "value", "references")]
    for kind, size, value in sorted(alike, key=lambda k: (order.index(k[0]), *k[1:])):
        references = alike[kind, size, value]
        rows.append((str(len(references)), kind, value, _some(references)))
    return rows


def scaled(size: float) -> str:
    """4.99k, 1.2M, 820, 50p."""
    for unit, scale in (("M", 1e6), ("k", 1e3), ("", 1.0), ("n", 1e-9)):
        if size >= scale:
            return f"{size / scale:.6g}{unit}"
    return f"{size / 1e-12:.6g}p"


def kicad(parts: Sequence[Part]) -> str:
    """A netlist as pcbnew imports it: components, then nets with their pins."""
    components: list[str] = []
    nets: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for part in parts:
        symbol = SYMBOLS.get(part.kind, part.reference[0])
        components.append(
            f'    (comp (ref "{part.reference}") (value "{part.value or symbol}")'
            f' (libsource (lib "Device") (part "{symbol}") (description "")))'
        )
        for pin, net in enumerate(part.pins, start=1):
            nets["GND" if net == "0" else net].append((part.reference, pin))
    listed = [_net(code, net, pins) for code, (net, pins) in enumerate(nets.items(), start=1)]
    joined = "\n".join(listed)
    listed_parts = "\n".join(components)
    return f'(export (version "E")\n  (components\n{listed_parts})\n  (nets\n{joined}))\n'


def _crossbar(build: Build) -> Iterator[Part]:
    """An amplifier's pins are +, - and output."""
    amplifiers = (stage for stage in build.stages if "resistors" in stage)
    for k, stage in enumerate(amplifiers, start=1):
        ground = f"{stage['out']}_m"
        yield Part(f"U{k}", KINDS["x"][1], "", 0.0, ("GND", ground, stage["out"]))
        for name, rail, ohms in stage["resistors"]:
            reference = "R" + name.removeprefix("r")
            yield Part(reference, "resistor", scaled(ohms), ohms, (ground, rail))


def _macro(build: Build) -> Iterator[Part]:
    """What the netlist has outside its subcircuits. Pins are in the order of ngspice."""
    text = build.netlist.read_text(encoding="ascii")
    outside = re.sub(r"(?ms)^\.subckt .*?^\.ends", "", text)
    wires = {m[1]: m[2] for m in FREE.finditer(outside)}
    for line in outside.splitlines():
        if line[:1] in KINDS:
            yield _part(line.split(), wires, str(build.facts["opamp"]))


def _part(words: list[str], wires: Mapping[str, str], preset: str) -> Part:
    name, *nets, last = words
    letter, kind = KINDS[name[0]]
    pins = tuple(_joined(net, wires) for net in nets)
    if name[0] in "rc":
        return Part(letter + name[1:], kind, scaled(float(last)), float(last), pins)
    if last == "multiplier":
        return Part(letter + name[1:], "analog multiplier", "", 0.0, pins)
    value = preset if last == "opamp" else MODELS[last]
    return Part(letter + name[1:], kind, value, 0.0, pins)


def _joined(net: str, wires: Mapping[str, str]) -> str:
    """The net that ``net`` is one with."""
    while net in wires:
        net = wires[net]
    return net


def _net(code: int, name: str, pins: Sequence[tuple[str, int]]) -> str:
    nodes = "".join(f' (node (ref "{part}") (pin "{pin}"))' for part, pin in pins)
    return f'    (net (code "{code}") (name "{name}"){nodes})'


def _some(references: list[str]) -> str:
    shown = " ".join(references[:REFERENCES_SHOWN])
    return shown + (" ..." if len(references) > REFERENCES_SHOWN else "")
