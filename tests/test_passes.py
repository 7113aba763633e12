"""Every pass keeps what a graph means: equal integers, or reals up to binary64 noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_graphs import (
    float_graph,
    inputs_for,
    quantized,
    random_checkpoint,
    random_state,
    samples_of,
)
from support import tiny_checkpoint

from crystalc.checkpoint import Activation, Checkpoint
from crystalc.error_bound import error_bound
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret, values
from crystalc.ir import FixedType, Graph, Op, TensorType
from crystalc.passes.base import Pass
from crystalc.passes.combine import Combine
from crystalc.passes.fold import Fold, Reciprocal
from crystalc.passes.legalize import Legalize
from crystalc.passes.prune import Prune, dropped
from crystalc.passes.quantize_weights import QuantizeWeights
from crystalc.passes.rows import fields
from crystalc.passes.split_frontier import SplitFrontier
from crystalc.pipeline import meaning_passes, pass_names, run_passes, shaping_passes
from crystalc.vectors import real_vectors
from crystalc.verify import check

Array = NDArray[Any]

SEEDS = st.integers(0, 2**32)
FLOAT_PASSES: tuple[Pass, ...] = (
    *(Fold(), Prune(), SplitFrontier()),
    *(Legalize(), Combine(), Reciprocal()),
)
FIXED_PASSES: tuple[Pass, ...] = (Prune(), SplitFrontier(), Legalize(), Combine())


def equal(before: Graph, after: Graph, x: Array) -> None:
    """Equal integers; reals to 1e-9 of the largest output."""
    a, b = interpret(before, x), interpret(after, x)
    if before.is_fixed:
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-9 * np.abs(a).max() + 1e-12)


@given(SEEDS)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_float_passes_keep_models(seed: int) -> None:
    """Each pass on the graph of the one before, on samples, their ends and far outside."""
    checkpoint = random_checkpoint(np.random.default_rng(seed))
    graph = lower(checkpoint)
    x = real_vectors(samples_of(checkpoint), 60)
    for step in FLOAT_PASSES:
        after = check(step.run(graph))
        equal(graph, after, x)
        graph = after


@given(SEEDS)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_float_passes_keep_any_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = float_graph(rng)
    x = inputs_for(graph, rng, 30)
    for step in (Fold(), Legalize(), Reciprocal()):
        equal(graph, check(step.run(graph)), x)


@given(SEEDS, st.integers(4, 16))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_fixed_passes_keep_models(seed: int, width: int) -> None:
    """On samples and on any input; active rows may be rewritten by anything before and after."""
    rng = np.random.default_rng(seed)
    graph, samples = quantized(random_checkpoint(rng), width)
    x = np.concatenate([samples, inputs_for(graph, rng, 30)])
    for step in FIXED_PASSES:
        after = check(step.run(graph))
        equal(graph, after, x)
        graph = after
        values(graph, x, random_state(graph, rng))  # raises OracleOverflow


@given(SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_passes_keep_byte_weights(seed: int) -> None:
    checkpoint = random_checkpoint(np.random.default_rng(seed))
    samples = samples_of(checkpoint)
    graph = run_passes(lower(checkpoint), meaning_passes("float", 8, "q8", samples))
    x = real_vectors(samples, 60)
    for step in shaping_passes("float", "q8"):
        after = check(step.run(graph))
        equal(graph, after, x)
        graph = after


def test_byte_weights_are_near() -> None:
    """One scale per row: at most half a step of 1/127 of the row's largest weight."""
    checkpoint = tiny_checkpoint(projection=True, head=True, frozen=1.0)
    graph = run_passes(lower(checkpoint), (Fold(), SplitFrontier()))
    after = check(QuantizeWeights().run(graph))
    bytes_ = [n for n in after.nodes if str(n.type.elem) == "s8q0"]
    assert [str(n.attrs["role"]) for n in bytes_] == ["weight", "positions", "values"]
    for node in bytes_:
        assert np.abs(node.data()).max(1).tolist() == [127] * len(node.data())
    weight = next(
        n for n in graph.nodes if n.loc.key == "projection.weight" and n.value is not None
    )
    scale = np.abs(weight.data()).max(1, keepdims=True) / 127
    error = np.abs(bytes_[0].data() * scale - weight.data())
    assert (error <= 0.5001 * scale).all()


