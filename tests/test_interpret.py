"""The oracle against independent references: Python integers, torch, and the torch modules."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from random_graphs import random_checkpoint

from crystalc.frontend.lower import lower
from crystalc.interpret import FIXED, FLOAT, OracleOverflow, interpret, round_shift, values
from crystalc.ir import Builder, Element, FixedType, FloatType, Graph, Loc, Op, TensorType
from crystalc.nn.classifier import CrystalClassifier

Array = NDArray[Any]

F32 = FloatType(32)
S12 = FixedType(True, 12, 3)
WIDE = FixedType(True, 62)


def one_op(
    op: Op, elem: Element, size: int, consts: list[tuple[Array, Element]], out: int, **attrs: Any
) -> Graph:
    """output(op(input, consts...))."""
    build = Builder()
    x = build.op(Op.INPUT, (), TensorType((size,), elem), Loc("input"))
    ids = [build.const(value, kind, Loc("c")) for value, kind in consts]
    kind: Element = F32 if elem == F32 else attrs.pop("type", WIDE)
    y = build.op(op, (x, *ids), TensorType((out,), kind), Loc("y"), **attrs)
    build.op(Op.OUTPUT, (y,), TensorType((out,), kind), Loc("output"))
    return build.graph()


def clip(v: int, elem: FixedType) -> int:
    low, high = (-(2 ** (elem.width - 1)), 2 ** (elem.width - 1) - 1)
    if not elem.signed:
        low, high = 0, 2**elem.width - 1
    return min(max(v, low), high)


S9, U7 = FixedType(True, 9), FixedType(False, 7)


def reference(op: str, x: list[int], c: Any) -> list[int]:
    """Unbounded integers and fractions, straight from docs/ir.md."""
    half = Fraction(1, 2)
    table: dict[str, Callable[[], list[int]]] = {
        "matmul": lambda: [
            sum(a * w for a, w in zip(x, col, strict=True)) for col in zip(*c, strict=True)
        ],
        "turned": lambda: [sum(a * w for a, w in zip(x, row, strict=True)) for row in c],
        "l2": lambda: [sum((a - w) ** 2 for a, w in zip(x, row, strict=True)) for row in c],
        "l1": lambda: [sum(abs(a - w) for a, w in zip(x, row, strict=True)) for row in c],
        "l2 fine x": lambda: [sum((a - 8 * w) ** 2 for a, w in zip(x, r, strict=True)) for r in c],
        "l1 fine p": lambda: [sum(abs(4 * a - w) for a, w in zip(x, r, strict=True)) for r in c],
        "sumsq": lambda: [sum(a * a for a in x)],
        "add": lambda: [a + w for a, w in zip(x, c, strict=True)],
        "sub": lambda: [a - w for a, w in zip(x, c, strict=True)],
        "mul": lambda: [a * c[0] for a in x],
        "relu": lambda: [max(a, 0) for a in x],
        "shift": lambda: [a * 2**5 for a in x],
        "min": lambda: [min(x)],
        "argmax": lambda: [x.index(max(x))],
        "requant": lambda: [
            clip(floor(Fraction(a * w, 2**4) + half), S9) for a, w in zip(x, c, strict=True)
        ],
        "requant u": lambda: [clip(floor(Fraction(a * c[0], 2) + half), U7) for a in x],
        "div": lambda: [floor(Fraction(a * 2**6, max(c[0], 1)) + half) for a in x],
    }
    return table[op]()


RNG = np.random.default_rng(3)
MATRIX = RNG.integers(-2048, 2048, (5, 3))
POINTS = RNG.integers(-2048, 2048, (4, 5))
ROW = RNG.integers(-2048, 2048, 5)
INTEGER = [
    ("matmul", one_op(Op.MATMUL, S12, 5, [(MATRIX, S12)], 3), MATRIX),
    ("turned", one_op(Op.MATMUL, S12, 5, [(POINTS, S12)], 4, transposed=True), POINTS),
    ("l2", one_op(Op.DISTANCE, S12, 5, [(POINTS, S12)], 4, metric="l2"), POINTS),
    ("l1", one_op(Op.DISTANCE, S12, 5, [(POINTS, S12)], 4, metric="l1"), POINTS),
    (
        "l2 fine x",
        one_op(Op.DISTANCE, S12, 5, [(POINTS, FixedType(True, 12, 0))], 4, metric="l2"),
        POINTS,
    ),
    (
        "l1 fine p",
        one_op(Op.DISTANCE, S12, 5, [(POINTS, FixedType(True, 12, 5))], 4, metric="l1"),
        POINTS,
    ),
    ("sumsq", one_op(Op.SUMSQ, S12, 5, [], 1), None),
    ("add", one_op(Op.ADD, S12, 5, [(ROW, S12)], 5), ROW),
    ("sub", one_op(Op.SUB, S12, 5, [(ROW, S12)], 5), ROW),
    ("mul", one_op(Op.MUL, S12, 5, [(ROW[:1], S12)], 5), ROW),
    ("relu", one_op(Op.RELU, S12, 5, [], 5), None),
    ("shift", one_op(Op.SHIFT, S12, 5, [], 5, left=5), None),
    ("min", one_op(Op.MIN, S12, 5, [], 1), None),
    ("argmax", one_op(Op.ARGMAX, S12, 5, [], 1), None),
    ("requant", one_op(Op.REQUANT, S12, 5, [(ROW % 9 - 4, S12)], 5, shift=4, type=S9), ROW % 9 - 4),
    ("requant u", one_op(Op.REQUANT, S12, 5, [(ROW[:1] * 0 + 3, S12)], 5, shift=1, type=U7), [3]),
    *(
        ("div", one_op(Op.DIV, S12, 5, [(np.array([d]), S12)], 5, shift=6), [d])
        for d in (-7, 0, 1, 2, 3, 1000)
    ),
]


@pytest.mark.parametrize(("op", "graph", "c"), INTEGER, ids=[f"{o}-{i}" for i, (o, _, _) in
                         enumerate(INTEGER)])  # fmt: skip
def test_integer_ops(op: str, graph: Graph, c: Any) -> None:
    """Random vectors, the ends of the type, and ties."""
    x = RNG.integers(-2048, 2048, (200, 5))
    x[0], x[1], x[2], x[3] = -2048, 2047, 0, [5, 5, -3, 5, -3]
    x[4:40] = RNG.integers(-9, 10, (36, 5))
    constant = c.tolist() if isinstance(c, np.ndarray) else c
    wanted = [reference(op, row, constant) for row in x.tolist()]
    assert interpret(graph, x).tolist() == wanted


def test_lookup() -> None:
    index = FixedType(False, 2)
    own = np.arange(20).reshape(5, 4) * 3 - 30
    graph = one_op(Op.LOOKUP, index, 5, [(own, S12)], 5, type=S12)
    x = RNG.integers(0, 4, (50, 5))
    assert interpret(graph, x).tolist() == [[own[n][i] for n, i in enumerate(r)] for r in x]
    shared = one_op(Op.LOOKUP, index, 5, [(own[:1], S12)], 5, type=S12)
    assert interpret(shared, x).tolist() == [[own[0][i] for i in r] for r in x]


@pytest.mark.parametrize(
    ("x", "shift", "wanted"),
    [(5, 1, 3), (-5, 1, -2), (3, 1, 2), (-3, 1, -1), (4, 3, 1), (-4, 3, 0), (-5, 3, -1), (0, 1, 0)],
)
def test_halves_round_up(x: int, shift: int, wanted: int) -> None:
    assert round_shift(np.array(x), shift) == wanted


def test_a_value_that_leaves_its_type_is_an_error_and_never_a_wrap() -> None:
    graph = one_op(Op.ADD, S12, 1, [(np.array([2047]), S12)], 1, type=S12)
    assert interpret(graph, np.array([[0]])) == 2047
    with pytest.raises(OracleOverflow, match=r"y: add: 2048..2048 leaves s12q3 \[-2048, 2047\]"):
        interpret(graph, np.array([[1]]))
    with pytest.raises(OracleOverflow, match="input: input: 2048"):
        interpret(graph, np.array([[2048]]))


def run(op: Op, x: Array, *consts: Array, **attrs: Any) -> Array:
    graph = one_op(op, F32, x.shape[1], [(c, F32) for c in consts], attrs.pop("out"), **attrs)
    return interpret(graph, x)


def close(got: Array, wanted: torch.Tensor) -> None:
    """binary64 noise only."""
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-12, atol=1e-12)


X = RNG.standard_normal((40, 6)) * 3
T = torch.from_numpy(X)
P = RNG.standard_normal((4, 6))
W = RNG.standard_normal((6, 4))
POSITIVE = RNG.uniform(0.5, 2, 6)


def test_float_ops_against_torch() -> None:
    close(run(Op.MATMUL, X, W, out=4), T @ torch.from_numpy(W))
    close(run(Op.MATMUL, X, P, out=4, transposed=True), F.linear(T, torch.from_numpy(P)))
    close(run(Op.DISTANCE, X, P, out=4, metric="l1"), torch.cdist(T, torch.from_numpy(P), p=1))
    d = torch.cdist(T, torch.from_numpy(P), compute_mode="donot_use_mm_for_euclid_dist")
    close(run(Op.DISTANCE, X, P, out=4, metric="l2"), d.square())
    close(run(Op.SUMSQ, X, out=1), T.square().sum(1, keepdim=True))
    close(run(Op.SOFTMAX, X * 200, out=6), torch.softmax(T * 200, 1))
    close(run(Op.GELU, X * 9, out=6), F.gelu(T * 9, approximate="tanh"))
    close(run(Op.RELU, X, out=6), F.relu(T))
    close(run(Op.EXP, X, out=6), torch.exp(T))
    close(run(Op.SQRT, X, out=6), T.clamp_min(0).sqrt())
    close(run(Op.DIV, X, POSITIVE, out=6), T / torch.from_numpy(POSITIVE))
    close(run(Op.DIV, X, POSITIVE[:1], out=6), T / POSITIVE[0])
    close(run(Op.ADD, X, POSITIVE, out=6), T + torch.from_numpy(POSITIVE))
    close(run(Op.SUB, X, POSITIVE, out=6), T - torch.from_numpy(POSITIVE))
    close(run(Op.MUL, X, POSITIVE, out=6), T * torch.from_numpy(POSITIVE))


def test_distance_to_scaled_bytes() -> None:
    q, scale = RNG.integers(-127, 128, (4, 6)), RNG.uniform(0.01, 0.1, 4)
    graph = one_op(
        Op.DISTANCE, F32, 6, [(q, FixedType(True, 8)), (scale, F32)], 4, metric="l1"
    )  # fmt: skip
    points = torch.from_numpy(q * scale[:, None])
    close(interpret(graph, X), torch.cdist(T, points, p=1))


def test_argmax_takes_the_first_maximum() -> None:
    x = np.array([[1.0, 7, 7, 0, 7, 2], [-1, -1, -1, -1, -1, -1]])
    assert run(Op.ARGMAX, x, out=1).tolist() == [[1], [0]]


def test_large_arguments_stay_finite() -> None:
    x = np.array([[-1e30, -800, 0, 800, 1e30, 1e100]])
    assert run(Op.GELU, x, out=6).tolist() == [[0, 0, 0, 800, 1e30, 1e100]]
    assert run(Op.SOFTMAX, x, out=6).tolist() == [[0, 0, 0, 0, 0, 1]]
    assert run(Op.EXP, -np.abs(x), out=6)[0, 0] == 0


def test_distances_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from crystalc import interpret as module

    x, p = RNG.standard_normal((33, 7)), RNG.standard_normal((5, 7))
    whole = module._accumulate(x, p, "l2")
    np.testing.assert_array_equal(module._accumulate(x, p, "l2", block=80), whole)
    np.testing.assert_array_equal(module._accumulate(x, p, "l2", block=1), whole)


def test_new_values_of_active_constants() -> None:
    graph = one_op(Op.ADD, S12, 2, [(np.array([1, 2]), S12)], 2, type=FixedType(True, 13, 3))
    x = np.array([[10, 20]])
    assert interpret(graph, x).tolist() == [[11, 22]]
    assert interpret(graph, x, {1: np.array([5, -5])}).tolist() == [[15, 15]]
    with pytest.raises(OracleOverflow, match=r"const: 5000\.\.5000 leaves s12q3"):
        interpret(graph, x, {1: np.array([5000, 5000])})


def test_values_of_every_node() -> None:
    graph = one_op(Op.ADD, S12, 2, [(np.array([1, 2]), S12)], 2)
    shapes = [v.shape for v in values(graph, np.zeros((3, 2)))]
    assert shapes == [(3, 2), (2,), (3, 2), (3, 2)]


def test_every_op_has_a_meaning() -> None:
    structure = {Op.INPUT, Op.CONST}
    assert set(FLOAT) | set(FIXED) == set(Op) - structure
    sequence = {Op.EMBED, Op.NORM, Op.ATTENTION}
    assert set(FLOAT) - set(FIXED) == {Op.SQRT, Op.EXP, Op.GELU, Op.SOFTMAX} | sequence
    assert set(FIXED) - set(FLOAT) == {Op.SHIFT, Op.REQUANT, Op.LOOKUP, Op.MIN}


@pytest.mark.parametrize("seed", range(60))
def test_lowered_models_mean_what_the_torch_modules_mean(seed: int) -> None:
    """binary64 against binary64: 1e-9 of the largest output; binary32: 1e-3."""
    rng = np.random.default_rng(seed)
    checkpoint = random_checkpoint(rng)
    graph = lower(checkpoint)
    model = CrystalClassifier.from_checkpoint(checkpoint)
    x = rng.standard_normal((30, checkpoint.config.inputs)).astype(np.float32)
    got = interpret(graph, x)
    with torch.no_grad():
        single = model(torch.from_numpy(x)).numpy()
        double = model.double()(torch.from_numpy(x).double()).numpy()
    size = np.abs(got).max()
    np.testing.assert_allclose(got, double, rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(got, single, rtol=0, atol=1e-3 * size)
