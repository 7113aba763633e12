"""Level ``behavioral``: each op of the float graph as ideal sources. It proves the topology.

Products with constants are linear controlled sources into 1 ohm, so that a distance is
|x|^2 - 2 p.x + |p|^2; only kernels are nonlinear, one small source for each neuron.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.interpret import GELU_CUBIC, GELU_SCALE
from crystalc.ir import Graph, Node, Op
from crystalc_spice.netlist import Netlist, number

LARGEST_EXPONENT = 600
"""Of exp in a source: e^600 is far from overflow, and 1 / e^600 from mattering."""

SMALLEST_SQUARE = 1e-18
"""Below it a square root would have no finite slope for Newton's method."""


@dataclass(frozen=True)
class Sum:
    """A sum not made yet: volts of nets times gains, and a constant."""

    gains: Mapping[str, float]
    constant: float = 0.0

    def scaled(self, by: float) -> Sum:
        """Everything times ``by``."""
        return Sum({net: gain * by for net, gain in self.gains.items()}, self.constant * by)

    def plus(self, other: Sum) -> Sum:
        """Net by net."""
        gains = dict(self.gains)
        for net, gain in other.gains.items():
            gains[net] = gains.get(net, 0.0) + gain
        return Sum(gains, self.constant + other.constant)


@dataclass
class Behavioral:
    """Writes a graph. ``values[i]``: each element of value i, a sum until an op needs its net.

    Active neurons are made as frozen ones are: their numbers are gains of linear sources, which
    ``alter`` rewrites.
    """

    graph: Graph
    netlist: Netlist = field(default_factory=Netlist)
    values: dict[int, list[Sum]] = field(default_factory=dict)
    squares: dict[int, str] = field(default_factory=dict)

    def run(self) -> Netlist:
        """Every node in order."""
        self.netlist.source("one", 1.0)
        for i, node in self.graph:
            if node.op is not Op.CONST:
                self.values[i] = getattr(self, RULES[node.op])(i, node)
        return self.netlist

    @property
    def outputs(self) -> list[str]:
        """Nets of the results."""
        return self.nets(self.graph.find(Op.OUTPUT)[0])

    def constant(self, i: int) -> NDArray[Any] | None:
        """The value of a CONST, else None."""
        node = self.graph[i]
        return node.data() if node.op is Op.CONST else None

    def sums(self, i: int, size: int) -> list[Sum]:
        """Value ``i``, one element repeated where ``size`` is larger."""
        value = self.constant(i)
        if value is not None:
            return [Sum({}, v) for v in np.broadcast_to(value, size).tolist()]
        return self.values[i] if len(self.values[i]) == size else self.values[i] * size

    def nets(self, i: int) -> list[str]:
        """Value ``i`` as nets, made where it is a sum."""
        made = [self.net(total, f"n{i}_{k}") for k, total in enumerate(self.values[i])]
        self.values[i] = [Sum({net: 1.0}) for net in made]
        return made

    def net(self, total: Sum, name: str) -> str:
        """The net of a sum: itself if it is one already, else ``name``."""
        if not total.constant and list(total.gains.values()) == [1.0]:
            return next(iter(total.gains))
        self.netlist.summing(name)
        for source, gain in total.gains.items():
            self.netlist.add(name, source, gain)
        self.netlist.add(name, "one", total.constant)
        return name

    def made(self, name: str, expressions: Iterable[str]) -> Sum:
        """A net of its own that adds nonlinear expressions."""
        net = self.netlist.summing(name)
        for expression in expressions:
            self.netlist.add_expression(net, expression)
        return Sum({net: 1.0})

    def input(self, i: int, node: Node) -> list[Sum]:
        nets = [f"x{k}" for k in range(node.type.shape[0])]
        for net in nets:
            self.netlist.source(net, 0.0)
        return [Sum({net: 1.0}) for net in nets]

    def output(self, i: int, node: Node) -> list[Sum]:
        return self.values[node.inputs[0]]

    def matmul(self, i: int, node: Node) -> list[Sum]:
        weights = self.constant(node.inputs[1])
        assert weights is not None
        rows = weights if node.attrs.get("transposed") else weights.T
        return self.weighted(node.inputs[0], rows.tolist())

    def weighted(self, i: int, rows: Sequence[Sequence[float]]) -> list[Sum]:
        """Value ``i``, as nets, times each row of gains; a net may come twice."""
        self.nets(i)
        return [_weighted(self.values[i], row) for row in rows]

    def distance(self, i: int, node: Node) -> list[Sum]:
        points = self.constant(node.inputs[1])
        assert points is not None
        if len(node.inputs) == 3:
            scale = self.constant(node.inputs[2])
            assert scale is not None
            points = points * scale[:, None]
        if node.attrs["metric"] == "l1":
            x = self.nets(node.inputs[0])
            return [
                self.made(
                    f"n{i}_{n}", (f"abs(v({s})-({number(v)}))" for s, v in zip(x, p, strict=True))
                )
                for n, p in enumerate(points.tolist())
            ]
        square = self.square(node.inputs[0])
        products = self.weighted(node.inputs[0], (-2.0 * points).tolist())
        norms = (math.fsum(v * v for v in p) for p in points.tolist())
        return [square.plus(dot).plus(Sum({}, n)) for dot, n in zip(products, norms, strict=True)]

    def square(self, x: int) -> Sum:
        """|x|^2, a net made once."""
        if x not in self.squares:
            terms = (f"v({net})*v({net})" for net in self.nets(x))
            self.squares[x] = next(iter(self.made(f"q{x}", terms).gains))
        return Sum({self.squares[x]: 1.0})

    def sumsq(self, i: int, node: Node) -> list[Sum]:
        return [self.square(node.inputs[0])]

    def sum(self, i: int, node: Node) -> list[Sum]:
        """ADD and SUB."""
        size = node.type.shape[0]
        left, right = (self.sums(j, size) for j in node.inputs)
        sign = -1.0 if node.op is Op.SUB else 1.0
        return [a.plus(b.scaled(sign)) for a, b in zip(left, right, strict=True)]

    def product(self, i: int, node: Node) -> list[Sum]:
        """MUL and DIV; by a constant they stay linear."""
        size, divides = node.type.shape[0], node.op is Op.DIV
        a, b = node.inputs
        if not divides and self.constant(a) is not None:
            a, b = b, a
        value = self.constant(b)
        if value is not None:
            gains = np.broadcast_to(1.0 / value if divides else value, size).tolist()
            return [s.scaled(gain) for s, gain in zip(self.sums(a, size), gains, strict=True)]
        left, right = self.terms(a, size), self.terms(b, size)
        sign = "/" if divides else "*"
        pairs = enumerate(zip(left, right, strict=True))
        return [self.made(f"n{i}_{k}", [f"{p}{sign}{q}"]) for k, (p, q) in pairs]

    def terms(self, i: int, size: int) -> list[str]:
        """Value ``i`` as operands of an expression."""
        value = self.constant(i)
        if value is not None:
            return [f"({number(v)})" for v in np.broadcast_to(value, size).tolist()]
        nets = [f"v({net})" for net in self.nets(i)]
        return nets if len(nets) == size else nets * size

    def function(self, i: int, node: Node) -> list[Sum]:
        """SQRT, EXP, RELU and GELU."""
        x = enumerate(self.terms(node.inputs[0], node.type.shape[0]))
        return [self.made(f"n{i}_{k}", [FUNCTIONS[node.op](term)]) for k, term in x]

    def softmax(self, i: int, node: Node) -> list[Sum]:
        """Powers less the largest, over their sum; the largest is found by a chain."""
        x = self.terms(node.inputs[0], node.type.shape[0])
        largest = x[0]
        for k, term in enumerate(x[1:]):
            found = self.made(f"m{i}_{k}", [f"max({largest},{term})"])
            largest = f"v({next(iter(found.gains))})"
        powers = [
            self.made(f"e{i}_{k}", [f"exp(max({term}-{largest},-{LARGEST_EXPONENT}))"])
            for k, term in enumerate(x)
        ]
        total = self.net(reduce(Sum.plus, powers), f"t{i}")
        shares = (f"v({next(iter(p.gains))})/max(v({total}),1e-30)" for p in powers)
        return [self.made(f"n{i}_{k}", [share]) for k, share in enumerate(shares)]