def test_active_rows_keep_their_floats() -> None:
    graph = run_passes(
        lower(tiny_checkpoint(frozen=0.0)), meaning_passes("float", 8, "q8", np.zeros((1, 5)))
    )
    assert all(n.type.elem == graph.input.type.elem for n in graph.nodes if n.is_state)
    assert {str(n.attrs["role"]) for n in graph.nodes if n.is_state} == {
        "positions", "values", "temperature", "radius",
    }  # fmt: skip


# ---- what each pass promises ----


def ops(graph: Graph) -> list[Op]:
    return [n.op for n in graph.nodes if n.op is not Op.CONST]


def test_fold_joins_values_and_head() -> None:
    graph = lower(tiny_checkpoint(head=True))
    after = Fold().run(graph)
    assert ops(graph).count(Op.MATMUL) == 2
    assert ops(after).count(Op.MATMUL) == 1
    values_ = after[after[after.find(Op.MATMUL)[0]].inputs[1]]
    assert values_.type.shape == (6, 3)
    assert values_.active is not None
    assert values_.attrs["role"] == "values"


def test_reciprocal_leaves_no_division_by_a_frozen_constant() -> None:
    for frozen, divisions in ((1.0, 0), (0.5, 1), (0.0, 1)):
        graph = run_passes(lower(tiny_checkpoint("gauss", frozen=frozen)), FLOAT_PASSES)
        assert len(graph.find(Op.DIV)) == divisions
        assert len(graph.find(Op.SUB)) == divisions + (frozen > 0)  # 0 - x only where divided


def test_split_leaves_no_mixed_constant() -> None:
    for seed in range(30):
        checkpoint = random_checkpoint(np.random.default_rng(seed))
        for graph in (lower(checkpoint), quantized(checkpoint, 8)[0]):
            after = SplitFrontier().run(graph)
            assert all(n.active is None or n.active.all() for n in after.nodes)


def test_a_normalised_field_is_active_as_a_whole() -> None:
    checkpoint = tiny_checkpoint("gauss", normalized=True, frozen=0.5)
    graph = SplitFrontier().run(lower(checkpoint))
    assert len(graph.find(Op.DISTANCE)) == 1
    state = [str(n.attrs["role"]) for n in graph.nodes if n.is_state]
    assert state == ["positions", "temperature", "values"]


def test_one_normalised_active_neuron_keeps_the_shared_table() -> None:
    """Its table of exp has one row, as a neuron's constants do, but is no neuron's."""
    for seed in range(20):
        checkpoint = tiny_checkpoint(
            "laplace", metric="l1", normalized=True, neurons=1, frozen=0.0, seed=seed
        )
        graph, x = quantized(checkpoint, 14)
        after = run_passes(graph, FIXED_PASSES)
        equal(graph, after, x)
        state = [str(n.attrs["role"]) for n in after.nodes if n.is_state]
        assert sorted(state) == ["offset", "positions", "scale", "table", "values"]


def test_parts_of_a_split_sum_may_reach_farther_than_the_sum() -> None:
    """Frozen weights that are never 0 and positive values: the active part alone is wider."""
    checkpoint = tiny_checkpoint("laplace", seed=140, neurons=12, frozen=0.7)
    tensors = dict(checkpoint.tensors)
    rng = np.random.default_rng(140)
    tensors["field.temperature"] = rng.uniform(50, 150, 12).astype(np.float32)
    for sign in (1, -1):
        for frozen in range(1, 12):
            tensors["field.values"] = sign * np.abs(tensors["field.values"])
            tensors["field.frozen"] = np.arange(12) < frozen
            graph, x = quantized(replace(checkpoint, tensors=tensors), 8)
            equal(graph, run_passes(graph, FIXED_PASSES), x)


