"""The rules a graph must keep, checked after every pass. All violations are returned at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from crystalc.diagnostics import CompileError, Diagnostic
from crystalc.interpret import FIXED, FLOAT
from crystalc.ir import FixedType, FloatType, Graph, Node, Op
from crystalc.ranges import Interval, infer

Shape = tuple[int, ...]

WIDEST = 62
ACCUMULATOR_LIMIT = 1 << WIDEST
LEVELS = {False: "float", True: "fixed"}
OPERANDS: Mapping[Op, tuple[int, ...]] = {
    Op.INPUT: (0,),
    Op.CONST: (0,),
    Op.DISTANCE: (2, 3),
    **dict.fromkeys((Op.MATMUL, Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.REQUANT, Op.LOOKUP), (2,)),
    **dict.fromkeys((Op.OUTPUT, Op.SUMSQ, Op.SQRT, Op.EXP, Op.RELU, Op.GELU, Op.SOFTMAX), (1,)),
    **dict.fromkeys((Op.ARGMAX, Op.SHIFT, Op.MIN), (1,)),
    Op.EMBED: (2,),
    Op.NORM: (4,),
    Op.ATTENTION: (3,),
}
ATTRS: Mapping[Op, Mapping[str, type]] = {
    Op.DISTANCE: {"metric": str},
    Op.SHIFT: {"left": int},
    Op.REQUANT: {"shift": int},
    Op.ATTENTION: {"heads": int},
}
VALUES: Mapping[tuple[Op, str], tuple[str, ...] | range] = {
    (Op.DISTANCE, "metric"): ("l2", "l1"),
    (Op.SHIFT, "left"): range(WIDEST),
    (Op.REQUANT, "shift"): range(1, WIDEST),
    (Op.DIV, "shift"): range(WIDEST),
    (Op.ATTENTION, "heads"): range(1, 1 << 16),
}
NEURON_ROLES = frozenset({"positions", "values", "temperature", "radius"})
ROLES = NEURON_ROLES | {"weight", "bias", "scale", "offset", "table", "other"}


RANKS = frozenset({1, 2})
"""Axes of a sample's value: a vector, or the rows of a sequence."""


class ShapeError(Exception):
    """Operand shapes that do not go together; the text names both."""


def _matmul(node: Node, x: Shape, w: Shape) -> Shape:
    if len(x) not in RANKS or len(w) != 2:
        raise ShapeError(f"matmul needs a vector and a matrix, got {x} and {w}")
    inner, outer = (w[1], w[0]) if node.attrs.get("transposed") else (w[0], w[1])
    if x[-1] != inner:
        raise ShapeError(f"matmul of {x} with {w}: {x[-1]} is not {inner}")
    return (*x[:-1], outer)


def _distance(_: Node, x: Shape, p: Shape, scale: Shape | None = None) -> Shape:
    if len(x) not in RANKS or len(p) != 2 or x[-1] != p[1]:
        raise ShapeError(f"distance of {x} to points {p}: dimensions differ")
    if scale is not None and scale != (p[0],):
        raise ShapeError(f"distance to points {p} with scale {scale}: one scale per point")
    return (*x[:-1], p[0])


def _broadcast(_: Node, a: Shape, b: Shape) -> Shape:
    width = a[-1] == b[-1] or 1 in (a[-1], b[-1])
    rows = {s[:-1] for s in (a, b) if len(s) > 1}
    if not width or not {len(a), len(b)} <= RANKS or len(rows) > 1:
        raise ShapeError(f"shapes {a} and {b} do not broadcast")
    return (*(rows.pop() if rows else ()), max(a[-1], b[-1]))


def _requant(_: Node, x: Shape, mul: Shape) -> Shape:
    if mul not in (x, (1,)):
        raise ShapeError(f"requant of {x} needs multipliers {x} or (1,), got {mul}")
    return x


def _lookup(_: Node, index: Shape, table: Shape) -> Shape:
    if len(table) != 2 or table[0] not in (1, index[0]):
        raise ShapeError(f"lookup of {index} needs a table of 1 or {index[0]} rows, got {table}")
    return index


def _same(_: Node, x: Shape) -> Shape:
    return x


def _one(_: Node, x: Shape) -> Shape:
    return (*x[:-1], 1)


def _embed(_: Node, tokens: Shape, table: Shape) -> Shape:
    if len(tokens) != 1 or len(table) != 2:
        raise ShapeError(f"embed needs a sequence and a table, got {tokens} and {table}")
    return (tokens[0], table[1])


