"""The textual form of a graph: stable, diffable, and it reads back.

Constants of up to 16 elements stand in the text; a larger one is named by its digest and kept in
a side table, so that ``parse(render(g), constants(g))`` is ``g`` again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, Diagnostic, refuse
from crystalc.ir import Element, FixedType, FloatType, Graph, Loc, Node, Op, TensorType

Array = NDArray[Any]
INLINE = 16

HEAD = re.compile(r'graph source="([0-9a-f]*)" \{')
LINE = re.compile(
    r"  %(?P<id>\d+) = (?P<op>\w+)(?:\((?P<inputs>[%\d, ]*)\))?(?: (?P<attrs>\{.*?\}))?"
    r" : \[(?P<shape>[\d, ]*)\] (?P<elem>f\d+|[su]\d+q-?\d+)"
    r"(?: = (?P<value>\[.*?\]|#[0-9a-f]+))?(?: active=(?P<active>[01]+))?  "
    r'@(?P<key>"(?:[^"\\]|\\.)*")(?P<index>\[[\d, ]*\])?$'
)


def render(graph: Graph) -> str:
    """``graph`` as text, one node a line."""
    lines = [f'graph source="{graph.source}" {{']
    lines += [f"  %{i} = {_node(node)}" for i, node in graph]
    return "\n".join([*lines, "}"]) + "\n"


def digest(array: Array) -> str:
    """First 16 hex digits of the sha256 of shape and little-endian contents."""
    raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(repr(array.shape).encode() + raw).hexdigest()[:16]


def constants(graph: Graph) -> dict[str, Array]:
    """The constants that do not stand in the text, by digest."""
    large = (node.value for node in graph.nodes if node.value is not None)
    return {digest(v): v for v in large if v.size > INLINE}


def _node(node: Node) -> str:
    inputs = f"({', '.join(f'%{j}' for j in node.inputs)})" if node.inputs else ""
    attrs = f" {json.dumps(dict(sorted(node.attrs.items())))}" if node.attrs else ""
    mask = node.active
    active = "" if mask is None else f" active={''.join('01'[int(a)] for a in mask)}"
    key = json.dumps(node.loc.key)
    index = f"[{', '.join(map(str, node.loc.index))}]" if node.loc.index else ""
    return f"{node.op.value}{inputs}{attrs} : {node.type}{_value(node)}{active}  @{key}{index}"


def _value(node: Node) -> str:
    if node.value is None:
        return ""
    if node.value.size > INLINE:
        return f" = #{digest(node.value)}"
    return f" = {json.dumps(node.value.ravel().tolist())}"


def parse(text: str, side: Mapping[str, Array] | None = None) -> Graph:
    """The graph that ``render`` wrote. Raises CompileError naming the first bad line."""
    lines = text.splitlines()
    head = HEAD.fullmatch(lines[0]) if lines else None
    if head is None or lines[-1] != "}":
        raise refuse("not a graph: it starts with 'graph source=\"...\" {' and ends with '}'")
    nodes = [_line(i, line, side or {}) for i, line in enumerate(lines[1:-1])]
    return Graph(tuple(nodes), head[1])


def _line(i: int, line: str, side: Mapping[str, Array]) -> Node:
    try:
        return _parse(i, line, side)
    except ValueError as error:  # JSON, numbers, and how many of them
        raise refuse(f"line {i + 2} of the graph does not read: {error}") from None


def _parse(i: int, line: str, side: Mapping[str, Array]) -> Node:
    found = LINE.match(line)
    if found is None or int(found["id"]) != i:
        raise CompileError(Diagnostic(f"line {i + 2} of the graph does not read: {line.strip()}"))
    try:
        op = Op(found["op"])
    except ValueError:
        raise refuse(f"line {i + 2} of the graph: unknown op '{found['op']}'") from None
    inputs = tuple(int(j[1:]) for j in (found["inputs"] or "").split(", ") if j)
    type_ = TensorType(_ints(found["shape"]), element(found["elem"]))
    loc = Loc(json.loads(found["key"]), _ints((found["index"] or "[]")[1:-1]))
    attrs = json.loads(found["attrs"] or "{}")
    active = found["active"]
    mask = None if active is None else np.array([c == "1" for c in active])
    return Node(op, inputs, type_, loc, attrs, _constant(found["value"], type_, side), mask)


def _ints(text: str) -> tuple[int, ...]:
    return tuple(int(v) for v in text.split(", ") if v)


def element(text: str) -> Element:
    """``f32`` or ``s8q4`` or ``u12q0`` as a type."""
    if text[0] == "f":
        return FloatType(int(text[1:]))
    width, frac = text[1:].split("q")
    return FixedType(text[0] == "s", int(width), int(frac))


def _constant(text: str | None, type_: TensorType, side: Mapping[str, Array]) -> Array | None:
    if text is None:
        return None
    if text.startswith("#"):
        if text[1:] not in side:
            raise refuse(f"constant {text} is not in the side table")
        return side[text[1:]]
    dtype = np.float64 if isinstance(type_.elem, FloatType) else np.int64
    return np.array(json.loads(text), dtype=dtype).reshape(type_.shape)
