"""Single operations at the corners of their types, in graphs that no model needs to produce."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_models import Array, backend

from crystalc.interpret import interpret
from crystalc.ir import Builder, Element, FixedType, FloatType, Graph, Loc, Op, TensorType

N = 24
F32 = FloatType(32)
LOC = Loc("value")
FLAGS = ("-O1 -DCRYSTAL_SCALAR", "-O3 -march=native")


class Draft:
    """A graph with one input; every method returns a node's id."""

    def __init__(self, elem: Element, n: int = N) -> None:
        self.build = Builder()
        self.x = self.op(Op.INPUT, (), n, elem)

    def op(self, op: Op, inputs: tuple[int, ...], n: int, elem: Element, **attrs: Any) -> int:
        return self.build.op(op, inputs, TensorType((n,), elem), LOC, **attrs)

    def const(self, value: Array, elem: Element, active: bool = False) -> int:
        mask = np.ones(len(value), dtype=np.bool_) if active else None
        return self.build.const(np.asarray(value), elem, LOC, mask)

    def graph(self, last: int) -> Graph:
        kind = self.build.nodes[last].type
        self.build.op(Op.OUTPUT, (last,), kind, LOC)
        return self.build.graph()


def s(width: int, frac: int = 0) -> FixedType:
    return FixedType(True, width, frac)


def u(width: int) -> FixedType:
    return FixedType(False, width)


def requant(shift: int, mul: Array, out: FixedType, x: FixedType) -> Graph:
    d = Draft(x)
    m = d.const(mul, s(1 + int(np.abs(mul).max()).bit_length()))
    return d.graph(d.op(Op.REQUANT, (d.x, m), N, out, shift=shift))


def divide(shift: int) -> Graph:
    d = Draft(s(20))
    low = d.op(Op.MIN, (d.x,), 1, s(20))
    return d.graph(d.op(Op.DIV, (d.x, low), N, s(40), shift=shift))


def wide() -> Graph:
    """Sums, differences and products that need 64 bits, and back."""
    d = Draft(s(30))
    big = d.op(Op.MUL, (d.x, d.x), N, s(60))
    most = d.op(Op.SUB, (d.const(np.array([-(1 << 60)]), s(62)), big), N, s(62))
    shifted = d.op(Op.SHIFT, (d.x,), N, s(44), left=14)
    total = d.op(Op.ADD, (most, shifted), N, s(62))
    return d.graph(d.op(Op.RELU, (d.op(Op.SUB, (shifted, total), N, s(62)),), N, s(62)))


def lookup(rows: int, active: bool) -> Graph:
    d = Draft(u(8))
    table = np.random.default_rng(0).integers(-128, 128, (rows, 256))
    return d.graph(d.op(Op.LOOKUP, (d.x, d.const(table, s(8), active)), N, s(8)))


def matmul(x: FixedType, w: FixedType, transposed: bool, active: bool, k: int = N) -> Graph:
    d = Draft(x, k)
    value = np.random.default_rng(1).integers(w.low, w.high + 1, (5, k) if transposed else (k, 5))
    value.flat[:9] = w.low
    weights = d.const(value, w, active)
    out = s(min(62, x.width + w.width + 6))
    return d.graph(d.op(Op.MATMUL, (d.x, weights), 5, out, transposed=transposed))


def distance(metric: str, active: bool) -> Graph:
    d = Draft(s(8, 3))
    points = d.const(np.random.default_rng(2).integers(-128, 128, (7, N)), s(8, 5), active)
    return d.graph(d.op(Op.DISTANCE, (d.x, points), 7, s(30, 10), metric=metric))


def reduction(op: Op, x: FixedType, out: FixedType) -> Graph:
    d = Draft(x)
    return d.graph(d.op(op, (d.x,), 1, out))


