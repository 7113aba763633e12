"""quantize_weights: int8 constants under float arithmetic (weight mode q8).

One scale per row, chosen so that the largest weight is 127. Scales of a field's values and of the
kernel's neurons move into elementwise products, so that the artefact stores bytes. Active rows
keep float: their owner rewrites them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from crystalc.ir import (
    Builder,
    FixedType,
    FloatType,
    Graph,
    Node,
    Op,
    TensorType,
    without_dead_nodes,
)
from crystalc.passes.calibrate import round_half_up, row_scale
from crystalc.passes.rows import copy

S8 = FixedType(True, 8)


@dataclass(frozen=True)
class QuantizeWeights:
    """No options."""

    name: ClassVar[str] = "quantize_weights"

    def run(self, graph: Graph) -> Graph:
        build = Builder(graph.source)
        ids: dict[int, int] = {}
        for i, node in graph:
            frozen = len(node.inputs) == 2 and graph[node.inputs[1]].is_frozen_const
            if frozen and node.op is Op.MATMUL:
                ids[i] = _matmul(build, node, ids)
            elif frozen and node.op is Op.DISTANCE:
                ids[i] = _distance(build, node, ids)
            else:
                ids[i] = copy(build, node, ids)
        return without_dead_nodes(build.graph())


def _rows(build: Builder, weight: Node) -> tuple[int, int]:
    """Ids of the int8 matrix and of its scale per row."""
    scale = row_scale(weight.data(), 1, S8.width).astype(np.float32).astype(np.float64)
    q = np.clip(round_half_up(weight.data() / scale[:, None]), -127, 127)
    role = str(weight.attrs["role"])
    matrix = build.const(q, S8, weight.loc, role=role)
    return matrix, build.const(scale, FloatType(32), weight.loc, role="scale")


def _matmul(build: Builder, node: Node, ids: dict[int, int]) -> int:
    """Rows are outputs (scale after the product) or neurons (scale before it)."""
    x, w = (ids[j] for j in node.inputs)
    matrix, scale = _rows(build, build.nodes[w])
    if node.attrs.get("transposed"):
        product = build.add(replace(node, inputs=(x, matrix)))
        return build.op(Op.MUL, (product, scale), node.type, node.loc)
    shape = TensorType(build.nodes[scale].type.shape, node.type.elem)
    scaled = build.op(Op.MUL, (x, scale), shape, node.loc)
    return build.add(replace(node, inputs=(scaled, matrix)))


def _distance(build: Builder, node: Node, ids: dict[int, int]) -> int:
    x, p = (ids[j] for j in node.inputs)
    matrix, scale = _rows(build, build.nodes[p])
    return build.add(replace(node, inputs=(x, matrix, scale)))
