"""Level ``macro``: operational amplifiers, transistors and resistors; no ideal source computes.

Sums are amplifiers, a square root is the mean of two logarithms of currents, an exponential one
transistor, max(0, .) a diode in a loop, a square an analog multiplier. Supplies are +-5 V, so every
net carries its value times a scale of its own: ``units`` is the value of one volt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, Diagnostic
from crystalc.ir import Graph, Loc, Node, Op
from crystalc_spice.behavioral import Sum
from crystalc_spice.cells import (
    BOLTZMANN,
    CHARGE,
    Amplifier,
    Antilog,
    Exponential,
    Follower,
    Log,
    Rectifier,
    Reference,
    Resistors,
    Source,
)
from crystalc_spice.crossbar import TRIMMED, Crossbar
from crystalc_spice.netlist import number
from crystalc_spice.opamps import OpAmp, opamp
from crystalc_spice.steering import FEEDBACK

Array = NDArray[np.float64]

THERMAL = BOLTZMANN * TRIMMED / CHARGE
"""kT/q in volts where the kernels are trimmed."""

SWING = 2.5
"""Volts of the largest value that the samples give a net."""

CURRENT = 50e-6
"""Amperes of the largest exponential: its base current flows through a divider."""

LOG_CURRENT = 200e-6
"""Amperes of the largest argument of a square root: its resistors stay below 10 M."""

MEAN = 1e3
"""Ohms of each resistor of a mean."""

BASE = 100.0
"""Ohms from the base of an exponential to ground."""

SHALLOWEST = -0.01
"""Exponent that has CURRENT, at most: its divider has a resistor that exists."""

STEEPEST = 0.5
"""Ratio of a divider above which an amplifier takes its place."""

DEEPEST = 12.0
"""Exponents further below the largest are left to an amplifier's saturation."""

GROUP = 32
"""Exponentials on one reference: their emitter currents flow through one amplifier."""

STRAY = 2e-12
"""Farads across every feedback resistor."""

LINEAR = frozenset({Op.INPUT, Op.OUTPUT, Op.CONST, Op.MATMUL, Op.SUMSQ, Op.ADD, Op.SUB})
CAUSES = {
    Op.GELU: Loc("config.activation"),
    Op.DISTANCE: Loc("config.metric"),
    Op.SOFTMAX: Loc("config.normalized"),
}
"""Entry of the model that an op without a circuit comes from."""

KERNELS = "laplace and gauss (l2, not normalized) and radial with relu (l2)"


def unsupported(graph: Graph) -> list[Diagnostic]:
    """Every kind of node that has no circuit at this level, once, where the model asks for it."""
    hint = f"kernels of level macro: {KERNELS}"
    found = [
        Diagnostic(
            f"level macro has no circuit for '{_called(node)}'", CAUSES.get(node.op, node.loc), hint
        )
        for _, node in graph
        if not _has_circuit(graph, node)
    ]
    return list(dict.fromkeys(found))


def _has_circuit(graph: Graph, node: Node) -> bool:
    if node.op is Op.DISTANCE:
        return node.attrs["metric"] == "l2"
    if node.op in (Op.MUL, Op.DIV):
        constants = [graph[j].op is Op.CONST for j in node.inputs]
        return constants[1] or (node.op is Op.MUL and constants[0])
    return node.op in LINEAR or node.op in CELLS


def _called(node: Node) -> str:
    metric = node.attrs.get("metric", "")
    return f"{node.op.value} {metric}".rstrip()


