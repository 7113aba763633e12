"""split_frontier: frozen neurons and active neurons become two fields whose sums are added.

Afterwards every constant is either wholly frozen (a literal of the artefact) or wholly active (a
member of the state that its owner may rewrite). A coupled field (normalised weights) cannot be
cut: when any of its neurons is active, all of them become active.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from crystalc.ir import Builder, Graph, Loc, Op
from crystalc.passes.rows import Field, emit_rows, fields, rebuild


@dataclass(frozen=True)
class SplitFrontier:
    """No options."""

    name: ClassVar[str] = "split_frontier"

    def run(self, graph: Graph) -> Graph:
        while field := next((f for f in fields(graph) if _is_mixed(graph, f)), None):
            graph = _split(graph, field)
        return graph


def _is_mixed(graph: Graph, field: Field) -> bool:
    if not field.active(graph).any():
        return False
    masks = (graph[j].active for j in field.constants(graph))
    return not all(mask is not None and mask.all() for mask in masks)


def _split(graph: Graph, field: Field) -> Graph:
    active = field.active(graph)
    if field.coupled or active.all():
        return _activate(graph, field)
    parts = [np.flatnonzero(~active), np.flatnonzero(active)]

    def joins(build: Builder, ids: dict[int, int]) -> dict[int, int]:
        made = [emit_rows(build, graph, field, rows, ids) for rows in parts]
        return {j: _sum(build, graph, j, [m[j] for m in made]) for j in field.joins}

    return rebuild(graph, field, joins)


def _sum(build: Builder, graph: Graph, join: int, parts: list[int]) -> int:
    node = graph[join]
    return build.op(Op.ADD, (parts[0], parts[1]), node.type, Loc(node.loc.key))


def _activate(graph: Graph, field: Field) -> Graph:
    """Mark every per-neuron constant of ``field`` as wholly active."""
    rows = set(field.constants(graph))
    nodes = tuple(
        replace(node, active=np.ones(field.neurons, dtype=np.bool_)) if i in rows else node
        for i, node in graph
    )
    return replace(graph, nodes=nodes)
