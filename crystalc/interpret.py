"""The oracle: what a graph means. One function per op; every backend is compared with it.

A float graph is computed in binary64, a fixed graph in int64. Arrays carry one leading batch
axis, constants carry none. In a fixed graph a value outside its type is an error, never a wrap;
rounding and saturation happen only in REQUANT and DIV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, Diagnostic
from crystalc.ir import FixedType, FloatType, Graph, Node, Op

Array = NDArray[Any]
Semantics = Callable[..., Array]

GELU_SCALE = 1.5957691216057308  # 2 * sqrt(2 / pi)
GELU_CUBIC = 0.044715


class OracleOverflow(CompileError):
    """A fixed value does not fit its type: the graph is wrong, not the input."""


def _matmul(node: Node, x: Array, w: Array) -> Array:
    return np.asarray(x @ (w.T if node.attrs.get("transposed") else w))


def _distance(node: Node, x: Array, p: Array, scale: Array | None = None) -> Array:
    if scale is not None:
        p = p * scale[:, None]
    return _accumulate(x, p, str(node.attrs["metric"]))


def _accumulate(x: Array, p: Array, metric: str, block: int = 1 << 22) -> Array:
    """Distances [..., N] of x [..., D] to p [N, D], a block of rows at a time."""
    rows = x.reshape(-1, x.shape[-1])
    out = np.empty((len(rows), len(p)), dtype=np.result_type(x, p))
    step = max(1, block // max(1, p.size))
    for start in range(0, len(rows), step):
        delta = rows[start : start + step, None, :] - p
        cost = delta * delta if metric == "l2" else np.abs(delta)
        out[start : start + step] = cost.sum(-1)
    return out.reshape(*x.shape[:-1], len(p))


def gelu(x: Array) -> Array:
    """GELU in its tanh form, written as x * sigmoid(2 u); shape and dtype of ``x``."""
    u = GELU_SCALE * (x + GELU_CUBIC * x * x * x)
    return np.asarray(x * _sigmoid(u))


def _sigmoid(u: Array) -> Array:
    small = np.exp(-np.abs(u))
    return np.where(u >= 0, 1 / (1 + small), small / (1 + small))


def _softmax(_: Node, x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def round_shift(x: Array, shift: int) -> Array:
    """floor((x + 2**(shift-1)) / 2**shift): round half towards plus infinity."""
    return np.asarray((x + (1 << (shift - 1))) >> shift)


def _requant(node: Node, x: Array, mul: Array) -> Array:
    elem = node.type.elem
    assert isinstance(elem, FixedType)
    return np.clip(round_shift(x * mul, int(node.attrs["shift"])), elem.low, elem.high)


def _lookup(_: Node, index: Array, table: Array) -> Array:
    if len(table) == 1:
        return np.asarray(table[0][index])
    return np.asarray(table[np.arange(len(table)), index])


def _div_fixed(node: Node, a: Array, b: Array) -> Array:
    b = np.maximum(b, 1)
    return np.asarray(((a << int(node.attrs["shift"])) * 2 + b) // (2 * b))


def _embed(_: Node, tokens: Array, table: Array) -> Array:
    return np.asarray(table[tokens.astype(np.int64)])


def _norm(_: Node, x: Array, weight: Array, bias: Array, epsilon: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + epsilon) * weight + bias)


def attention_weights(node: Node, q: Array, k: Array) -> Array:
    """Softmax of causal scores [batch, heads, T, T] from q and k [batch, T, D]."""
    q, k = split_heads(q, int(node.attrs["heads"])), split_heads(k, int(node.attrs["heads"]))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    later = np.triu(np.ones(scores.shape[-2:], dtype=bool), 1)
    return _softmax(node, np.where(later, -np.inf, scores))


def split_heads(x: Array, heads: int) -> Array:
    """[batch, T, D] -> [batch, heads, T, D / heads]."""
    return x.reshape(*x.shape[:-1], heads, -1).swapaxes(-2, -3)


def join_heads(x: Array) -> Array:
    """[batch, heads, T, D / heads] -> [batch, T, D]."""
    together = x.swapaxes(-2, -3)
    return np.ascontiguousarray(together).reshape(*together.shape[:-2], -1)


def _attention(node: Node, q: Array, k: Array, v: Array) -> Array:
    return join_heads(attention_weights(node, q, k) @ split_heads(v, int(node.attrs["heads"])))


def _argmax(_: Node, x: Array) -> Array:
    return np.asarray(x.argmax(-1, keepdims=True), dtype=x.dtype)


COMMON: dict[Op, Semantics] = {
    Op.OUTPUT: lambda node, x: x,
    Op.MATMUL: _matmul,
    Op.SUMSQ: lambda node, x: (x * x).sum(-1, keepdims=True),
    Op.ADD: lambda node, a, b: a + b,
    Op.SUB: lambda node, a, b: a - b,
    Op.MUL: lambda node, a, b: a * b,
    Op.RELU: lambda node, x: np.maximum(x, 0),
    Op.ARGMAX: _argmax,
}
FLOAT: Mapping[Op, Semantics] = COMMON | {
    Op.DISTANCE: _distance,
    Op.DIV: lambda node, a, b: a / b,
    Op.SQRT: lambda node, x: np.sqrt(np.maximum(x, 0)),
    Op.EXP: lambda node, x: np.exp(x),
    Op.GELU: lambda node, x: gelu(x),
    Op.SOFTMAX: _softmax,
    Op.EMBED: _embed,
    Op.NORM: _norm,
    Op.ATTENTION: _attention,
}
FIXED: Mapping[Op, Semantics] = COMMON | {
    Op.DISTANCE: _distance,
    Op.DIV: _div_fixed,
    Op.SHIFT: lambda node, x: x << int(node.attrs["left"]),
    Op.REQUANT: _requant,
    Op.LOOKUP: _lookup,
    Op.MIN: lambda node, x: x.min(-1, keepdims=True),
}


def interpret(graph: Graph, inputs: Array, state: Mapping[int, Array] | None = None) -> Array:
    """Outputs [batch, O] for ``inputs`` [batch, I] (float64, or integers for a fixed graph).

    ``state`` replaces the values of active constants by node id. Raises OracleOverflow when a
    fixed value leaves its type.
    """
    return values(graph, inputs, state)[graph.find(Op.OUTPUT)[0]]


def values(graph: Graph, inputs: Array, state: Mapping[int, Array] | None = None) -> list[Array]:
    """The value of every node, by id: [batch, ...], or [...] for a constant."""
    semantics = FIXED if graph.is_fixed else FLOAT
    dtype = np.int64 if graph.is_fixed else np.float64
    out: list[Array] = []
    with np.errstate(over="ignore", under="ignore"):
        for i, node in graph:
            if node.op is Op.INPUT:
                value = np.asarray(inputs, dtype=dtype)
            elif node.op is Op.CONST:
                value = _constant(node, (state or {}).get(i), dtype)
            else:
                value = semantics[node.op](node, *_operands(graph, node, out))
            check_range(node, value)
            out.append(value)
    return out


def _constant(node: Node, override: Array | None, dtype: Any) -> Array:
    return np.asarray(node.data() if override is None else override, dtype=dtype)


def _operands(graph: Graph, node: Node, out: list[Array]) -> list[Array]:
    """Operand values; DISTANCE in integers aligns the binary points of its two operands."""
    args = [out[j] for j in node.inputs]
    if node.op is not Op.DISTANCE or not graph.is_fixed:
        return args
    x, p = (graph[j].type.elem for j in node.inputs[:2])
    assert isinstance(x, FixedType) and isinstance(p, FixedType)
    frac = max(x.frac, p.frac)
    return [args[0] << (frac - x.frac), args[1] << (frac - p.frac)]


def check_range(node: Node, value: Array) -> None:
    """Raise OracleOverflow unless every element of ``value`` fits the node's type."""
    elem = node.type.elem
    if isinstance(elem, FloatType) or not value.size:
        return
    low, high = int(value.min()), int(value.max())
    if low >= elem.low and high <= elem.high:
        return
    text = f"{node.op.value}: {low}..{high} leaves {elem} [{elem.low}, {elem.high}]"
    raise OracleOverflow(Diagnostic(text, node.loc, "this is a fault of the compiler"))