HALVES = np.resize([1, -1, 3, -5, 1 << 20, 7], N)
FIXED: dict[str, Callable[[], Graph]] = {
    "requant-ties": lambda: requant(1, HALVES, s(30), s(9)),
    "requant-saturates": lambda: requant(4, HALVES, s(8), s(16)),
    "requant-unsigned": lambda: requant(3, HALVES, u(8), s(16)),
    "requant-small": lambda: requant(5, np.resize([3, -3, 1], N), s(8), s(16)),
    "requant-wide": lambda: requant(30, np.resize([1 << 24, -(1 << 24)], N), s(40), s(34)),
    "divide": lambda: divide(0),
    "divide-fraction": lambda: divide(11),
    "wide": wide,
    "lookup-shared": lambda: lookup(1, False),
    "lookup-each": lambda: lookup(N, False),
    "lookup-active": lambda: lookup(N, True),
    "matmul-s8": lambda: matmul(s(8), s(8), True, False),
    "matmul-u8": lambda: matmul(u(8), s(8), False, False, 23),
    "matmul-u8-ones": lambda: matmul(u(8), u(1), False, False),
    "matmul-s16": lambda: matmul(s(16), s(16), True, False),
    "matmul-wide": lambda: matmul(s(28), s(24), False, False),
    "matmul-active-rows": lambda: matmul(s(8), s(8), True, True),
    "matmul-active-columns": lambda: matmul(u(8), s(8), False, True),
    "distance-l2": lambda: distance("l2", False),
    "distance-l1-active": lambda: distance("l1", True),
    "sumsq": lambda: reduction(Op.SUMSQ, s(8), u(19)),
    "sumsq-wide": lambda: reduction(Op.SUMSQ, s(26), u(56)),
    "min": lambda: reduction(Op.MIN, s(33), s(33)),
    "argmax": lambda: reduction(Op.ARGMAX, u(2), u(5)),
}


def corners(graph: Graph) -> Array:
    """[40, inputs] of the input's type: its ends, zero, and random values."""
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    rng = np.random.default_rng(3)
    n = graph.input.type.shape[0]
    ends = rng.choice(np.array([elem.low, elem.low + 1, 0, 1, elem.high - 1, elem.high]), (20, n))
    return np.concatenate([ends, rng.integers(elem.low, elem.high + 1, (20, n))])


@pytest.mark.parametrize("layout", ["simd", "compact"])
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", FIXED)
def test_fixed(name: str, flags: str, layout: str, tmp_path: Path) -> None:
    graph = FIXED[name]()
    x = corners(graph)
    np.testing.assert_array_equal(execute(graph, x, flags, layout, tmp_path), interpret(graph, x))


def execute(graph: Graph, x: Array, flags: str, layout: str, place: Path) -> Array:
    chosen = backend(cflags=f"-std=c99 {flags}", layout=layout)
    for name, content in chosen.emit(graph, "test").items():
        (place / name).write_text(str(content))
    return chosen.execute(place, x)


def float_rows(transposed: bool, k: int) -> Graph:
    d = Draft(F32, k)
    w = np.random.default_rng(4).normal(size=(6, k) if transposed else (k, 6)).astype(np.float32)
    return d.graph(d.op(Op.MATMUL, (d.x, d.const(w, F32, True)), 6, F32, transposed=transposed))


def float_distance(metric: str, k: int) -> Graph:
    d = Draft(F32, k)
    points = np.random.default_rng(5).normal(size=(6, k)).astype(np.float32)
    return d.graph(d.op(Op.DISTANCE, (d.x, d.const(points, F32, True)), 6, F32, metric=metric))


def float_mixed(k: int) -> Graph:
    """One number against a vector, both ways; an input that is no multiple of the lanes."""
    d = Draft(F32, k)
    square = d.op(Op.SUMSQ, (d.x,), 1, F32)
    one = d.op(Op.ADD, (square, d.const(np.array([1.0]), F32)), 1, F32)
    part = d.op(Op.DIV, (d.x, one), k, F32)
    root = d.op(Op.SQRT, (one,), 1, F32)
    state = d.const(np.linspace(-1, 1, k).astype(np.float32), F32, True)
    scaled = d.op(Op.MUL, (state, part), k, F32)
    return d.graph(d.op(Op.SUB, (root, scaled), k, F32))


FLOATS: dict[str, Callable[[], Graph]] = {
    "rows-39": lambda: float_rows(True, 39),
    "rows-3": lambda: float_rows(True, 3),
    "columns": lambda: float_rows(False, 20),
    "l2": lambda: float_distance("l2", 39),
    "l1": lambda: float_distance("l1", 39),
    "mixed": lambda: float_mixed(37),
}


@pytest.mark.parametrize("layout", ["simd", "compact"])
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", FLOATS)
def test_float(name: str, flags: str, layout: str, tmp_path: Path) -> None:
    graph = FLOATS[name]()
    x = np.random.default_rng(6).normal(size=(20, graph.input.type.shape[0])).astype(np.float32)
    wanted = interpret(graph, x.astype(np.float64))
    got = execute(graph, x, flags, layout, tmp_path)
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-5)
