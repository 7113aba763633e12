"""SOFTMAX in terms of the other ops, so that every kernel has it."""

from __future__ import annotations

import numpy as np

from crystalc.ir import Builder, Graph, Node, Op, TensorType


def without_softmax(graph: Graph) -> Graph:
    """y = e / sum e with e = exp(x - max x); max x is -min(-x), and the sum is a product with ones.

    MIN appears in a float graph here, and nowhere else.
    """
    build = Builder(graph.source)
    ids: dict[int, int] = {}
    for i, node in graph:
        inputs = tuple(ids[j] for j in node.inputs)
        moved = Node(node.op, inputs, node.type, node.loc, node.attrs, node.value, node.active)
        ids[i] = _softmax(build, moved) if node.op is Op.SOFTMAX else build.add(moved)
    return build.graph()


def _softmax(build: Builder, node: Node) -> int:
    (x,), whole, loc = node.inputs, node.type, node.loc
    one = TensorType((1,), whole.elem)
    zero = build.const(np.zeros(1), one.elem, loc)
    negative = build.op(Op.SUB, (zero, x), whole, loc)
    least = build.op(Op.MIN, (negative,), one, loc)
    below = build.op(Op.SUB, (least, negative), whole, loc)
    e = build.op(Op.EXP, (below,), whole, loc)
    if whole.shape == (1,):
        return build.op(Op.DIV, (e, e), whole, loc)
    ones = build.const(np.ones((whole.shape[0], 1)), whole.elem, loc)
    total = build.op(Op.MATMUL, (e, ones), one, loc)
    return build.op(Op.DIV, (e, total), whole, loc)
