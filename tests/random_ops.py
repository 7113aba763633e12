"""Random graphs made op by op. All are valid by construction.

Each maker keeps the values of its nodes on a few samples, so that operands of sane size are
chosen; graphs are DAGs, not chains, and every value depends on the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.interpret import FLOAT
from crystalc.ir import (
    Builder,
    FixedType,
    FloatType,
    Graph,
    Loc,
    Node,
    Op,
    TensorType,
    without_dead_nodes,
)
from crystalc.passes.sized import SizedBuilder

Array = NDArray[Any]
Rng = np.random.Generator

F32 = FloatType(32)


class _Maker:
    """Appends random nodes; ``data`` holds each value on the samples."""

    def __init__(self, rng: Rng, build: Builder, size: int) -> None:
        self.rng, self.build = rng, build
        self.values: list[int] = []
        self.data: dict[int, Array] = {}
        self.sizes: list[int] = [1, size, int(rng.integers(1, 40))]

    def pick(self, size: int | None = None) -> int:
        """One of the latest values, of this size where one is given."""
        fit = [v for v in self.values if size in (None, self.size(v))]
        return fit[-1 - int(min(self.rng.geometric(0.4) - 1, len(fit) - 1))]

    def size(self, i: int) -> int:
        return self.build.nodes[i].type.shape[0]

    def some_size(self) -> int:
        if self.rng.random() < 0.5:
            return int(self.sizes[self.rng.integers(len(self.sizes))])
        return int(self.rng.integers(1, 40))

    def mask(self, rows: int) -> Array | None:
        """Wholly frozen or wholly active, as every graph after split_frontier is."""
        return np.ones(rows, dtype=np.bool_) if self.rng.random() < 0.25 else None

    def partner(self, i: int) -> int | None:
        """Another value that broadcasts with ``i``."""
        fit = [v for v in self.values if self.size(v) in (1, self.size(i))]
        return int(self.rng.choice(fit)) if fit else None

    def operands(self, i: int) -> list[Array]:
        return [self.data[j] for j in self.build.nodes[i].inputs]


# ---- float ----

LARGEST = 300.0


class _Float(_Maker):
    def __init__(self, rng: Rng) -> None:
        size = int(rng.integers(1, 40))
        super().__init__(rng, Builder("f10a7"), size)
        i = self.build.op(Op.INPUT, (), TensorType((size,), F32), Loc("input"))
        self.values, self.data[i] = [i], rng.standard_normal((32, size))

    def const(self, value: Array, role: str = "weight", *, frozen: bool = False) -> int:
        mask = None if frozen else self.mask(len(value))
        rounded = value.astype(np.float32).astype(np.float64)
        i = self.build.const(rounded, F32, Loc("random"), mask, role)
        self.data[i] = self.build.nodes[i].data()
        return i

    def bytes(self, shape: tuple[int, ...]) -> int:
        q = self.rng.integers(-127, 128, shape)
        i = self.build.const(q, FixedType(True, 8), Loc("random"), None, "weight")
        self.data[i] = q.astype(np.float64)
        return i

    def op(self, op: Op, inputs: tuple[int, ...], size: int, **attrs: Any) -> int:
        i = self.build.op(op, inputs, TensorType((size,), F32), Loc("random"), **attrs)
        node = self.build.nodes[i]
        self.data[i] = FLOAT[op](node, *self.operands(i))
        return i

    def step(self) -> None:
        """One more value; too large ones are scaled down."""
        makers = (self.matmul, self.distance, self.binary, self.unary, self.whole, self.divide)
        i = makers[self.rng.choice(6, p=[0.22, 0.2, 0.2, 0.18, 0.1, 0.1])]()
        if i is None:
            return
        top = float(np.abs(self.data[i]).max())
        if top > LARGEST:
            small = self.const(np.array([4.0 / top]), "scale", frozen=True)
            i = self.op(Op.MUL, (i, small), self.size(i))
        self.values.append(i)

    def matmul(self) -> int:
        x, n = self.pick(), self.some_size()
        k = self.size(x)
        turned = bool(self.rng.random() < 0.5)
        shape = (n, k) if turned else (k, n)
        if self.rng.random() < 0.3:
            return self.scaled_matmul(x, shape, turned)
        w = self.const(self.rng.standard_normal(shape) / np.sqrt(k))
        y = self.op(Op.MATMUL, (x, w), n, **({"transposed": True} if turned else {}))
        if self.rng.random() < 0.4:
            y = self.op(Op.ADD, (y, self.const(self.rng.standard_normal(n), "bias")), n)
        return y

    def scaled_matmul(self, x: int, shape: tuple[int, int], turned: bool) -> int:
        """int8 weights, one scale per output after, or per input before."""
        n = shape[0] if turned else shape[1]
        if turned:
            y = self.op(Op.MATMUL, (x, self.bytes(shape)), n, transposed=True)
            scale = self.const(self.rng.uniform(0.001, 0.01, n), "scale", frozen=True)
            return self.op(Op.MUL, (y, scale), n)
        scale = self.const(self.rng.uniform(0.001, 0.01, shape[0]), "scale", frozen=True)
        scaled = self.op(Op.MUL, (x, scale), shape[0])
        return self.op(Op.MATMUL, (scaled, self.bytes(shape)), n)

    def distance(self) -> int:
        x, n = self.pick(), self.some_size()
        metric = "l1" if self.rng.random() < 0.5 else "l2"
        if self.rng.random() < 0.3:
            points = self.bytes((n, self.size(x)))
            scale = self.const(self.rng.uniform(0.001, 0.02, n), "scale", frozen=True)
            return self.op(Op.DISTANCE, (x, points, scale), n, metric=metric)
        points = self.const(self.rng.standard_normal((n, self.size(x))), "positions")
        return self.op(Op.DISTANCE, (x, points), n, metric=metric)

    def binary(self) -> int:
        op = (Op.ADD, Op.SUB, Op.MUL)[self.rng.integers(3)]
        a = self.pick()
        b = self.partner(a)
        if b is None or self.rng.random() < 0.5:
            n = self.size(a) if self.rng.random() < 0.7 else 1
            b = self.const(self.rng.standard_normal(n), "other")
        pair = (a, b) if self.rng.random() < 0.5 else (b, a)
        return self.op(op, pair, max(self.size(a), self.size(b)))

    def unary(self) -> int | None:
        x = self.pick()
        op = (Op.RELU, Op.GELU, Op.EXP, Op.SQRT)[self.rng.integers(4)]
        if op is Op.EXP and self.data[x].max() > 5:
            zero = self.const(np.zeros(1), "other", frozen=True)
            x = self.op(Op.SUB, (zero, self.op(Op.RELU, (x,), self.size(x))), self.size(x))
        if op is Op.SQRT:
            one = self.const(np.ones(1), "other", frozen=True)  # the root of 0 has no slope
            x = self.op(Op.RELU, (x,), self.size(x))
            x = self.op(Op.ADD, (x, one), self.size(x))
        return self.op(op, (x,), self.size(x))

    def whole(self) -> int:
        x = self.pick()
        if self.rng.random() < 0.5:
            return self.op(Op.SUMSQ, (x,), 1)
        return self.op(Op.SOFTMAX, (x,), self.size(x))

    def divide(self) -> int:
        a = self.pick()
        b = self.partner(a)
        if b is None or self.rng.random() < 0.6:
            n = self.size(a) if self.rng.random() < 0.5 else 1
            divisor = self.const(self.rng.uniform(0.5, 3, n) * self.rng.choice([-1, 1]), "scale")
        else:
            square = self.op(Op.MUL, (b, b), self.size(b))
            one = self.const(np.ones(1), "other", frozen=True)
            divisor = self.op(Op.ADD, (square, one), self.size(b))
        return self.op(Op.DIV, (a, divisor), max(self.size(a), self.size(divisor)))


def float_graph(rng: Rng) -> Graph:
    """4 to 14 random ops in real arithmetic."""
    maker = _Float(rng)
    for _ in range(rng.integers(4, 15)):
        maker.step()
    return _finished(maker, F32)


# ---- fixed ----

WIDE = 34
"""A wider value is brought down by REQUANT before it goes on."""


class _Fixed(_Maker):
    build: SizedBuilder

    def __init__(self, rng: Rng) -> None:
        size = int(rng.integers(1, 40))
        super().__init__(rng, SizedBuilder("f1ced"), size)
        self.width = int(rng.integers(4, 17))
        elem = FixedType(bool(rng.random() < 0.5), self.width, int(rng.integers(-2, 12)))
        i = self.build.op(Op.INPUT, (), TensorType((size,), elem), Loc("input"))
        self.values = [i]

    def elem(self, i: int) -> FixedType:
        elem = self.build.nodes[i].type.elem
        assert isinstance(elem, FixedType)
        return elem

    def const(
        self, shape: tuple[int, ...], elem: FixedType, role: str = "weight", frozen: bool = False
    ) -> int:
        rng = self.rng
        value = rng.integers(elem.low, elem.high + 1, shape)
        kind = rng.random()
        if kind < 0.2:
            value = np.where(rng.random(shape) < 0.5, elem.low, elem.high)
        elif kind < 0.35:
            value = np.where(rng.random(shape) < 0.8, 0, value)
        mask = None if frozen else self.mask(len(value))
        return self.build.const(value, elem, Loc("random"), mask, role)

    def some_type(self, frac: int = 0) -> FixedType:
        width = self.width if self.rng.random() < 0.5 else int(self.rng.integers(4, 17))
        return FixedType(bool(self.rng.random() < 0.6), width, frac)

    def sized(self, op: Op, inputs: tuple[int, ...], size: int, frac: int, **attrs: Any) -> int:
        return self.build.sized(op, inputs, size, frac, Loc("random"), **attrs)

    def step(self) -> None:
        makers = (self.matmul, self.distance, self.binary, self.whole, self.lookup, self.divide,
                  self.shift, self.small)  # fmt: skip
        i = makers[self.rng.choice(8, p=[0.2, 0.18, 0.2, 0.08, 0.12, 0.08, 0.06, 0.08])]()
        self.values.append(i)

    def narrow(self, i: int, limit: int = WIDE) -> int:
        """``i``, requantised where it is wider than ``limit`` bits."""
        return i if self.elem(i).width <= limit else self.requant(i, self.some_type())

    def requant(self, i: int, out: FixedType) -> int:
        """Multiplier and shift that use the range of ``out`` about fully."""
        bits, n = self.elem(i).width, self.size(i)
        room = int(min(24, 59 - bits))
        width = int(self.rng.integers(2, max(3, room)))
        shift = int(np.clip(bits + width - out.width + self.rng.integers(-2, 3), 1, 58))
        per_row = bool(self.rng.random() < 0.6)
        elem = FixedType(bool(self.rng.random() < 0.4), width)
        mul = self.const((n if per_row else 1,), elem, "scale")
        shape = TensorType((n,), out)
        return self.build.op(Op.REQUANT, (i, mul), shape, Loc("random"), shift=shift)

    def matmul(self) -> int:
        x, n = self.narrow(self.pick(), 20), self.some_size()
        turned = bool(self.rng.random() < 0.5)
        shape = (n, self.size(x)) if turned else (self.size(x), n)
        w = self.const(shape, self.some_type())
        attrs = {"transposed": True} if turned else {}
        frac = self.build.frac(x)
        y = self.sized(Op.MATMUL, (x, w), n, frac, **attrs)
        if self.rng.random() < 0.4:
            elem = FixedType(True, int(self.rng.integers(4, 24)), frac)
            y = self.sized(Op.ADD, (y, self.const((n,), elem, "bias")), n, frac)
        return y

    def distance(self) -> int:
        x, n = self.narrow(self.pick(), 17), self.some_size()
        own = self.build.frac(x)
        points = self.some_type(own + int(self.rng.integers(-3, 4)))
        p = self.const((n, self.size(x)), points, "positions")
        metric = "l1" if self.rng.random() < 0.5 else "l2"
        frac = max(own, points.frac) * (2 if metric == "l2" else 1)
        return self.sized(Op.DISTANCE, (x, p), n, frac, metric=metric)

    def binary(self) -> int:
        a = self.narrow(self.pick(), 27)
        b = self.partner(a)
        if b is None or self.rng.random() < 0.4:
            n = self.size(a) if self.rng.random() < 0.7 else 1
            b = self.const((n,), self.some_type(self.build.frac(a)), "offset")
        b = self.narrow(b, 27)
        op = (Op.ADD, Op.SUB, Op.MUL)[self.rng.integers(3)]
        if op is not Op.MUL:
            a, b = self.aligned(a, b)
        n = max(self.size(a), self.size(b))
        frac = self.build.frac(a) + (self.build.frac(b) if op is Op.MUL else 0)
        return self.sized(op, (a, b) if self.rng.random() < 0.5 else (b, a), n, frac)

    def aligned(self, a: int, b: int) -> tuple[int, int]:
        """Both at the finer binary point, by SHIFT; a far one is requantised instead."""
        gap = self.build.frac(a) - self.build.frac(b)
        if abs(gap) > 12:
            b = self.requant(b, self.some_type(self.build.frac(a)))
            gap = 0
        if gap > 0:
            b = self.sized(Op.SHIFT, (b,), self.size(b), self.build.frac(a), left=gap)
        if gap < 0:
            a = self.sized(Op.SHIFT, (a,), self.size(a), self.build.frac(b), left=-gap)
        return a, b

    def whole(self) -> int:
        x = self.pick()
        if self.rng.random() < 0.5:
            x = self.narrow(x, 20)
            return self.sized(Op.SUMSQ, (x,), 1, 2 * self.build.frac(x))
        return self.sized(Op.MIN, (x,), 1, self.build.frac(x))

    def lookup(self) -> int:
        x = self.narrow(self.pick())
        bits = int(self.rng.integers(1, 9))
        index = self.requant(x, FixedType(False, bits))
        n = self.size(index)
        elem = self.some_type(int(self.rng.integers(0, 8)))
        rows = n if self.rng.random() < 0.6 else 1
        table = self.const((rows, 1 << bits), elem, "table", frozen=rows != n)
        type_ = TensorType((n,), elem)
        return self.build.op(Op.LOOKUP, (index, table), type_, Loc("random"))

    def divide(self) -> int:
        a = self.narrow(self.pick(), 27)
        small = [v for v in self.values if self.size(v) == 1]
        b = int(self.rng.choice(small)) if small else self.sized(
            Op.MIN, (self.pick(),), 1, 0
        )  # fmt: skip
        b = self.narrow(b)
        k = int(self.rng.integers(0, 16))
        wide = TensorType((self.size(a),), FixedType(True, 62, k))
        node = Node(Op.DIV, (a, b), wide, Loc("random"), {"shift": k})
        return self.build.add(self.build.narrowed(node))

    def shift(self) -> int:
        x = self.narrow(self.pick())
        k = int(self.rng.integers(0, 10))
        return self.sized(Op.SHIFT, (x,), self.size(x), self.build.frac(x) + k, left=k)

    def small(self) -> int:
        x = self.pick()
        if self.rng.random() < 0.5:
            return self.sized(Op.RELU, (x,), self.size(x), self.build.frac(x))
        return self.requant(self.narrow(x, 40), self.some_type())


def fixed_graph(rng: Rng) -> Graph:
    """4 to 14 random ops in integers, every width from 1 to 62 bits."""
    maker = _Fixed(rng)
    for _ in range(rng.integers(4, 15)):
        maker.step()
    return _finished(maker, maker.elem(maker.values[-1]))


def _finished(maker: _Maker, elem: Any) -> Graph:
    """Ends in the last value, sometimes in its argmax."""
    build, last, loc = maker.build, maker.values[-1], Loc("output")
    if maker.rng.random() < 0.15:
        kind = FixedType(False, 8) if isinstance(elem, FixedType) else F32
        last, elem = build.op(Op.ARGMAX, (last,), TensorType((1,), kind), loc), kind
    build.op(Op.OUTPUT, (last,), TensorType((maker.size(last),), elem), loc)
    return without_dead_nodes(build.graph())
