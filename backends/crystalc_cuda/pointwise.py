"""The value of one element of a node from one element of each operand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystalc.ir import ELEMENTWISE, FixedType, Graph, Node, Op
from crystalc_c.numbers import largest
from crystalc_cuda.numbers import literal, register

POINTWISE = ELEMENTWISE | {Op.SHIFT, Op.REQUANT, Op.DIV, Op.LOOKUP}
"""Each element of the result needs one element of each operand."""

UNARY = {
    Op.SQRT: "sqrtf(positive({0}))",
    Op.EXP: "expf({0})",
    Op.RELU: "positive({0})",
    Op.GELU: "gelu({0})",
}
BINARY = {Op.ADD: "+", Op.SUB: "-", Op.MUL: "*", Op.DIV: "/"}
INT32 = 1 << 31


def is_pointwise(graph: Graph, i: int) -> bool:
    """True also for a product with, or distance to, vectors of length 1."""
    node = graph[i]
    single = node.op in (Op.MATMUL, Op.DISTANCE) and graph[node.inputs[0]].type.shape == (1,)
    return node.op in POINTWISE or single


def expression(graph: Graph, i: int, args: Sequence[str]) -> str:
    """C++ for one element of the pointwise node ``i``; ``args`` are names or bracketed.

    A LOOKUP's second operand is already the entry.
    """
    node = graph[i]
    if node.op is Op.LOOKUP:
        return args[1]
    if graph.is_fixed:
        return _fixed(graph, i, args)
    return term(graph, i, args) if node.op in (Op.MATMUL, Op.DISTANCE) else _real(node, args)


def _real(node: Node, args: Sequence[str]) -> str:
    if node.op in UNARY:
        return UNARY[node.op].format(*args)
    return f"{args[0]} {BINARY[node.op]} {args[1]}"


def term(graph: Graph, i: int, args: Sequence[str]) -> str:
    """What one element of x and one of the constant add to a float MATMUL or DISTANCE."""
    node = graph[i]
    if node.op is Op.MATMUL:
        return f"{args[0]} * {args[1]}"
    difference = f"{args[0]} - {args[1]}" + (f" * {args[2]}" if len(args) == 3 else "")
    return f"{'square' if node.attrs['metric'] == 'l2' else 'fabsf'}({difference})"


def sum_type(graph: Graph, i: int) -> str:
    """The type of the sums of a MATMUL, DISTANCE or SUMSQ: no partial sum leaves it."""
    node = graph[i]
    if not graph.is_fixed:
        return "float"
    return (
        "int32_t"
        if bound(graph, i) < INT32 and register(node.type.elem) == "int32_t"
        else ("int64_t")
    )


def bound(graph: Graph, i: int) -> int:
    """The largest magnitude that a sum of a fixed MATMUL, DISTANCE or SUMSQ can reach."""
    node = graph[i]
    x = graph[node.inputs[0]]
    size, top = x.type.shape[0], largest(x.type.elem)
    if node.op is Op.SUMSQ:
        return size * top * top
    w = graph[node.inputs[1]]
    if node.op is Op.DISTANCE:
        left = shifts(graph, i)
        reach = (top << left[0]) + (largest(w.type.elem) << left[1])
        return size * (reach * reach if node.attrs["metric"] == "l2" else reach)
    if w.is_state:
        return size * top * largest(w.type.elem)
    axis = 1 if node.attrs.get("transposed") else 0
    return top * int(np.abs(w.data()).sum(axis).max())


def shifts(graph: Graph, i: int) -> tuple[int, int]:
    """Left shifts that bring both operands of a fixed DISTANCE to one binary point."""
    a, b = (graph[j].type.elem for j in graph[i].inputs[:2])
    assert isinstance(a, FixedType) and isinstance(b, FixedType)
    frac = max(a.frac, b.frac)
    return frac - a.frac, frac - b.frac


def fixed_term(graph: Graph, i: int, args: Sequence[str]) -> str:
    """What one element of x and one of the constant add to a fixed MATMUL or DISTANCE."""
    acc, node = sum_type(graph, i), graph[i]
    if node.op is Op.MATMUL:
        return f"({acc}){args[0]} * {args[1]}"
    left = shifts(graph, i)
    one, two = (f"({acc}){a} * {literal(1 << s)}" for a, s in zip(args, left, strict=True))
    return f"{'square' if node.attrs['metric'] == 'l2' else 'magnitude'}({one} - {two})"


def _fixed(graph: Graph, i: int, args: Sequence[str]) -> str:
    node = graph[i]
    out = register(node.type.elem)
    operands = [graph[j].type.elem for j in node.inputs]
    wide = register(node.type.elem, *operands)
    if node.op in (Op.MATMUL, Op.DISTANCE):
        return _narrow(out, sum_type(graph, i), fixed_term(graph, i, args))
    if node.op is Op.RELU:
        return _narrow(out, wide, f"{args[0]} > 0 ? {args[0]} : 0")
    if node.op is Op.SHIFT:
        return f"({out}){args[0]} * {literal(1 << int(node.attrs['left']))}"
    if node.op is Op.REQUANT:
        return requantized(graph, node, args)
    if node.op is Op.DIV:
        return f"({out})divide_round({args[0]}, {args[1]}, {node.attrs['shift']})"
    return _narrow(out, wide, f"({wide}){args[0]} {BINARY[node.op]} ({wide}){args[1]}")


def _narrow(out: str, wide: str, text: str) -> str:
    return text if out == wide else f"({out})({text})"


def requantized(graph: Graph, node: Node, args: Sequence[str], limited: bool = True) -> str:
    """REQUANT: in 32 bits what fits them, limits only where a result can reach them.

    Not ``limited``: what reads it limits it.
    """
    elem = node.type.elem
    assert isinstance(elem, FixedType)
    shift = int(node.attrs["shift"])
    inside = product_bound(graph, node) + (1 << (shift - 1))
    operands = [graph[j].type.elem for j in node.inputs]
    if register(elem, *operands) == "int64_t" or inside >> shift >= INT32:
        ends = f"{literal(elem.low)}, {literal(elem.high)}"
        return f"({register(elem)})requant<int64_t>({args[0]}, {args[1]}, {shift}, {ends})"
    acc = "int32_t" if inside < INT32 else "int64_t"
    value = f"scaled<{acc}, {shift}>({args[0]}, {args[1]})"
    if not limited:
        return value
    if inside >> shift > elem.high:
        value = f"min({value}, {literal(elem.high)})"
    return f"max({value}, {literal(elem.low)})" if -inside >> shift < elem.low else value


def product_bound(graph: Graph, node: Node) -> int:
    """The largest magnitude of the product inside the REQUANT ``node``."""
    x, mul = (graph[j] for j in node.inputs)
    top = int(np.abs(mul.data()).max()) if mul.is_frozen_const else largest(mul.type.elem)
    return largest(x.type.elem) * top