def test_legalize_expands_frozen_squares_only() -> None:
    def distances(checkpoint: Checkpoint, *before: Pass) -> int:
        graph = run_passes(lower(checkpoint), (*before, Legalize()))
        return len(graph.find(Op.DISTANCE))

    assert distances(tiny_checkpoint("gauss", frozen=1.0)) == 0
    assert distances(tiny_checkpoint("gauss", frozen=0.5), SplitFrontier()) == 1
    assert distances(tiny_checkpoint("gauss", metric="l1", frozen=1.0)) == 1
    assert distances(tiny_checkpoint("laplace", frozen=1.0)) == 1  # under a root


def test_legalize_keeps_a_sharp_kernel_far_from_the_origin_direct() -> None:
    """|p|^2 - 2 p.x + |x|^2 would lose the digits that exp(-d^2/T^2) needs."""
    checkpoint = tiny_checkpoint("gauss", frozen=1.0)
    tensors = dict(checkpoint.tensors)
    tensors["field.positions"] = tensors["field.positions"] * np.float32(0.1) + np.float32(100)
    tensors["field.temperature"] = np.full(6, 0.1, dtype=np.float32)
    sharp = replace(checkpoint, tensors=tensors)
    graph = run_passes(lower(sharp), FLOAT_PASSES)
    assert len(graph.find(Op.DISTANCE)) == 1
    near = tensors["field.positions"].astype(np.float64)
    assert error_bound(graph, near).max() < 1e-4


def test_legalize_fixed_leaves_no_frozen_square() -> None:
    graph, _ = quantized(tiny_checkpoint("laplace", frozen=1.0), 8)
    assert not Legalize().run(graph).find(Op.DISTANCE)


def without_effect(checkpoint: Checkpoint, neuron: int) -> Checkpoint:
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.values"][neuron] *= np.float32(1e-12)
    return replace(checkpoint, tensors=tensors)


@pytest.mark.parametrize("frozen", [1.0, 0.0])
def test_prune_drops_what_no_output_feels(frozen: float) -> None:
    graph = lower(without_effect(tiny_checkpoint("gauss", frozen=frozen), 2))
    gone = [d.neuron for d in dropped(graph, fields(graph)[0])]
    assert gone == ([2] if frozen else [])  # an active one may be rewritten
    assert Prune().run(graph)[graph.find(Op.DISTANCE)[0]].type.shape == (6 - len(gone),)


def test_prune_keeps_one_neuron_of_a_dead_field() -> None:
    checkpoint = tiny_checkpoint("gauss", frozen=1.0)
    tensors = {**checkpoint.tensors, "field.values": np.zeros((6, 3), np.float32)}
    graph = lower(replace(checkpoint, tensors=tensors))
    after = check(Prune().run(graph))
    assert after[after.find(Op.DISTANCE)[0]].type.shape == (1,)


@pytest.mark.parametrize(
    ("activation", "radius", "temperature", "value", "gone"),
    [
        ("relu", -1.0, 1.0, 1.0, True),  # never inside its radius
        ("relu", -1.0, -1.0, 1.0, False),  # open outwards: no bound
        ("relu", 1.0, -1.0, 1.0, False),
        ("relu", 1.0, -1.0, 0.0, True),  # no bound, but no value either
        ("gelu", -1.0, 1.0, 1.0, False),  # gelu is not 0 below 0
        ("gelu", -1.0, 1.0, 1e-9, True),
    ],
)
def test_prune_knows_the_kernels(
    activation: Any, radius: float, temperature: float, value: float, gone: bool
) -> None:
    checkpoint = tiny_checkpoint("radial", activation, frozen=1.0)
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.radius"][1] = radius
    tensors["field.temperature"][1] = temperature
    tensors["field.values"][1] = value
    graph = lower(replace(checkpoint, tensors=tensors))
    assert [d.neuron for d in dropped(graph, fields(graph)[0])] == ([1] if gone else [])


