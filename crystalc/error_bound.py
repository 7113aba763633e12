"""How far may binary floating point stray from the oracle? A stochastic error analysis.

Every rounding of an artefact is modelled as an independent random error of at most one unit
roundoff u = 2**-bits. The float graph is evaluated ``DRAWS`` times with such errors injected at
every node, and the bound is ``SIGMAS`` times the root mean square deviation of each output. A sum
of n terms strays by u * sqrt(n) * sum |terms|, in whatever order it is taken. So the bound follows
the model's own cancellation, needs no tuning, and is loose by the slack of those two inequalities.

Sources: D. S. Parker, "Monte Carlo Arithmetic" (1997); N. J. Higham and T. Mary, "A New Approach
to Probabilistic Rounding Error Analysis" (2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.interpret import (
    FLOAT,
    GELU_CUBIC,
    GELU_SCALE,
    attention_weights,
    join_heads,
    split_heads,
    values,
)
from crystalc.ir import FixedType, Graph, Node, Op

Array = NDArray[Any]

DRAWS = 8
SIGMAS = 8.0
FUNCTION_ULPS = 4.0
"""Promised accuracy of an artefact's exp, square root and division."""

TINY = 2.0**-120
"""Absolute slack of exp, where single precision underflows to zero."""

SEED = 7


def _matmul(node: Node, _: Array, x: Array, w: Array) -> Array:
    size = np.abs(w.T if node.attrs.get("transposed") else w)
    return np.asarray(np.sqrt(len(size) + 1) * (np.abs(x) @ size))


def _distance(_: Node, y: Array, x: Array, p: Array, scale: Array | None = None) -> Array:
    own = (np.sqrt(x.shape[-1]) + 3) * y
    if scale is None:
        return np.asarray(own)
    length = np.sqrt(np.square(p * scale[:, None]).sum(-1))
    return np.asarray(own + 2 * np.sqrt(np.maximum(y, 0)) * length)


def _function(_: Node, y: Array, *args: Array) -> Array:
    return np.asarray(FUNCTION_ULPS * np.abs(y))


def _once(_: Node, y: Array, *args: Array) -> Array:
    return np.abs(y)


def _gelu(_: Node, y: Array, x: Array) -> Array:
    """x * sigmoid(t), where t itself is rounded to a few units."""
    t = np.abs(GELU_SCALE * (x + GELU_CUBIC * x**3))
    slope = np.abs(x) * t * np.exp(-np.minimum(t, 700.0))
    return np.asarray(FUNCTION_ULPS * (np.abs(y) + slope))


def _softmax(_: Node, y: Array, x: Array) -> Array:
    """The exponent is rounded relative to its own size; the sum adds its terms."""
    size = np.abs(x).max(-1, keepdims=True)
    return np.asarray(y * (FUNCTION_ULPS + np.sqrt(x.shape[-1]) + size))


def _norm(_: Node, y: Array, x: Array, weight: Array, bias: Array, epsilon: Array) -> Array:
    """Mean and variance are sums; the mean's error counts before the division."""
    n = x.shape[-1]
    deviation = np.sqrt(x.var(-1, keepdims=True) + epsilon)
    mean = np.sqrt(n) * np.abs(x).mean(-1, keepdims=True)
    scaled = (mean + np.abs(x - x.mean(-1, keepdims=True)) * (np.sqrt(n) + 4)) / deviation
    return np.asarray(scaled * np.abs(weight) + np.abs(y))


def _attention(node: Node, _: Array, q: Array, k: Array, v: Array) -> Array:
    """Scores are sums that the exponential takes as they are; the outputs are sums again."""
    heads, (length, width) = int(node.attrs["heads"]), q.shape[-2:]
    size = np.abs(split_heads(q, heads)) @ np.abs(split_heads(k, heads)).swapaxes(-1, -2)
    terms = size * np.sqrt(heads / width) * np.sqrt(width / heads + 2)
    relative = FUNCTION_ULPS + 2 * np.sqrt(length + 1) + terms.max(-1, keepdims=True)
    weights = attention_weights(node, q, k) * relative
    return join_heads(weights @ np.abs(split_heads(v, heads)))


LOCAL: Mapping[Op, Callable[..., Array]] = {
    Op.MATMUL: _matmul,
    Op.DISTANCE: _distance,
    Op.SUMSQ: lambda node, y, x: np.sqrt(x.shape[-1] + 1) * y,
    Op.ADD: _once,
    Op.SUB: _once,
    Op.MUL: _once,
    Op.DIV: _function,
    Op.SQRT: _function,
    Op.EXP: _function,
    Op.GELU: _gelu,
    Op.SOFTMAX: _softmax,
    Op.NORM: _norm,
    Op.ATTENTION: _attention,
}
"""Size of a node's own rounding error in units of u; ops that are not here do not round."""


def error_bound(graph: Graph, inputs: Array, bits: int = 24) -> Array:
    """Bound [batch, O] on |artefact - oracle| of a float graph for ``inputs`` [batch, I].

    For a graph that ends in ARGMAX: 0 where the winner is certain, else the number of scores.
    """
    u = 2.0**-bits
    last = graph.output.inputs[0]
    scored = graph[last].inputs[0] if graph[last].op is Op.ARGMAX else last
    exact = values(graph, inputs)[scored]
    rng = np.random.default_rng(SEED)
    total = np.zeros_like(exact)
    for _ in range(DRAWS):
        total += np.square(_draw(graph, inputs, u, rng)[scored] - exact)
    bound = SIGMAS * np.sqrt(total / DRAWS) + u * np.abs(exact) + TINY
    if scored == last:
        return np.asarray(bound)
    return np.where(ambiguous(exact, bound), exact.shape[-1], 0.0)[:, None]


def _draw(graph: Graph, inputs: Array, u: float, rng: np.random.Generator) -> list[Array]:
    """The value of every node with random rounding errors injected."""
    out: list[Array] = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for _, node in graph:
            if node.op is Op.INPUT:
                out.append(np.asarray(inputs, dtype=np.float64))
                continue
            args = [out[j] for j in node.inputs]
            value = node.data() if node.op is Op.CONST else FLOAT[node.op](node, *args)
            size = _stored(node, value) if node.op is Op.CONST else _size(node, value, args)
            out.append(value + u * size * rng.standard_normal(value.shape))
    return out


def _size(node: Node, value: Array, args: list[Array]) -> Array:
    return LOCAL[node.op](node, value, *args) if node.op in LOCAL else np.zeros(1)


def _stored(node: Node, value: Array) -> Array:
    """A constant is rounded once, unless it is an integer or already single precision."""
    if isinstance(node.type.elem, FixedType):
        return np.zeros(1)
    return np.where(value.astype(np.float32) == value, 0.0, np.abs(value))


def ambiguous(scores: Array, e: Array) -> NDArray[np.bool_]:
    """[batch] True where an error of ``e`` could change the argmax of ``scores`` [batch, O]."""
    if scores.shape[-1] < 2:
        return np.zeros(len(scores), dtype=np.bool_)
    best = scores.argmax(-1, keepdims=True)
    gap = np.take_along_axis(scores - e, best, -1)
    rivals = scores + e
    np.put_along_axis(rivals, best, -np.inf, -1)
    return np.asarray((rivals >= gap).any(-1))
