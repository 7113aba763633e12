"""prune: drop frozen neurons that can never move an output, each with its proof.

Fixed graph: the exact interval of the neuron's weight, over every input the hardware can see, is
[0, 0], or its row of values is zero. Outputs stay equal.

Float graph: the kernel's largest weight times the largest value stays below the last bit of what
all the others can add: less than 2**-26 of the largest |value| divided by the neuron count. Only
kernels with a bound that holds for every input take part: exp of a non-positive number (1), relu
and gelu of (r - d) / T with T > 0 (r / T).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import Graph, Op
from crystalc.passes.rows import Field, fields, keep_rows
from crystalc.ranges import intervals

Array = NDArray[Any]

LAST_BIT = 2.0**-26
GELU_LEAST = 0.17
"""Largest |gelu(z)| for z <= 0, rounded up (tanh form)."""


@dataclass(frozen=True)
class Dropped:
    """A neuron left out. ``bound``: the most it could add to any output, in output units."""

    neuron: int
    bound: float
    reason: str


@dataclass(frozen=True)
class Prune:
    """No options."""

    name: ClassVar[str] = "prune"

    def run(self, graph: Graph) -> Graph:
        for k in range(len(fields(graph))):
            field = fields(graph)[k]
            dead = {d.neuron for d in dropped(graph, field)}
            if dead:
                graph = keep_rows(graph, field, set(range(field.neurons)) - dead)
        return graph


def dropped(graph: Graph, field: Field) -> list[Dropped]:
    """The frozen neurons of ``field`` that no output can feel; never all of them."""
    if field.coupled or len(field.joins) != 1:
        return []
    find = _dead_fixed if graph.is_fixed else _dead_float
    active = field.active(graph)
    dead = [d for d in find(graph, field) if not active[d.neuron]]
    return dead[1:] if len(dead) == field.neurons else dead


def _values(graph: Graph, field: Field) -> Array:
    return graph[graph[field.joins[0]].inputs[1]].data()


def _dead_fixed(graph: Graph, field: Field) -> list[Dropped]:
    weight = intervals(graph)[field.chain[-1]]
    values = _values(graph, field)
    out = []
    for n in range(field.neurons):
        if not values[n].any():
            out.append(Dropped(n, 0.0, "every value rounds to 0"))
        elif weight.low[n] == weight.high[n] == 0:
            out.append(Dropped(n, 0.0, "its weight is 0 for every input"))
    return out


def _dead_float(graph: Graph, field: Field) -> list[Dropped]:
    largest = np.abs(_values(graph, field)).max(1)
    weight = _weight_bound(graph, field)
    bound = np.multiply(weight, largest, out=np.zeros(field.neurons), where=largest > 0)
    limit = LAST_BIT * largest.max() / field.neurons
    reason = "below the last bit of the output"
    return [Dropped(int(n), float(bound[n]), reason) for n in np.flatnonzero(bound <= limit)]


def _weight_bound(graph: Graph, field: Field) -> Array:
    """The largest |weight| of each neuron over all inputs; inf where there is none."""
    ops = [graph[i].op for i in field.chain]
    if ops[-1] is Op.EXP:
        return np.ones(field.neurons)
    if ops[-3:-1] != [Op.SUB, Op.DIV]:
        return np.full(field.neurons, np.inf)
    sub, div = graph[field.chain[-3]], graph[field.chain[-2]]
    radius, temperature = graph[sub.inputs[0]].data(), graph[div.inputs[1]].data()
    peak = np.maximum(radius / temperature, GELU_LEAST if ops[-1] is Op.GELU else 0.0)
    return np.where(temperature > 0, peak, np.inf)
