"""Intervals contain everything that can happen, and types are no wider than they must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import fixed_graph, inputs_for, quantized, random_checkpoint, random_state

from crystalc.diagnostics import CompileError
from crystalc.interpret import values
from crystalc.ir import FixedType, Graph, Loc, Node, Op, TensorType
from crystalc.passes.sized import SizedBuilder
from crystalc.ranges import RULES, intervals, smallest_type

SEEDS = st.integers(0, 2**32)


def contained(graph: Graph, rng: np.random.Generator) -> None:
    """Every value of every node, for random and extreme inputs and active rows."""
    bounds = intervals(graph)
    for _ in range(3):
        state = random_state(graph, rng)
        for node, value, bound in zip(
            graph.nodes, values(graph, inputs_for(graph, rng, 20), state), bounds, strict=True
        ):
            assert (value >= bound.low).all(), node
            assert (value <= bound.high).all(), node


@given(SEEDS)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_intervals_of_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    contained(fixed_graph(rng), rng)


@given(SEEDS, st.integers(4, 16))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_intervals_of_models(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    contained(quantized(random_checkpoint(rng, 12), width)[0], rng)


@given(st.integers(-(2**61), 2**61), st.integers(0, 2**60))
@settings(deadline=None, derandomize=True)
def test_the_smallest_type_is_the_smallest(low: int, span: int) -> None:
    high = low + span
    elem = smallest_type(low, high, 3)
    assert elem.low <= low
    assert high <= elem.high
    assert elem.frac == 3
    assert elem.signed == (low < 0)
    less = FixedType(elem.signed, elem.width - 1, 3)
    assert elem.width == 1 or less.low > low or less.high < high


def test_smallest_types_at_the_ends() -> None:
    texts = [str(smallest_type(v, v, 0)) for v in (-8, -1, 0, 1, 8, -9)]
    assert texts == ["s4q0", "s1q0", "u1q0", "u1q0", "u4q0", "s5q0"]


def test_every_fixed_op_has_a_rule() -> None:
    from crystalc.interpret import FIXED

    assert set(RULES) == set(FIXED)


def graph_of(op: Op, low: int, high: int, **attrs: int) -> Graph:
    """op(x) or op(x, x[:1]) for an input s8 brought into [low, high] by a table."""
    build = SizedBuilder()
    index = build.op(Op.INPUT, (), TensorType((1,), FixedType(False, 8)), Loc("input"))
    table = np.linspace(low, high, 256).round().astype(np.int64)[None, :]
    elem = smallest_type(low, high, 0)
    t = build.const(table, elem, Loc("t"))
    x = build.op(Op.LOOKUP, (index, t), TensorType((1,), elem), Loc("x"))
    operands = (x, x) if op in (Op.MUL, Op.SUB, Op.DIV) else (x,)
    build.sized(op, operands, 1, 0, Loc("y"), **attrs)
    return build.graph()


@pytest.mark.parametrize(
    ("op", "low", "high", "attrs", "wanted"),
    [
        (Op.MUL, -3, 5, {}, (-15, 25)),
        (Op.MUL, -5, -2, {}, (4, 25)),
        (Op.SUB, -3, 5, {}, (-8, 8)),
        (Op.SUMSQ, -3, 5, {}, (0, 25)),
        (Op.SUMSQ, -5, -2, {}, (4, 25)),
        (Op.SUMSQ, 2, 5, {}, (4, 25)),
        (Op.RELU, -3, 5, {}, (0, 5)),
        (Op.RELU, -5, -3, {}, (0, 0)),
        (Op.SHIFT, -3, 5, {"left": 3}, (-24, 40)),
        (Op.DIV, -3, 5, {"shift": 2}, (-12, 20)),
        (Op.DIV, 2, 5, {"shift": 0}, (0, 3)),
        (Op.MIN, -3, 5, {}, (-3, 5)),
        (Op.ARGMAX, -3, 5, {}, (0, 0)),
    ],
)
def test_exact_ends(
    op: Op, low: int, high: int, attrs: dict[str, int], wanted: tuple[int, int]
) -> None:
    assert intervals(graph_of(op, low, high, **attrs))[-1].hull == wanted


def test_requant_saturates() -> None:
    build = SizedBuilder()
    x = build.op(Op.INPUT, (), TensorType((2,), FixedType(True, 8)), Loc("input"))
    m = build.const(np.array([3, -3]), FixedType(True, 3), Loc("m"))
    kind = TensorType((2,), FixedType(True, 8))
    build.op(Op.REQUANT, (x, m), kind, Loc("y"), shift=1)
    bound = intervals(build.graph())[-1]
    assert bound.low.tolist() == [-128, -128]
    assert bound.high.tolist() == [127, 127]


def test_a_frozen_row_is_exact_and_an_active_one_is_anything() -> None:
    build = SizedBuilder()
    build.op(Op.INPUT, (), TensorType((1,), FixedType(True, 8)), Loc("input"))
    active = np.array([False, True])
    build.const(np.array([[3, 4], [5, 6]]), FixedType(True, 4), Loc("c"), active)
    bound = intervals(build.graph())[-1]
    assert bound.low.tolist() == [[3, 4], [-8, -8]]
    assert bound.high.tolist() == [[3, 4], [7, 7]]


def test_what_62_bits_cannot_hold_is_refused() -> None:
    build = SizedBuilder()
    x = build.op(Op.INPUT, (), TensorType((2,), FixedType(True, 62)), Loc("input"))
    assert build.narrowed(
        Node(Op.RELU, (x,), TensorType((2,), FixedType(True, 62)), Loc("y"))
    ).type.elem == FixedType(False, 61)
    with pytest.raises(CompileError, match="too far apart in size for integers"):
        build.sized(Op.SHIFT, (x,), 2, 1, Loc("y"), left=1)
