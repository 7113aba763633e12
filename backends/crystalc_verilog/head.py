"""How much of what follows a product its lanes can do: constants become weights and first sums.

Everything affine after a product, up to the rounding shift, is ``a * sum + b * |x|^2 + c`` with one
a, b and c per output: c is where the sum starts, a scales the weights or is a choice of shifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crystalc.ir import FixedType, Graph, Op
from crystalc_verilog.passes import Integers, Pass, Product, elem

LARGEST_SCALE = 16
"""A factor of a row's weights beyond which they would grow too wide."""


@dataclass(frozen=True)
class Head:
    """``node`` n is floor(((sum_n + square * |x|^2) << scales[n]) / 2**shift), clipped to its type
    (as it is, where ``shift`` is None). A lane's term is, by ``mode``: product x w, square
    x (w + beta x), apart |x - w|, apart2 (x - w)^2, where x is first shifted by ``left``.
    ``rows`` [O, K], ``bias`` [O]: weights and first sums; ``low``..``high`` holds every sum,
    ``term`` every term;
    ``lift``: how far active weights are shifted left when written.
    """

    node: int
    mode: str
    rows: Integers
    bias: Integers
    low: int
    high: int
    beta: int = 0
    square: int = 0
    scales: tuple[int, ...] = ()
    term: tuple[int, int] = (0, 0)
    shift: int | None = None
    left: int = 0
    lift: int = 0


@dataclass(frozen=True)
class _Affine:
    """Factors of the sum and of the squares, and the constant, one per output."""

    a: Integers
    b: Integers
    c: Integers

    def plus(self, other: _Affine, sign: int) -> _Affine:
        return _Affine(self.a + sign * other.a, self.b + sign * other.b, self.c + sign * other.c)

    def times(self, factor: Any) -> _Affine:
        return _Affine(self.a * factor, self.b * factor, self.c * factor)


def head(graph: Graph, made: Pass, presquare: bool) -> Head:
    """The most that the lanes can do for a pass with a product. ``presquare``: a lane may add the
    square of x on its own.
    """
    assert made.product
    node, form, shift = _climb(graph, made)
    plain = _Form(graph, made, made.product)
    found = plain.taken(node, form, shift, presquare)
    return found or plain.untouched(made.spine[0])


def _climb(graph: Graph, made: Pass) -> tuple[int, _Affine, int | None]:
    """The last affine node of the spine, or the rounding after it, and what it is."""
    size = made.size
    zero = np.zeros(size, dtype=object)
    node, form = made.spine[0], _Affine(zero + 1, zero, zero)
    for i in made.spine[1:]:
        if graph[i].op is Op.REQUANT:
            factors = graph[graph[i].inputs[1]]
            if not factors.is_frozen_const:
                break
            shift = int(graph[i].attrs["shift"])
            scaled = form.times(_wide(factors.data(), size))
            half = _Affine(zero, zero, zero + (1 << shift >> 1))
            return i, scaled.plus(half, 1), shift
        nearer = _step(graph, made, i, node, form)
        if nearer is None:
            break
        node, form = i, nearer
    return node, form, None


def _step(graph: Graph, made: Pass, i: int, before: int, form: _Affine) -> _Affine | None:
    node = graph[i]
    if node.op is Op.SHIFT:
        return form.times(1 << int(node.attrs["left"]))
    if node.op not in (Op.ADD, Op.SUB):
        return None
    other = node.inputs[1] if node.inputs[0] == before else node.inputs[0]
    side = _side(graph, made, other)
    if side is None:
        return None
    if node.op is Op.ADD:
        return form.plus(side, 1)
    return form.plus(side, -1) if node.inputs[0] == before else side.plus(form, -1)


def _side(graph: Graph, made: Pass, i: int) -> _Affine | None:
    """A constant or a multiple of the sum of squares of the same vector."""
    node, zero = graph[i], np.zeros(made.size, dtype=object)
    if node.is_frozen_const:
        return _Affine(zero, zero, _wide(node.data(), made.size))
    if node.op is Op.SUMSQ:
        assert made.product
        same = made.product.parts[0][0] == node.inputs[0] and len(made.product.parts) == 1
        return _Affine(zero, zero + 1, zero) if same else None
    if node.op is Op.SHIFT:
        inner = _side(graph, made, node.inputs[0])
        return inner.times(1 << int(node.attrs["left"])) if inner else None
    if node.op in (Op.ADD, Op.SUB):
        a, b = (_side(graph, made, j) for j in node.inputs)
        return a.plus(b, 1 if node.op is Op.ADD else -1) if a and b else None
    return None


def _wide(values: Integers, size: int) -> Integers:
    flat = np.asarray(values).reshape(-1).astype(object)
    return np.resize(flat, size) if len(flat) == 1 else flat


