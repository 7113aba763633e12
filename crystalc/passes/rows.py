"""Neurons as rows: find the part of a graph that is one value per neuron, and cut it by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import ELEMENTWISE, Builder, Graph, Node, Op, TensorType, without_dead_nodes
from crystalc.passes.sized import SizedBuilder

ROWWISE = ELEMENTWISE | {Op.SHIFT, Op.REQUANT, Op.LOOKUP}

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Field:
    """Neurons of one DISTANCE.

    ``chain``: the DISTANCE and every node with one value per neuron, in order. ``joins``: the
    MATMULs that sum over the neurons. ``coupled``: some node mixes neurons before that (SOFTMAX,
    MIN), so that the field cannot be cut into independent parts.
    """

    distance: int
    chain: tuple[int, ...]
    joins: tuple[int, ...]
    coupled: bool
    neurons: int

    def constants(self, graph: Graph) -> list[int]:
        """Ids of the CONSTs with one row per neuron, less the structural ones (role "other")."""
        return [
            j
            for i in (*self.chain, *self.joins)
            for j in graph[i].inputs
            if graph[j].op is Op.CONST
            and graph[j].type.shape[0] == self.neurons
            and graph[j].attrs.get("role") != "other"
        ]

    def active(self, graph: Graph) -> NDArray[np.bool_]:
        """One flag per neuron: True where any of its constants may be rewritten."""
        flags = np.zeros(self.neurons, dtype=np.bool_)
        for j in self.constants(graph):
            mask = graph[j].active
            if mask is not None:
                flags |= mask
        return flags


def fields(graph: Graph) -> list[Field]:
    """Every geometric field of the graph."""
    return [_field(graph, i) for i in graph.find(Op.DISTANCE)]


def _field(graph: Graph, distance: int) -> Field:
    neurons = graph[distance].type.shape[0]
    chain, joins, coupled = [distance], [], False
    for i, node in graph:
        if i <= distance or not set(node.inputs) & set(chain):
            continue
        if node.op is Op.MATMUL and not node.attrs.get("transposed"):
            joins.append(i)
        elif node.op in ROWWISE and node.type.shape == (neurons,):
            chain.append(i)
        elif node.op is Op.SOFTMAX:
            chain.append(i)
            coupled = True
        else:
            coupled = True
    return Field(distance, tuple(chain), tuple(joins), coupled, neurons)


def emit_rows(
    build: Builder, graph: Graph, field: Field, rows: Rows, ids: dict[int, int]
) -> dict[int, int]:
    """Append ``field`` restricted to ``rows``; ids of the new nodes by old id, joins included.

    ``ids`` maps the values outside the field that it reads.
    """
    local: dict[int, int] = {}
    for i in sorted((*field.chain, *field.joins)):
        node = graph[i]
        for j in node.inputs:
            if j not in local and graph[j].op is Op.CONST:
                local[j] = _take(build, graph[j], field.neurons, rows)
        inputs = tuple(local.get(j, ids.get(j, -1)) for j in node.inputs)
        shape = (len(rows),) if i in field.chain else node.type.shape
        part = replace(node, inputs=inputs, type=TensorType(shape, node.type.elem))
        if i in field.joins and isinstance(build, SizedBuilder):
            part = build.narrowed(part)  # a part of a sum may reach farther than the sum
        local[i] = build.add(part)
    return local


def _take(build: Builder, node: Node, neurons: int, rows: Rows) -> int:
    """The constant restricted to ``rows`` (a shared one-row constant stays as it is)."""
    value: NDArray[Any] = node.data()
    active = node.active
    if len(value) == neurons:
        value = value[rows]
        active = None if active is None else active[rows]
    role = str(node.attrs.get("role", "other"))
    return build.const(value, node.type.elem, node.loc, active, role)


def copy(build: Builder, node: Node, ids: dict[int, int]) -> int:
    """Append ``node`` with its operands renamed by ``ids``."""
    return build.add(replace(node, inputs=tuple(ids[j] for j in node.inputs)))


def rebuild(
    graph: Graph, field: Field, replace_joins: Callable[[Builder, dict[int, int]], dict[int, int]]
) -> Graph:
    """``graph`` with ``field`` left out and its joins made anew.

    ``replace_joins`` gets the builder and the new ids of the values outside the field, and
    returns the new ids of the joins. ``field`` must not be coupled.
    """
    build = SizedBuilder(graph.source) if graph.is_fixed else Builder(graph.source)
    inside = {*field.chain, *field.joins}
    ids: dict[int, int] = {}
    for i, node in graph:
        if i == field.joins[0]:
            ids.update(replace_joins(build, ids))
        elif i not in inside:
            ids[i] = copy(build, node, ids)
    return without_dead_nodes(build.graph())


def keep_rows(graph: Graph, field: Field, rows: Iterable[int]) -> Graph:
    """``graph`` with only these neurons left in ``field``."""
    chosen = np.array(sorted(rows), dtype=np.int64)

    def joins(build: Builder, ids: dict[int, int]) -> dict[int, int]:
        return emit_rows(build, graph, field, chosen, ids)

    return rebuild(graph, field, joins)
