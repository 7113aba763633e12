"""The parts of a crossbar: a list to buy from and a netlist for KiCad."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from crystalc_spice.build import Build

REFERENCES_SHOWN = 6

Pins = list[tuple[str, int]]


def lines(build: Build) -> list[tuple[str, ...]]:
    """Rows of the parts list, the header first: quantity, part, value, references."""
    by_value: defaultdict[float, list[str]] = defaultdict(list)
    for name, ohms in build.resistors.items():
        by_value[ohms].append(_reference(name))
    rows = [("quantity", "part", "value", "references")]
    for ohms in sorted(by_value):
        rows.append((str(len(by_value[ohms])), "resistor", in_ohms(ohms), _some(by_value[ohms])))
    amplifiers = [f"U{k}" for k in range(1, len(build.offsets) + 1)]
    return [*rows, (str(len(amplifiers)), "operational amplifier", "", _some(amplifiers))]


def in_ohms(ohms: float) -> str:
    """4.99k, 1.2M, 820."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if ohms >= scale:
            return f"{ohms / scale:.6g}{unit}"
    return f"{ohms:.6g}"


def kicad(build: Build) -> str:
    """A netlist as pcbnew imports it: components, then nets with their pins."""
    components: list[str] = []
    nets: defaultdict[str, Pins] = defaultdict(list)
    for part, value, pins in _components(build):
        symbol = "R" if part.startswith("R") else "OPAMP"
        components.append(
            f'    (comp (ref "{part}") (value "{value}")'
            f' (libsource (lib "Device") (part "{symbol}") (description "")))'
        )
        for pin, net in enumerate(pins, start=1):
            nets[net].append((part, pin))
    listed = [_net(code, net, pins) for code, (net, pins) in enumerate(nets.items(), start=1)]
    parts = "\n".join(components)
    joined = "\n".join(listed)
    return f'(export (version "E")\n  (components\n{parts})\n  (nets\n{joined}))\n'


def _components(build: Build) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Reference, value and the net at each pin; an amplifier's pins are +, - and output."""
    amplifiers = (stage for stage in build.stages if "resistors" in stage)
    for k, stage in enumerate(amplifiers, start=1):
        ground = f"{stage['out']}_m"
        yield f"U{k}", "OPAMP", ("GND", ground, stage["out"])
        for name, rail, ohms in stage["resistors"]:
            yield _reference(name), in_ohms(ohms), (ground, rail)


def _net(code: int, name: str, pins: Pins) -> str:
    nodes = "".join(f' (node (ref "{part}") (pin "{pin}"))' for part, pin in pins)
    return f'    (net (code "{code}") (name "{name}"){nodes})'


def _reference(name: str) -> str:
    return "R" + name.removeprefix("r")


def _some(references: list[str]) -> str:
    shown = " ".join(references[:REFERENCES_SHOWN])
    return shown + (" ..." if len(references) > REFERENCES_SHOWN else "")