def test_prune_leaves_a_normalised_field() -> None:
    checkpoint = without_effect(tiny_checkpoint("gauss", normalized=True, frozen=1.0), 2)
    graph = lower(checkpoint)
    assert dropped(graph, fields(graph)[0]) == []


def test_fixed_prune_proves_its_zeros() -> None:
    """A radius that no input comes inside of: the interval of the weight is [0, 0]."""
    checkpoint = tiny_checkpoint("radial", "relu", frozen=1.0, neurons=3)
    graph, x = quantized(checkpoint, 8)
    radius = graph[fields(graph)[0].chain[1]].inputs[0]
    far = np.array([*graph[radius].data()[:2], -5])
    frac = graph[fields(graph)[0].distance].type.elem.frac  # type: ignore[union-attr]
    moved = replace(graph[radius], value=far, type=TensorType((3,), FixedType(True, 24, frac)))
    nodes = [moved if i == radius else node for i, node in graph]
    wide = replace(graph, nodes=tuple(nodes))
    gone = dropped(wide, fields(wide)[0])
    assert [(d.neuron, d.bound, d.reason) for d in gone] == [
        (2, 0.0, "its weight is 0 for every input")
    ]
    equal(wide, Prune().run(wide), x)


def test_passes_leave_their_input_alone() -> None:
    checkpoint = tiny_checkpoint(head=True, projection=True)
    for graph, passes in ((lower(checkpoint), FLOAT_PASSES), (quantized(checkpoint, 8)[0],
                          FIXED_PASSES)):  # fmt: skip
        before = str(graph)
        for step in passes:
            step.run(graph)
        assert str(graph) == before


def test_passes_do_nothing_twice() -> None:
    for seed in range(20):
        checkpoint = random_checkpoint(np.random.default_rng(seed))
        graph = run_passes(lower(checkpoint), FLOAT_PASSES)
        fixed = run_passes(quantized(checkpoint, 8)[0], FIXED_PASSES)
        assert str(run_passes(graph, FLOAT_PASSES)) == str(graph)
        assert str(run_passes(fixed, FIXED_PASSES)) == str(fixed)


def test_fold_and_reciprocal_leave_a_fixed_graph() -> None:
    graph, _ = quantized(tiny_checkpoint(), 8)
    assert Fold().run(graph) is graph
    assert Reciprocal().run(graph) is graph


def test_names_of_passes() -> None:
    """Each once, in order of running, with the lowering first."""
    order = {
        ("float", "f32"): ["fold", "prune", "split_frontier", "legalize", "reciprocal"],
        ("float", "q8"): ["fold", "prune", "split_frontier", "quantize_weights", "legalize"],
        ("fixed", "f32"): ["fold", "prune", "quantize", "split_frontier", "legalize"],
    }
    for (arithmetic, weights), some in order.items():
        names = pass_names(arithmetic, weights)  # type: ignore[arg-type]
        assert names[0] == "lower"
        assert len(set(names)) == len(names)
        assert [name for name in names if name in some] == some


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_combine_saves_an_addition_per_neuron(activation: Activation) -> None:
    checkpoint = tiny_checkpoint("radial", activation, frozen=1.0)
    real = run_passes(lower(checkpoint), (Fold(), Legalize()))
    fixed = run_passes(quantized(checkpoint, 8)[0], (Legalize(),))
    for before in (real, fixed):
        after = run_passes(before, (Combine(),))
        sums = [sum(n.op in (Op.ADD, Op.SUB) for n in g.nodes) for g in (before, after)]
        assert sums[1] == sums[0] - 1