def _norm(_: Node, x: Shape, weight: Shape, bias: Shape, epsilon: Shape) -> Shape:
    if not weight == bias == x[-1:] or epsilon != (1,):
        raise ShapeError(f"norm of {x} with {weight}, {bias} and {epsilon}")
    return x


def _attention(node: Node, q: Shape, k: Shape, v: Shape) -> Shape:
    if len(q) != 2 or not q == k == v or q[1] % int(node.attrs["heads"]):
        raise ShapeError(f"attention of {q}, {k} and {v} in {node.attrs['heads']} heads")
    return q


SHAPES: Mapping[Op, Callable[..., Shape]] = {
    Op.MATMUL: _matmul,
    Op.DISTANCE: _distance,
    Op.REQUANT: _requant,
    Op.LOOKUP: _lookup,
    Op.EMBED: _embed,
    Op.NORM: _norm,
    Op.ATTENTION: _attention,
    **dict.fromkeys((Op.ADD, Op.SUB, Op.MUL, Op.DIV), _broadcast),
    **dict.fromkeys((Op.OUTPUT, Op.SQRT, Op.EXP, Op.RELU, Op.GELU, Op.SOFTMAX, Op.SHIFT), _same),
    **dict.fromkeys((Op.SUMSQ, Op.ARGMAX, Op.MIN), _one),
}


def verify(graph: Graph) -> list[Diagnostic]:
    """Every broken rule of structure, shape, attributes and range; empty for a valid graph."""
    found = _structure(graph)
    if found:
        return found
    for i, node in graph:
        found += _node(graph, i, node)
    if found or not graph.is_fixed:
        return found
    return _ranges(graph)


def check(graph: Graph) -> Graph:
    """``graph`` itself; raises CompileError with every broken rule."""
    found = verify(graph)
    if found:
        raise CompileError(*found)
    return graph


def _structure(graph: Graph) -> list[Diagnostic]:
    found = []
    for op in (Op.INPUT, Op.OUTPUT):
        count = len(graph.find(op))
        if count != 1:
            found.append(Diagnostic(f"a graph has one {op.value} node, this one has {count}"))
    if not graph.nodes or graph.nodes[-1].op is not Op.OUTPUT:
        found.append(Diagnostic("the last node of a graph is its output"))
    for i, node in graph:
        if len(node.inputs) not in OPERANDS[node.op]:
            text = f"%{i} = {node.op.value} has {len(node.inputs)} operands"
            found.append(Diagnostic(text, node.loc))
        for j in node.inputs:
            if not 0 <= j < i:
                text = f"%{i} reads %{j}, which is not defined before it"
                found.append(Diagnostic(text, node.loc))
    return found


def _node(graph: Graph, i: int, node: Node) -> list[Diagnostic]:
    semantics = FIXED if graph.is_fixed else FLOAT
    elem = node.type.elem
    if isinstance(elem, FixedType) and not 1 <= elem.width <= WIDEST:
        text = f"%{i}: {elem} is outside the widths 1..{WIDEST}"
        return [Diagnostic(text, node.loc, "compile with --arithmetic float")]
    if node.op is Op.INPUT:
        return []
    if node.op is Op.CONST:
        return _const(node) or (_kind(graph, i, node) if graph.is_fixed else [])
    if node.op not in semantics or (graph.is_fixed and len(node.inputs) == 3):
        with_scale = " with scale" if node.op is Op.DISTANCE else ""
        level = LEVELS[graph.is_fixed]
        text = f"%{i}: {node.op.value}{with_scale} does not exist in a {level} graph"
        return [Diagnostic(text, node.loc)]
    return _attrs(graph, i, node) or _shape(graph, i, node) or _elem(graph, i, node)


def _attrs(graph: Graph, i: int, node: Node) -> list[Diagnostic]:
    wanted = dict(ATTRS.get(node.op, {}))
    if node.op is Op.DIV and graph.is_fixed:
        wanted["shift"] = int
    found = []
    for key, kind in wanted.items():
        value, valid = node.attrs.get(key), VALUES[node.op, key]
        if not isinstance(value, kind) or isinstance(value, bool):
            text = f"%{i}: {node.op.value} needs attribute {key} ({kind.__name__})"
            found.append(Diagnostic(text, node.loc))
        elif value not in valid:
            span = f"{valid[0]}..{valid[-1]}" if isinstance(valid, range) else " or ".join(valid)
            text = f"%{i}: {node.op.value} {key} must be {span}, not {value}"
            found.append(Diagnostic(text, node.loc))
    return found


