"""Level ``mos``, experimental: neurons of transistors below threshold, D <= 4.

A neuron is a chain of bump cells, one for each dimension, each biased by the current of the one
before: their product. Its kernel is the transistors' own,

    w = prod_d (1 + 4/S) / (1 + (4/S) cosh^2(slope (v(x_d) - v(p_d)) / 2))

which no recipe trains; a model of another kernel is built only where asked for, with one scale for
all neurons, as the slope is one for a whole chip. What stands before and after the
field stays behavioral.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.interpret import values
from crystalc.ir import ELEMENTWISE, Graph, Node, Op
from crystalc_spice.behavioral import Behavioral, Sum
from crystalc_spice.netlist import number

Array = NDArray[np.float64]

DIMENSIONS = 4
"""Of a chain: each cell leaves less than half of its bias."""

SUPPLY = 1.8
BIAS = 20e-9
"""Amperes into the first cell."""

MIDDLE = 0.9
"""Volts that stand for an input of 0."""

READ = 1.4
"""Volts at which currents are read: those of the mirrors' own gates."""

SLOPE = 32.69
STRENGTH = 2.768
PEAK = 0.3346
"""Of one cell, fitted to its simulation: 1/V, S, and current over bias where x = p. A test fits
them again.
"""

WIDTH = 4e-6
"""Metres of a mirror for a value of 1."""

SCALES = np.geomspace(0.1, 20.0, 80)
"""Of the mean distance in units of the slope: what is tried."""

NARROWEST = 0.2e-6
"""Metres: values below it are left out."""


@dataclass(frozen=True)
class Field:
    """Where the field is in a graph: ids of its distance and of its matmul with the values; volts
    for 1 of its input, and what the cells' product is multiplied with.
    """

    distance: int
    product: int
    volts: float
    gain: float


def locate(graph: Graph, samples: Array) -> Field:
    """The one field that this level can build, scaled so that its weights for ``samples`` [n, I]
    come nearest to the model's. Raises CompileError.
    """
    found = graph.find(Op.DISTANCE)
    if len(found) != 1:
        raise refuse(
            f"level mos builds one field whose distance is kept, here are {len(found)}",
            hint="a model of kernel laplace, all of whose neurons are frozen",
        )
    points = graph[graph[found[0]].inputs[1]].data()
    if points.shape[1] > DIMENSIONS:
        text = f"level mos takes {DIMENSIONS} dimensions at most, not {points.shape[1]}"
        raise refuse(text, hint="crystalc train ... --projection 4 --kernel laplace --frozen 1")
    product = _product(graph, found[0])
    seen = values(graph, samples)
    apart = seen[graph[found[0]].inputs[0]][:, None, :] - points
    wanted = seen[graph[product].inputs[0]]
    scales = SCALES / (SLOPE * np.abs(apart).mean())
    fits = [(*_fit(kernel(scale * apart).prod(-1), wanted), scale) for scale in scales.tolist()]
    _, gain, volts = min(fits)
    return Field(found[0], product, volts, gain)


def _fit(found: Array, wanted: Array) -> tuple[float, float]:
    """Squared error that the best gain leaves, and that gain."""
    gain = float((found * wanted).sum() / (found * found).sum())
    return float(np.square(gain * found - wanted).sum()), gain


def _product(graph: Graph, distance: int) -> int:
    """The matmul that reads the kernel: powers and products with constants alone are before it."""
    last = distance
    for i, node in graph:
        if last not in node.inputs:
            continue
        if node.op is Op.MATMUL:
            return i
        if node.op not in (Op.SQRT, Op.MUL, Op.EXP):
            break
        last = i
    raise refuse("level mos builds a field with an exponential kernel only")


def own(graph: Graph, place: Field, inputs: Array) -> Array:
    """Outputs [n, O] of the model with the transistors' kernel in place of its own."""
    found = values(graph, inputs)
    distance, product = graph[place.distance], graph[place.product]
    x, p = found[distance.inputs[0]], graph[distance.inputs[1]].data()
    weights = place.gain * kernel(place.volts * (x[:, None, :] - p)).prod(-1)
    change = (weights - found[product.inputs[0]]) @ graph[product.inputs[1]].data()
    return np.asarray(found[graph.find(Op.OUTPUT)[0]] + change)