class _Form:
    """The forms that a pass's sums may take."""

    def __init__(self, graph: Graph, made: Pass, product: Product) -> None:
        self.graph, self.made, self.product = graph, made, product
        types = [elem(graph, i) for i, _ in product.parts]
        counts = [n for _, n in product.parts]
        self.low = np.repeat([t.low for t in types], counts).astype(object)
        self.high = np.repeat([t.high for t in types], counts).astype(object)
        self.left = self.lift = 0
        self.mode = "product"
        if product.op is Op.DISTANCE:
            fracs = [elem(graph, i).frac for i in graph[made.spine[0]].inputs]
            self.left, self.lift = (max(fracs) - f for f in fracs)
            self.mode = "apart" if product.metric == "l1" else "apart2"
        self.rows = product.rows.astype(object) * (1 << self.lift)

    def untouched(self, root: int) -> Head:
        """The bare sums."""
        return self.made_of(root, self.rows, np.zeros(self.made.size, dtype=object))

    def taken(self, node: int, form: _Affine, shift: int | None, pre: bool) -> Head | None:
        """The sums with everything in ``form``; None where they cannot."""
        a, b, c, free = form.a, form.b, form.c, 0
        if shift is not None:
            free = min([shift, *(_twos(int(v)) for v in (*a, *b))])
            a, b, c, shift = a >> free, b >> free, c >> free, shift - free
        if not b.any() and self.scalable(a):
            rows = self.rows * a[:, None]
            return self.made_of(node, rows, c, shift=shift, scales=(0,) * len(a))
        main = b if b.any() else a
        least = min((abs(int(v)) for v in main), default=0)
        if not least or any(int(v) % least or int(v) // least < 0 for v in main * main[0]):
            return None
        unit = least if main[0] > 0 else -least
        powers = [int(v) // unit for v in main]
        scales = [p.bit_length() - 1 for p in powers]
        if any(p & (p - 1) for p in powers) or max(scales) > (shift or 0):
            return None
        firsts = [int(v) // p for v, p in zip(a, powers, strict=True)]
        same = len(set(firsts)) == 1 and all(
            f * p == int(v) for f, p, v in zip(firsts, powers, a, strict=True)
        )
        if not same:
            return None
        return self.scaled(node, firsts[0], unit if b.any() else 0, c, scales, shift, pre)

    def scaled(
        self, node: int, alpha: int, beta: int, c: Any, scales: Any, shift: int | None, pre: bool
    ) -> Head | None:
        """(alpha * product + beta * |x|^2) << scales, plus c."""
        fixed_scale = self.product.active or self.mode != "product"
        if fixed_scale and (alpha != 1 or beta):
            return None
        bias = np.array([int(v) >> s for v, s in zip(c, scales, strict=True)], dtype=object)
        rows, known = self.rows * alpha, {"shift": shift, "scales": tuple(scales)}
        if beta and pre and not abs(beta) & (abs(beta) - 1):
            return self.made_of(node, rows, bias, mode="square", beta=beta, **known)
        return self.made_of(node, rows, bias, square=beta, **known)

    def scalable(self, a: Integers) -> bool:
        """May the weights be multiplied by ``a``?"""
        if all(v == 1 for v in a):
            return True
        small = all(abs(int(v)) <= LARGEST_SCALE for v in a)
        return small and self.mode == "product" and not self.product.active

    def made_of(self, node: int, rows: Integers, bias: Integers, **known: Any) -> Head:
        mode = known.pop("mode", self.mode)
        low, high = self.bounds(rows, mode, known.get("beta", 0))
        term_ends = int(low.min()), int(high.max())
        low, high = low.sum(axis=1) + bias, high.sum(axis=1) + bias
        return Head(
            node,
            mode,
            rows,
            bias,
            int(low.min()),
            int(high.max()),
            term=term_ends,
            left=self.left,
            lift=self.lift,
            **{"scales": (0,) * len(bias), **known},
        )

    def bounds(self, rows: Integers, mode: str, beta: int) -> tuple[Integers, Integers]:
        """Least and largest term of each row and column."""
        ends = [rows, rows]
        for owner in {int(v) for v in self.product.nodes.flat if v >= 0}:
            kind: FixedType = elem(self.graph, owner)
            mine = self.product.nodes == owner
            ends[0] = np.where(mine, kind.low << self.lift, ends[0])
            ends[1] = np.where(mine, kind.high << self.lift, ends[1])
        spots = [self.low, self.high]
        if mode == "square":
            spots += [self.clip(-rows // (2 * beta) + k) for k in (0, 1)]
        terms = [term(mode, x * (1 << self.left), w, beta) for x in spots for w in ends]
        low = np.minimum.reduce(terms)
        if mode in ("apart", "apart2"):
            low = low * 0
        return low, np.maximum.reduce(terms)

    def clip(self, x: Integers) -> Integers:
        clipped: Integers = np.minimum(np.maximum(x, self.low), self.high)
        return clipped


def term(mode: str, x: Any, w: Any, beta: int) -> Any:
    """What a lane adds to its sum."""
    if mode == "product":
        return x * w
    if mode == "square":
        return x * (w + beta * x)
    return abs(x - w) if mode == "apart" else (x - w) * (x - w)


def _twos(value: int) -> int:
    """How often 2 divides ``value``; 62 for 0."""
    return (value & -value).bit_length() - 1 if value else 62