def _kind(graph: Graph, i: int, node: Node) -> list[Diagnostic]:
    if isinstance(node.type.elem, FixedType) == graph.is_fixed:
        return []
    text = f"%{i}: {node.type.elem} in a {LEVELS[graph.is_fixed]} graph"
    return [Diagnostic(text, node.loc)]


def _shape(graph: Graph, i: int, node: Node) -> list[Diagnostic]:
    try:
        shape = SHAPES[node.op](node, *(graph[j].type.shape for j in node.inputs))
    except ShapeError as error:
        return [Diagnostic(f"%{i}: {error}", node.loc)]
    if shape != node.type.shape:
        text = f"%{i}: {node.op.value} gives {shape}, its type says {node.type.shape}"
        return [Diagnostic(text, node.loc)]
    return []


def _elem(graph: Graph, i: int, node: Node) -> list[Diagnostic]:
    if found := _kind(graph, i, node):
        return found
    if graph.is_fixed and node.op in (Op.ADD, Op.SUB):
        fracs = {getattr(graph[j].type.elem, "frac", None) for j in node.inputs}
        if len(fracs) > 1:
            kinds = " and ".join(str(graph[j].type.elem) for j in node.inputs)
            hint = "insert a shift or a requant"
            text = f"%{i}: {node.op.value} of different binary points: {kinds}"
            return [Diagnostic(text, node.loc, hint)]
    return _index_type(graph, i, node)


def _index_type(graph: Graph, i: int, node: Node) -> list[Diagnostic]:
    if node.op is not Op.LOOKUP:
        return []
    index = graph[node.inputs[0]].type.elem
    length = graph[node.inputs[1]].type.shape[1]
    assert isinstance(index, FixedType)
    if index.signed or 1 << index.width != length:
        text = (
            f"%{i}: a table of {length} entries needs an unsigned index of log2 bits, not {index}"
        )
        return [Diagnostic(text, node.loc)]
    return []


def _const(node: Node) -> list[Diagnostic]:
    value, elem = node.data(), node.type.elem
    if value.shape != node.type.shape:
        return [Diagnostic(f"value has shape {value.shape}, type {node.type.shape}", node.loc)]
    if node.attrs.get("role", "other") not in ROLES:
        return [Diagnostic(f"unknown role {node.attrs.get('role')!r}", node.loc)]
    if node.active is not None and node.active.shape != value.shape[:1]:
        return [Diagnostic("one active flag per row is needed", node.loc)]
    if isinstance(elem, FloatType):
        return _misfits(node, ~np.isfinite(value), "is not finite")
    text = f"does not fit {elem} [{elem.low}, {elem.high}]"
    return _misfits(node, (value < elem.low) | (value > elem.high), text)


def _misfits(node: Node, bad: Any, text: str) -> list[Diagnostic]:
    where = np.argwhere(bad)
    if not len(where):
        return []
    index = tuple(int(k) for k in where[0])
    more = f" (and {len(where) - 1} more)" if len(where) > 1 else ""
    return [Diagnostic(f"{node.data()[index]} {text}{more}", replace(node.loc, index=index))]


def _ranges(graph: Graph) -> list[Diagnostic]:
    known: list[Interval] = []
    found = []
    for i, node in graph:
        interval = infer(graph, node, known)
        known.append(interval)
        low, high = interval.hull
        elem = node.type.elem
        assert isinstance(elem, FixedType)
        if low < elem.low or high > elem.high:
            text = f"%{i}: {node.op.value} reaches {low}..{high}, beyond {elem}"
            found.append(Diagnostic(text, node.loc))
        if node.op in INSIDE and INSIDE[node.op](node, known) >= ACCUMULATOR_LIMIT:
            text = f"%{i}: {node.op.value} leaves {WIDEST} bits inside"
            found.append(Diagnostic(text, node.loc))
    return found


def _requant_inside(node: Node, known: list[Interval]) -> int:
    """Largest magnitude inside REQUANT before its shift."""
    x, mul = (known[j].magnitude for j in node.inputs)
    return x * mul + (1 << (int(node.attrs["shift"]) - 1))


def _div_inside(node: Node, known: list[Interval]) -> int:
    """Largest numerator of DIV."""
    a, b = (known[j].magnitude for j in node.inputs)
    return (a << (int(node.attrs["shift"]) + 1)) + max(b, 1)


INSIDE: Mapping[Op, Callable[[Node, list[Interval]], int]] = {
    Op.REQUANT: _requant_inside,
    Op.DIV: _div_inside,
}