def _weighted(terms: Sequence[Sum], gains: Sequence[float]) -> Sum:
    """sum gain_k * term_k, none of which has a constant."""
    total: dict[str, float] = {}
    for term, gain in zip(terms, gains, strict=True):
        for net, unit in term.gains.items():
            total[net] = total.get(net, 0.0) + unit * gain
    return Sum(total)


def _gelu(x: str) -> str:
    t = f"{number(GELU_SCALE)}*({x}+{number(GELU_CUBIC)}*{x}*{x}*{x})"
    return f"{x}/(1+exp(max(min(-({t}),{LARGEST_EXPONENT}),-{LARGEST_EXPONENT})))"


FUNCTIONS: Mapping[Op, Callable[[str], str]] = {
    Op.SQRT: lambda x: f"sqrt(max({x},{SMALLEST_SQUARE}))",
    Op.EXP: lambda x: f"exp(max(min({x},{LARGEST_EXPONENT}),-{LARGEST_EXPONENT}))",
    Op.RELU: lambda x: f"max({x},0)",
    Op.GELU: _gelu,
}
RULES: Mapping[Op, str] = {
    Op.INPUT: "input",
    Op.OUTPUT: "output",
    Op.MATMUL: "matmul",
    Op.DISTANCE: "distance",
    Op.SUMSQ: "sumsq",
    Op.ADD: "sum",
    Op.SUB: "sum",
    Op.MUL: "product",
    Op.DIV: "product",
    Op.SOFTMAX: "softmax",
    **dict.fromkeys(FUNCTIONS, "function"),
}
"""Methods of Behavioral, by name: levels below replace them."""