@dataclass
class Macro(Crossbar):
    """``samples`` [n, I] are inputs from which scales follow.

    ``seen``: the ideal voltage of each net for them. ``railed``: nets that have, or may have, a
    rail of the other sign. ``kernels``: node, element and net of what neurons' last cells make.
    """

    samples: Array = field(default_factory=lambda: np.zeros((1, 1)))
    opamp: OpAmp = field(default_factory=lambda: opamp("10MHz"))
    units: dict[str, float] = field(default_factory=dict)
    seen: dict[str, Array] = field(default_factory=dict)
    railed: set[str] = field(default_factory=lambda: {"one"})
    kernels: list[tuple[int, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        wrong = unsupported(self.graph)
        if wrong:
            raise CompileError(*wrong)
        self.seen["one"] = np.ones(len(self.samples))
        self.units["one"] = 1.0

    def input(self, i: int, node: Node) -> list[Sum]:
        found = super().input(i, node)
        scale = min(1.0, self.scale(np.abs(self.samples).max()))
        nets = [next(iter(total.gains)) for total in found]
        for net, column in zip(nets, self.samples.T, strict=True):
            self.seen[net] = column
            self.units[net] = 1.0
        return found if scale == 1.0 else [self.attenuated(net, scale) for net in nets]

    def attenuated(self, net: str, scale: float) -> Sum:
        """An input beyond the supplies comes from a converter that knows its scale."""
        out = f"{net}_a"
        self.netlist.element("e", out, "0", net, "0", number(scale))
        self.stages.append(Source(out, (f"v({net})*{number(scale)}",)))
        return self.known(out, scale, self.seen[net] * scale)

    def known(self, net: str, scale: float, volts: Array) -> Sum:
        """A net that carries ``scale`` volts for 1, and what it carries for the samples."""
        self.units[net], self.seen[net] = 1.0 / scale, volts
        return Sum({net: 1.0 / scale})

    def scale(self, largest: float) -> float:
        """Volts for 1."""
        return SWING / max(float(largest), 1e-6)

    def ideal(self, total: Sum) -> Array:
        """What a sum is for the samples."""
        terms = (gain * self.seen[net] for net, gain in total.gains.items())
        return np.asarray(sum(terms, np.full(len(self.samples), total.constant)))

    def output(self, i: int, node: Node) -> list[Sum]:
        """All outputs with one scale, so that the largest voltage is the decision."""
        totals = self.values[node.inputs[0]]
        scale = self.scale(max(np.abs(self.ideal(total)).max() for total in totals))
        return [self.carried(total, f"n{i}_{k}", scale) for k, total in enumerate(totals)]

    def nets(self, i: int) -> list[str]:
        """Value ``i`` as nets, each made with the scale that its samples ask for."""
        for k, total in enumerate(self.values[i]):
            if len(total.gains) != 1 or total.constant:
                scale = self.scale(np.abs(self.ideal(total)).max())
                self.values[i][k] = self.carried(total, f"n{i}_{k}", scale)
        return [next(iter(total.gains)) for total in self.values[i]]

    def carried(self, total: Sum, name: str, scale: float) -> Sum:
        """A sum on a net of its own; a negative ``scale`` turns the sign."""
        self.amplifier(name, _gains(total.scaled(scale)))
        return self.known(name, scale, scale * self.ideal(total))

    def weighted(self, i: int, rows: Sequence[Sequence[float]]) -> list[Sum]:
        """Nets that more rows read than there are nets get rails of both signs."""
        nets = self.nets(i)
        if len(rows) >= len(nets):
            self.railed.update(nets)
        return super().weighted(i, rows)

    def square(self, x: int) -> Sum:
        if x not in self.squares:
            total = Sum({})
            for k, net in enumerate(self.nets(x)):
                product = self.multiplier(net, f"q{x}_{k}")
                total = total.plus(product.scaled(self.units[net] ** 2))
            name = f"q{x}"
            self.carried(total, name, -self.scale(self.ideal(total).max()))
            self.squares[x] = name
            self.railed.add(name)
        return Sum({self.squares[x]: self.units[self.squares[x]]})

    def multiplier(self, net: str, out: str) -> Sum:
        """v(net)^2 / 1 V."""
        self.netlist.element("x", net, net, out, "mdd", "mss", "multiplier")
        self.stages.append(Source(out, (f"v({net})*v({net})",)))
        return self.known(out, 1.0, self.seen[net] ** 2)

    def function(self, i: int, node: Node) -> list[Sum]:
        made = CELLS[node.op](self, i, self.values[node.inputs[0]])
        if node.op is not Op.SQRT:
            self.kernels += [(i, k, next(iter(total.gains))) for k, total in enumerate(made)]
        return made

    def roots(self, i: int, totals: list[Sum]) -> list[Sum]:
        """Logarithm of a current, mean with that of a reference current, antilogarithm."""
        largest = max(float(self.ideal(total).max()) for total in totals)
        reference = f"n{i}_r"
        self.log(reference, {"one": FEEDBACK * LOG_CURRENT})
        return [self.root(f"n{i}_{k}", t, largest, reference) for k, t in enumerate(totals)]

    def root(self, out: str, total: Sum, largest: float, reference: str) -> Sum:
        """sqrt(total), LOG_CURRENT at ``largest``; it comes out negative."""
        self.log(f"{out}_l", _gains(total.scaled(FEEDBACK * LOG_CURRENT / largest)))
        self.follower(f"{out}_h", (f"{out}_l", reference))
        ground, offset = self.core(out)
        part = self.resistor(ground, out, SWING / LOG_CURRENT)
        self.netlist.element("q", ground, "0", f"{out}_h", "qp")
        self.stages.append(Antilog(out, offset, (part,), self.opamp.gain, f"{out}_h"))
        scale = -SWING / math.sqrt(largest)
        return self.known(out, scale, scale * np.sqrt(np.maximum(self.ideal(total), 0.0)))

    def log(self, out: str, gains: dict[str, float]) -> None:
        """Vt ln(I / Is) of the current that resistors draw."""
        gains = self.directed(out, gains)
        ground, drive = f"{out}_m", f"{out}_o"
        plus = self.offset(out)
        resistors = self.junction(ground, gains)
        self.netlist.element("x", plus, ground, drive, "vdd", "vss", "opamp")
        self.netlist.element("r", drive, out, number(MEAN))
        self.netlist.element("c", drive, ground, number(self.opamp.compensation))
        self.netlist.element("q", ground, "0", out, "qp")
        self.stages.append(Log(out, f"v{plus}", resistors, self.opamp.gain))

    def follower(self, out: str, nets: tuple[str, str]) -> None:
        middle = f"{out}_i"
        resistors = tuple(self.resistor(middle, net, MEAN) for net in nets)
        plus = f"{out}_p"
        self.netlist.lines.append(f"v{plus} {plus} {middle} dc 0")
        self.netlist.element("x", plus, out, out, "vdd", "vss", "opamp")
        self.stages.append(Follower(out, f"v{plus}", resistors, self.opamp.gain))

    def exponentials(self, i: int, totals: list[Sum]) -> list[Sum]:
        """exp(total): CURRENT at the largest of all that the samples give."""
        deepest = min(SHALLOWEST, max(float(self.ideal(total).max()) for total in totals))
        found = []
        for k, total in enumerate(totals):
            if k % GROUP == 0:
                reference = self.reference(f"n{i}_r{k // GROUP}", deepest)
            found.append(self.exponential(f"n{i}_{k}", total, deepest, reference))
        return found

    def reference(self, out: str, deepest: float) -> str:
        """The emitter voltage at which a base that stands for ``deepest`` gives CURRENT."""
        ground, base, drive = f"{out}_m", f"{out}_b", f"{out}_o"
        plus = self.offset(out)
        parts = [self.resistor(ground, "one", 1.0 / CURRENT), *self.divider(base, "one", deepest)]
        self.netlist.element("x", plus, ground, drive, "vdd", "vss", "opamp")
        self.netlist.element("r", drive, out, number(BASE))
        self.netlist.element("c", drive, ground, number(self.opamp.compensation))
        self.netlist.element("q", ground, base, out, "qn")
        self.stages.append(Reference(out, f"v{plus}", tuple(parts), self.opamp.gain))
        return out

    def exponential(self, out: str, total: Sum, deepest: float, reference: str) -> Sum:
        volts = self.ideal(total)
        if not _divides(total):
            lowest = max(deepest - DEEPEST, float(volts.min()))
            total = self.carried(total, f"{out}_e", self.scale(max(abs(lowest), abs(deepest))))
        ((net, unit),) = total.gains.items()
        ground, offset = self.core(out)
        base = f"{out}_b"
        parts = [self.resistor(ground, out, SWING / CURRENT), *self.divider(base, net, unit)]
        self.netlist.element("q", ground, base, reference, "qn")
        self.stages.append(Exponential(out, offset, tuple(parts), self.opamp.gain, reference))
        scale = SWING / math.exp(deepest)
        return self.known(out, scale, scale * np.exp(volts))

    def rectifiers(self, i: int, totals: list[Sum]) -> list[Sum]:
        """max(0, total)."""
        return [self.rectifier(f"n{i}_{k}", total) for k, total in enumerate(totals)]

    def rectifier(self, out: str, total: Sum) -> Sum:
        volts = np.maximum(self.ideal(total), 0.0)
        scale = self.scale(volts.max())
        gains = self.directed(out, _gains(total.scaled(scale)))
        plus, ground, drive = self.offset(out), f"{out}_m", f"{out}_o"
        parts = (self.resistor(ground, out, FEEDBACK), *self.junction(ground, gains))
        self.netlist.element("x", plus, ground, drive, "vdd", "vss", "opamp")
        self.netlist.element("d", drive, out, "diode")
        self.netlist.element("d", ground, drive, "diode")
        self.netlist.element("c", ground, out, number(STRAY))
        self.stages.append(Rectifier(out, f"v{plus}", parts, self.opamp.gain))
        return self.known(out, scale, scale * volts)

    def amplifier(self, out: str, gains: dict[str, float]) -> None:
        gains = self.directed(out, gains)
        ground, offset = self.core(out)
        parts = (self.resistor(ground, out, FEEDBACK), *self.junction(ground, gains))
        self.stages.append(Amplifier(out, offset, parts, self.opamp.gain))

    def core(self, out: str) -> tuple[str, str]:
        """An inverting amplifier without its resistors: virtual ground and offset source."""
        plus, ground = self.offset(out), f"{out}_m"
        self.netlist.element("x", plus, ground, out, "vdd", "vss", "opamp")
        self.netlist.element("c", ground, out, number(STRAY))
        return ground, f"v{plus}"

    def offset(self, out: str) -> str:
        self.netlist.source(f"{out}_p", 0.0)
        return f"{out}_p"

    def directed(self, out: str, gains: dict[str, float]) -> dict[str, float]:
        """Gains that resistors can make: those above 0 of nets without a second rail go through
        one amplifier for them all.
        """
        up = {net: gain for net, gain in gains.items() if gain > 0 and net not in self.railed}
        if not up:
            return gains
        peak = np.abs(self.ideal(Sum(up))).max()
        scale = min(1.0, self.scale(peak))
        collector = f"{out}_c"
        self.carried(Sum(up), collector, -scale)
        rest = {net: gain for net, gain in gains.items() if net not in up}
        return {**rest, collector: -1.0 / scale}

    def junction(self, ground: str, gains: dict[str, float]) -> Resistors:
        """Resistors from rails into a virtual ground: the current that they draw is
        sum gain * v / FEEDBACK.
        """
        _, parts = self.fitted(gains)
        return tuple(
            self.resistor(ground, net if ohms < 0 else self.inverse(net), abs(ohms))
            for net, ohms in parts
        )

    def carries(self, net: str) -> Array:
        return self.seen[net]

    def inverse(self, net: str) -> str:
        found = super().inverse(net)
        self.seen[found] = -self.seen[net]
        return found

    def resistor(self, ground: str, rail: str, ohms: float) -> tuple[str, str, float]:
        fitted = self.rounded(ohms)
        return self.netlist.element("r", ground, rail, number(fitted)), rail, fitted

    def divider(self, base: str, net: str, unit: float) -> Resistors:
        """v(base) = THERMAL * unit * v(net); from the other rail where unit < 0."""
        ratio = THERMAL * unit
        source = net if ratio > 0 else self.inverse(net)
        top = self.resistor(base, source, BASE * (1.0 / abs(ratio) - 1.0))
        return (top, self.resistor(base, "0", BASE))


def _divides(total: Sum) -> bool:
    """Is it one net that a divider brings down to the voltage of a base?"""
    steep = any(THERMAL * abs(gain) > STEEPEST for gain in total.gains.values())
    return len(total.gains) == 1 and not total.constant and not steep


def _gains(total: Sum) -> dict[str, float]:
    """All gains that are not 0, the constant's too."""
    gains = {**total.gains, **({"one": total.constant} if total.constant else {})}
    return {net: gain for net, gain in gains.items() if gain}


CELLS: Mapping[Op, Callable[[Macro, int, list[Sum]], list[Sum]]] = {
    Op.SQRT: Macro.roots,
    Op.EXP: Macro.exponentials,
    Op.RELU: Macro.rectifiers,
}
