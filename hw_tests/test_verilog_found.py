"""Graphs that fuzzing found to differ from the oracle, cut down by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError
from crystalc.interpret import interpret
from crystalc.ir import Builder, FixedType, Graph, Loc, Op, TensorType
from hw_tests.verilog_models import NEEDS_ICARUS, Array, build, run, writes

pytestmark = NEEDS_ICARUS

HERE = Loc("found")


def clipped_below_its_type() -> Graph:
    """An index clipped to 7, the top of a signed type: more bits than its own choose an entry."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(1, FixedType(False, 6)), HERE)
    factor = made.const(np.array([1 << 6]), FixedType(False, 7), HERE, None, "scale")
    index = made.op(Op.REQUANT, (x, factor), typed(1, FixedType(True, 4)), HERE, shift=7)
    points = made.const(np.array([[3]]), FixedType(False, 6), HERE, None, "positions")
    apart = made.op(Op.DISTANCE, (index, points), typed(1, FixedType(False, 6)), HERE, metric="l1")
    return finished(made, apart)


def a_start_of_many_pieces() -> Graph:
    """Weights of one bit beside starts of nine, which no group is long enough to read."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(2, FixedType(True, 8)), HERE)
    points = made.const(np.zeros((1, 2), int), FixedType(False, 8), HERE, None, "positions")
    apart = made.op(Op.DISTANCE, (x, points), typed(1, FixedType(False, 9)), HERE, metric="l1")
    return finished(made, apart)


def divided_by_less_than_nothing() -> Graph:
    """A divisor below 1 counts as 1."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(2, FixedType(True, 5)), HERE)
    rows = [np.array([[3, -2], [1, 5]]), np.array([[-1, 2]])]
    top, below = (
        made.op(
            Op.MATMUL,
            (x, made.const(row, FixedType(True, 4), HERE, None, "weight")),
            typed(len(row), FixedType(True, 9)),
            HERE,
            transposed=True,
        )
        for row in rows
    )
    divided = made.op(Op.DIV, (top, below), typed(2, FixedType(True, 12)), HERE, shift=1)
    return finished(made, divided)


def one_active_number_for_all() -> Graph:
    """An active constant of one element beside several sums."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(2, FixedType(True, 5)), HERE)
    rows = np.array([[3, -2], [1, 5], [-4, 2]])
    weight = made.const(rows, FixedType(True, 4), HERE, None, "weight")
    y = made.op(Op.MATMUL, (x, weight), typed(3, FixedType(True, 9)), HERE, transposed=True)
    bias = made.const(np.array([24]), FixedType(True, 6), HERE, np.array([True]), "offset")
    return finished(made, made.op(Op.SUB, (bias, y), typed(3, FixedType(True, 10)), HERE))


def twice_the_same_product() -> Graph:
    """A product added to itself reads its vector once."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(2, FixedType(True, 5)), HERE)
    weight = made.const(np.array([[3, -2]]), FixedType(True, 4), HERE, None, "weight")
    y = made.op(Op.MATMUL, (x, weight), typed(1, FixedType(True, 9)), HERE, transposed=True)
    return finished(made, made.op(Op.ADD, (y, y), typed(1, FixedType(True, 10)), HERE))


def active_weights_read_twice(divided: bool) -> Graph:
    """Active weights for dividend and divisor, or for two vectors one after the other."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(2, FixedType(True, 5)), HERE)
    size = 1 if divided else 2
    rows, active = np.array([[3, -2], [1, 5]])[:size], np.array([True, False])[:size]
    weight = made.const(rows, FixedType(True, 4), HERE, active, "weight")
    y = made.op(Op.MATMUL, (x, weight), typed(size, FixedType(True, 9)), HERE, transposed=True)
    if not divided:
        z = made.op(Op.MATMUL, (y, weight), typed(2, FixedType(True, 13)), HERE, transposed=True)
        return finished(made, z)
    top = made.op(Op.SHIFT, (y,), typed(1, FixedType(True, 10)), HERE, left=1)
    return finished(made, made.op(Op.DIV, (top, y), typed(1, FixedType(True, 12)), HERE, shift=0))


def less_the_least_input() -> Graph:
    """A product less the least of what comes in, which no pass makes."""
    made = Builder("found")
    x = made.op(Op.INPUT, (), typed(2, FixedType(True, 5)), HERE)
    weight = made.const(np.array([[3, -2], [1, 5]]), FixedType(True, 4), HERE, None, "weight")
    y = made.op(Op.MATMUL, (x, weight), typed(2, FixedType(True, 9)), HERE, transposed=True)
    least = made.op(Op.MIN, (x,), typed(1, FixedType(True, 5)), HERE)
    return finished(made, made.op(Op.SUB, (y, least), typed(2, FixedType(True, 10)), HERE))


def finished(made: Builder, last: int) -> Graph:
    made.op(Op.OUTPUT, (last,), made.nodes[last].type, HERE)
    return made.graph()


def typed(size: int, elem: FixedType) -> TensorType:
    return TensorType((size,), elem)


def every_input(graph: Graph) -> Array:
    elem, size = graph.input.type.elem, graph.input.type.shape[0]
    assert isinstance(elem, FixedType)
    spots = np.linspace(elem.low, elem.high, 64 if size == 1 else 12).astype(int)
    return np.stack(np.meshgrid(*[spots] * size), -1).reshape(-1, size)


@pytest.mark.parametrize(
    ("graph", "arch"),
    [
        (clipped_below_its_type(), "parallel"),
        (a_start_of_many_pieces(), "folded"),
        (divided_by_less_than_nothing(), "folded"),
        (divided_by_less_than_nothing(), "parallel"),
        (one_active_number_for_all(), "folded"),
        (twice_the_same_product(), "folded"),
    ],
    ids=["clipped", "pieces", "folded division", "parallel division", "one active number", "twice"],
)
def test_equals_the_oracle(graph: Graph, arch: str, tmp_path: Path) -> None:
    x = every_input(graph)
    assert np.array_equal(run(build(tmp_path, graph, arch=arch), x), interpret(graph, x))


@pytest.mark.parametrize("divided", [True, False])
def test_active_weights_that_are_read_twice_do_not_fold(divided: bool, tmp_path: Path) -> None:
    """A write reaches one word: the second reader kept the old weights."""
    graph = active_weights_read_twice(divided)
    with pytest.raises(CompileError, match="has no place for active weights that are read twice"):
        build(tmp_path, graph, arch="folded")
    new = {graph.find(Op.CONST)[0]: np.array([[-4, 7], [1, 5]])[: 1 if divided else 2]}
    x = every_input(graph)
    got = run(build(tmp_path, graph), x, writes=writes(tmp_path, new), write_at=5)
    assert np.array_equal(got[:5], interpret(graph, x[:5]))
    assert np.array_equal(got[5:], interpret(graph, x[5:], new))


def test_the_least_input_does_not_fold(tmp_path: Path) -> None:
    """Only results of a pass are compared as they are stored."""
    graph = less_the_least_input()
    with pytest.raises(CompileError, match="has no place for 'min' here"):
        build(tmp_path, graph, arch="folded")
    x = every_input(graph)
    assert np.array_equal(run(build(tmp_path, graph), x), interpret(graph, x))
