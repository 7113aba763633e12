"""REQUANT with a shift of 32: its result is the high word of a product, which needs no shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crystalc.ir import FixedType, Graph, Node, Op, TensorType
from crystalc_cuda.pointwise import INT32, product_bound

WORD = 32


def with_high_words(graph: Graph) -> Graph:
    """Frozen multipliers of products beyond 32 bits become larger where they stay below 2^31."""
    nodes = list(graph.nodes)
    for i in graph.find(Op.REQUANT):
        more = WORD - int(graph[i].attrs["shift"])
        if more > 0 and _may_grow(graph, i, more):
            mul = graph[i].inputs[1]
            nodes[mul] = _grown(graph[mul], more)
            nodes[i] = replace(graph[i], attrs={**graph[i].attrs, "shift": WORD})
    return replace(graph, nodes=tuple(nodes))


def _may_grow(graph: Graph, i: int, more: int) -> bool:
    node = graph[i]
    mul = graph[node.inputs[1]]
    if not mul.is_frozen_const or graph.users(node.inputs[1]) != [i]:
        return False
    top = int(np.abs(mul.data()).max()) << more
    return top < INT32 <= product_bound(graph, node) < 1 << (62 - more)


def _grown(mul: Node, more: int) -> Node:
    elem = mul.type.elem
    assert isinstance(elem, FixedType)
    wider = FixedType(elem.signed, elem.width + more, elem.frac + more)
    return replace(mul, type=TensorType(mul.type.shape, wider), value=mul.data() << more)