def kernel(volts: Array) -> Array:
    """Of one cell, 1 at 0 volts."""
    ratio = 4.0 / STRENGTH
    return np.asarray((1.0 + ratio) / (1.0 + ratio * np.cosh(SLOPE * volts / 2.0) ** 2))


@dataclass
class Mos(Behavioral):
    """``currents``: gates of the mirrors that carry each neuron's current."""

    place: Field = field(default_factory=lambda: Field(0, 0, 1.0, 1.0))
    currents: list[str] = field(default_factory=list)

    def distance(self, i: int, node: Node) -> list[Sum]:
        points = self.constant(node.inputs[1])
        assert points is not None
        scale = self.place.volts
        gates = [
            self.net(total.scaled(scale).plus(Sum({"one": MIDDLE})), f"g{k}")
            for k, total in enumerate(self.values[node.inputs[0]])
        ]
        self.currents = [
            self.neuron(f"n{i}_{n}", gates, (MIDDLE + scale * p).tolist())
            for n, p in enumerate(points)
        ]
        return [Sum({net: 1.0}) for net in self.currents]

    def neuron(self, name: str, gates: list[str], points: list[float]) -> str:
        """A chain of cells; the gate of its last mirror."""
        bias = "bias"
        for d, (gate, volts) in enumerate(zip(gates, points, strict=True)):
            point, out = f"{name}_p{d}", f"{name}_c{d}"
            self.netlist.source(point, volts)
            self.netlist.element("x", gate, point, bias, out, "vdd", "bump")
            self.mirror(out, out, WIDTH)
            if d < len(points) - 1:
                bias = f"{name}_b{d}"
                self.mirror(out, bias, WIDTH)
                self.netlist.element("m", bias, bias, "0", "0", "nch w=4u l=4u")
        return out

    def mirror(self, gate: str, drain: str, width: float) -> None:
        """A transistor at the supply; the first of its gate is its own drain."""
        self.netlist.element("m", drain, gate, "vdd", "vdd", f"pch w={width * 1e6:.4g}u l=4u")

    def matmul(self, i: int, node: Node) -> list[Sum]:
        if i != self.place.product:
            return super().matmul(i, node)
        weights = self.constant(node.inputs[1])
        assert weights is not None
        return [self.readout(f"n{i}_{o}", v) for o, v in enumerate(weights.T.tolist())]

    def readout(self, name: str, weights: list[float]) -> Sum:
        """Currents of either sign into sources of half the supply, their difference as volts."""
        dimensions = self.graph[self.graph[self.place.distance].inputs[1]].type.shape[1]
        gain = self.place.gain / (BIAS * PEAK**dimensions)
        self.netlist.summing(name)
        for rail, sign in ((f"{name}_u", 1.0), (f"{name}_d", -1.0)):
            source = f"v{rail}"
            self.netlist.source(rail, READ)
            for gate, weight in zip(self.currents, weights, strict=True):
                width = WIDTH * weight * sign
                if width >= NARROWEST:
                    self.mirror(gate, rail, width)
            self.netlist.element("f", "0", name, source, number(sign * gain))
        return Sum({name: 1.0})

    def function(self, i: int, node: Node) -> list[Sum]:
        """The chain of cells is all of the kernel."""
        return self.values[node.inputs[0]]

    def product(self, i: int, node: Node) -> list[Sum]:
        if i < self.place.product and self.is_kernel(node):
            return self.values[next(j for j in node.inputs if self.constant(j) is None)]
        return super().product(i, node)

    def is_kernel(self, node: Node) -> bool:
        """Does it read the distance, or what comes of it?"""
        return any(
            j == self.place.distance
            or (self.graph[j].op in ELEMENTWISE and self.is_kernel(self.graph[j]))
            for j in node.inputs
        )
