"""How far may binary floating point stray from the oracle? A running error analysis.

For every value v the oracle computes, ``e`` bounds |computed - v| for any artefact that evaluates
the same graph with unit roundoff u = 2**-bits, sums in any order, and whose exp, sqrt and
division are within FUNCTION_ULPS units. The bound is derived, never tuned: N. J. Higham,
"Accuracy and Stability of Numerical Algorithms", chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.interpret import GELU_CUBIC, GELU_SCALE, values
from crystalc.ir import FixedType, Graph, Node, Op

Array = NDArray[Any]

FUNCTION_ULPS = 4.0
TINY = 2.0**-120
"""Absolute slack of exp, where single precision underflows to zero."""

GELU_LIPSCHITZ = 1.13


class Value:
    """Oracle value ``v`` and its bound ``e``, same shape."""

    def __init__(self, v: Array, e: Array) -> None:
        self.v, self.e = v, e
        self.most = np.abs(v) + e


def _gamma(terms: int, u: float) -> float:
    return (terms + 2) * u / (1 - (terms + 2) * u)


def _matmul(node: Node, y: Array, u: float, x: Value, w: Value) -> Array:
    t = (lambda a: a.T) if node.attrs.get("transposed") else (lambda a: a)
    exact = x.e @ t(np.abs(w.v)) + x.most @ t(w.e)
    return np.asarray(exact + _gamma(x.v.shape[-1], u) * (x.most @ t(w.most)))


def _distance(node: Node, y: Array, u: float, x: Value, p: Value, s: Value | None = None) -> Array:
    if s is not None:
        p = Value(
            p.v * s.v[:, None], (s.e * 1.0)[:, None] * np.abs(p.v) + u * np.abs(p.v * s.v[:, None])
        )
    out = np.empty((len(x.v), len(p.v)))
    for i in range(len(x.v)):
        delta = np.abs(x.v[i] - p.v)
        slip = x.e[i] + p.e + u * (delta + x.e[i] + p.e)
        exact = 2 * delta * slip + slip * slip if node.attrs["metric"] == "l2" else slip
        out[i] = exact.sum(-1)
    return out + _gamma(x.v.shape[-1], u) * (y + out)


def _sumsq(_: Node, y: Array, u: float, x: Value) -> Array:
    exact = (2 * np.abs(x.v) * x.e + x.e * x.e).sum(-1, keepdims=True)
    return np.asarray(exact + _gamma(x.v.shape[-1], u) * (y + exact))


def _add(_: Node, y: Array, u: float, a: Value, b: Value) -> Array:
    exact = a.e + b.e
    return np.asarray(exact + u * (np.abs(y) + exact))


def _mul(_: Node, y: Array, u: float, a: Value, b: Value) -> Array:
    exact = np.abs(a.v) * b.e + np.abs(b.v) * a.e + a.e * b.e
    return np.asarray(exact + u * (np.abs(y) + exact))


def _div(_: Node, y: Array, u: float, a: Value, b: Value) -> Array:
    least = np.maximum(np.abs(b.v) - b.e, 1e-300)
    exact = (a.e + np.abs(y) * b.e) / least
    return np.asarray(exact + FUNCTION_ULPS * u * (np.abs(y) + exact))


def _sqrt(_: Node, y: Array, u: float, x: Value) -> Array:
    exact = y - np.sqrt(np.maximum(x.v - x.e, 0))
    exact = np.maximum(exact, np.sqrt(x.v + x.e) - y)
    return np.asarray(exact + FUNCTION_ULPS * u * (y + exact))


def _exp(_: Node, y: Array, u: float, x: Value) -> Array:
    exact = y * np.expm1(np.minimum(x.e, 80.0))
    return np.asarray(exact + FUNCTION_ULPS * u * (y + exact) + TINY)


def _gelu(_: Node, y: Array, u: float, x: Value) -> Array:
    """Own rounding: that of x * sigmoid(t), t rounded to a few units of |t|."""
    t = np.minimum(GELU_SCALE * (x.most + GELU_CUBIC * x.most**3), 1e30)
    slope = np.minimum(0.25, np.exp(-np.minimum(np.abs(t), 700.0)))
    own = x.most * slope * t + np.abs(y)
    return np.asarray(GELU_LIPSCHITZ * x.e + 2 * FUNCTION_ULPS * u * (own + x.e) + TINY)


def _softmax(_: Node, y: Array, u: float, x: Value) -> Array:
    """Both the exponent's slip and the division's; the maximum is subtracted first."""
    spread = np.abs(x.v).max(-1, keepdims=True) + x.e.max(-1, keepdims=True)
    slip = 2 * x.e.max(-1, keepdims=True) + 2 * u * spread
    relative = np.expm1(np.minimum(2 * slip, 80.0)) + _gamma(x.v.shape[-1] + 8, u)
    return np.asarray(y * relative + TINY)


def _argmax(_: Node, y: Array, u: float, x: Value) -> Array:
    """0 where the winner leads by more than the errors, else the whole range."""
    return np.where(ambiguous(x.v, x.e)[:, None], float(x.v.shape[-1]), 0.0)


RULES: Mapping[Op, Callable[..., Array]] = {
    Op.OUTPUT: lambda node, y, u, x: x.e,
    Op.MATMUL: _matmul,
    Op.DISTANCE: _distance,
    Op.SUMSQ: _sumsq,
    Op.ADD: _add,
    Op.SUB: _add,
    Op.MUL: _mul,
    Op.DIV: _div,
    Op.SQRT: _sqrt,
    Op.EXP: _exp,
    Op.RELU: lambda node, y, u, x: x.e,
    Op.GELU: _gelu,
    Op.SOFTMAX: _softmax,
    Op.ARGMAX: _argmax,
}


def error_bound(graph: Graph, inputs: Array, bits: int = 24) -> Array:
    """Bound [batch, O] on |artefact - oracle| of a float graph for ``inputs`` [batch, I]."""
    u = 2.0**-bits
    known: list[Value] = []
    with np.errstate(over="ignore", invalid="ignore"):
        for node, v in zip(graph.nodes, values(graph, inputs), strict=True):
            if node.op is Op.INPUT:
                e = np.zeros_like(v)
            elif node.op is Op.CONST:
                e = _stored(node, v, u)
            else:
                e = RULES[node.op](node, v, u, *(known[j] for j in node.inputs))
            known.append(Value(v, np.broadcast_to(e, v.shape)))
    return known[-1].e


def _stored(node: Node, v: Array, u: float) -> Array:
    """A constant is rounded once, unless it is an integer or already single precision."""
    if isinstance(node.type.elem, FixedType):
        return np.zeros_like(v, dtype=np.float64)
    return np.where(v.astype(np.float32) == v, 0.0, np.abs(v) * u)


def ambiguous(scores: Array, e: Array) -> NDArray[np.bool_]:
    """[batch] True where an error of ``e`` could change the argmax of ``scores`` [batch, O]."""
    if scores.shape[-1] < 2:
        return np.zeros(len(scores), dtype=np.bool_)
    best = scores.argmax(-1, keepdims=True)
    gap = np.take_along_axis(scores - e, best, -1)
    rivals = scores + e
    np.put_along_axis(rivals, best, -np.inf, -1)
    return np.asarray((rivals >= gap).any(-1))
