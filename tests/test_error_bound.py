"""The float bound contains what single precision really does, and is not much larger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_graphs import float_graph, inputs_for, random_checkpoint, samples_of

from crystalc.error_bound import LOCAL, ambiguous, error_bound
from crystalc.frontend.lower import lower
from crystalc.interpret import FLOAT, interpret
from crystalc.ir import Builder, FloatType, Graph, Loc, Op, TensorType
from crystalc.pipeline import run_passes, shaping_passes
from crystalc.vectors import real_vectors

Array = NDArray[Any]


def single(graph: Graph, x: Array) -> Array:
    """The same graph with every value rounded to binary32, NumPy's own binary32 arithmetic."""
    out: list[Array] = []
    with np.errstate(all="ignore"):
        for _, node in graph:
            if node.op is Op.INPUT:
                out.append(x.astype(np.float32))
            elif node.op is Op.CONST:
                out.append(node.data().astype(np.float32))
            else:
                value = FLOAT[node.op](node, *(out[j] for j in node.inputs))
                out.append(np.asarray(value, dtype=np.float32))
    return out[graph.find(Op.OUTPUT)[0]].astype(np.float64)


def test_single_precision_stays_inside() -> None:
    """On 150 graphs; and the bound is on average less than 200 times the error."""
    looseness = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        if seed % 2:
            graph = float_graph(rng)
            x = inputs_for(graph, rng, 40)
        else:
            checkpoint = random_checkpoint(rng)
            graph = run_passes(lower(checkpoint), shaping_passes("float", "f32"))
            x = real_vectors(samples_of(checkpoint), 40)
        if graph[graph.output.inputs[0]].op is Op.ARGMAX:
            continue
        error = np.abs(single(graph, x) - interpret(graph, x))
        bound = error_bound(graph, x)
        assert (error <= bound).all(), seed
        looseness.append(bound.max() / max(error.max(), 1e-30))
    assert np.median(looseness) < 200


def test_half_the_bits_is_a_wider_bound() -> None:
    rng = np.random.default_rng(0)
    graph = lower(random_checkpoint(rng))
    x = inputs_for(graph, rng, 20)
    ratio = error_bound(graph, x, bits=11) / error_bound(graph, x, bits=24)
    assert 2**12 < np.median(ratio) < 2**14


def test_the_bound_is_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    graph = lower(random_checkpoint(rng))
    x = inputs_for(graph, rng, 20)
    np.testing.assert_array_equal(error_bound(graph, x), error_bound(graph, x))


def test_cancellation_is_seen() -> None:
    """(x + 1e6) - 1e6 loses what x + 0 keeps."""
    f32 = FloatType()
    bounds = []
    for big in (1e6, 0.0):
        build = Builder()
        kind = TensorType((1,), f32)
        x = build.op(Op.INPUT, (), kind, Loc("input"))
        c = build.const(np.array([big]), f32, Loc("c"))
        y = build.op(Op.SUB, (build.op(Op.ADD, (x, c), kind, Loc("a")), c), kind, Loc("b"))
        build.op(Op.OUTPUT, (y,), kind, Loc("output"))
        bounds.append(float(error_bound(build.graph(), np.ones((1, 1)))[0, 0]))
    assert bounds[0] > 0.05
    assert bounds[1] < 1e-5


def test_ops_that_do_not_round() -> None:
    assert set(FLOAT) - set(LOCAL) == {Op.OUTPUT, Op.RELU, Op.ARGMAX, Op.EMBED}


@pytest.mark.parametrize(
    ("scores", "error", "wanted"),
    [
        ([[1.0, 2.0]], 0.4, [False]),
        ([[1.0, 2.0]], 0.6, [True]),
        ([[2.0, 1.0, 1.9]], 0.01, [False]),
        ([[2.0, 1.0, 1.9]], 0.06, [True]),
        ([[3.0]], 9.0, [False]),
    ],
)
def test_ambiguous_decisions(scores: list[list[float]], error: float, wanted: list[bool]) -> None:
    x = np.array(scores)
    assert ambiguous(x, np.full(x.shape, error)).tolist() == wanted


def argmax_graph() -> Graph:
    build = Builder()
    kind = TensorType((3,), FloatType())
    x = build.op(Op.INPUT, (), kind, Loc("input"))
    one = build.const(np.full(3, 1.1), FloatType(), Loc("c"))
    y = build.op(Op.MUL, (x, one), kind, Loc("y"))
    single_ = TensorType((1,), FloatType())
    best = build.op(Op.ARGMAX, (y,), single_, Loc("best"))
    build.op(Op.OUTPUT, (best,), single_, Loc("output"))
    return build.graph()


def test_a_certain_winner_has_no_room() -> None:
    x = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 3.0]])
    assert error_bound(argmax_graph(), x).tolist() == [[0.0], [3.0]]
