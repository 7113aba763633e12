"""Quantisation: near to the float model on its samples, exact in what it promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import KERNELS, quantized, random_checkpoint
from support import tiny_checkpoint

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret
from crystalc.ir import Builder, FixedType, FloatType, Loc, Op, TensorType
from crystalc.passes.calibrate import (
    best_type,
    covering_type,
    multipliers,
    round_half_up,
    row_scale,
    to_fixed,
    to_real,
)
from crystalc.passes.quantize import Quantize
from crystalc.vectors import samples_of
from crystalc.verify import check

FINITE = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)


def error_share(checkpoint: Checkpoint, width: int) -> float:
    """Root mean square error of the integers on the samples, over the spread of the outputs."""
    graph, x = quantized(checkpoint, width)
    wanted = interpret(lower(checkpoint), samples_of(checkpoint))
    elem = graph.output.type.elem
    assert isinstance(elem, FixedType)
    got = to_real(interpret(graph, x), elem)
    return float(np.sqrt(np.square(got - wanted).mean()) / wanted.std())


FORMS = [(*pair, False) for pair in KERNELS] + [("gauss", None, True), ("laplace", None, True)]


@pytest.mark.parametrize("metric", ["l2", "l1"])
@pytest.mark.parametrize(("kernel", "activation", "normalized"), FORMS)
def test_more_bits_are_nearer(kernel: Any, activation: Any, metric: Any, normalized: bool) -> None:
    shares = []
    for width in (4, 8, 16):
        models = [
            tiny_checkpoint(
                kernel, activation, metric, seed=s, normalized=normalized, samples=64,
                neurons=20, projection=s % 2 == 0, head=s % 3 == 0,
            )
            for s in range(6)
        ]  # fmt: skip
        shares.append(float(np.mean([error_share(m, width) for m in models])))
    assert shares[0] < 0.6
    assert shares[1] < 0.08
    assert shares[2] < 0.02
    assert shares[0] > 3 * shares[1] > 3 * shares[2]


@given(st.integers(0, 2**32), st.integers(4, 16))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_widths_are_what_was_asked_for(seed: int, width: int) -> None:
    graph, x = quantized(random_checkpoint(np.random.default_rng(seed)), width)
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    assert elem.width == width
    assert elem.low <= x.min()
    assert x.max() <= elem.high
    for node in graph.nodes:
        if node.attrs.get("role") in ("weight", "positions", "values"):
            assert node.type.elem.width == width  # type: ignore[union-attr]
    assert graph.output.type.elem.width == 16  # type: ignore[union-attr]


@pytest.mark.parametrize("width", [-1, 0, 3, 17])
def test_a_width_outside_4_to_16_is_refused(width: int) -> None:
    checkpoint = tiny_checkpoint()
    with pytest.raises(CompileError, match=f"--width {width} is outside 4..16"):
        Quantize(width, samples_of(checkpoint)).run(lower(checkpoint))


def test_argmax_survives() -> None:
    from crystalc.driver import Options, compile_checkpoint

    checkpoint = tiny_checkpoint(outputs=9, samples=64)
    options = Options("c", arithmetic="fixed", argmax=True)
    plain = compile_checkpoint(checkpoint, replace(options, argmax=False))
    winner = compile_checkpoint(checkpoint, options)
    assert str(winner.meaning.output.type) == "[1] u4q0"
    _, x = quantized(checkpoint, 8)
    scores, index = interpret(plain.meaning, x), interpret(winner.meaning, x)
    assert index.ravel().tolist() == scores.argmax(-1).tolist()


def test_an_op_without_a_fixed_form_is_refused() -> None:
    build = Builder()
    kind = TensorType((2,), FloatType())
    x = build.op(Op.INPUT, (), kind, Loc("input"))
    y = build.op(Op.SOFTMAX, (x,), kind, Loc("attention"))
    build.op(Op.OUTPUT, (y,), kind, Loc("output"))
    with pytest.raises(CompileError) as caught:
        Quantize(8, np.ones((1, 2))).run(build.graph())
    assert str(caught.value) == (
        "error: attention: a 'softmax' here has no fixed form\n"
        "  hint: compile with --arithmetic float"
    )


def spoil(checkpoint: Checkpoint, rng: np.random.Generator) -> Checkpoint:
    """Parameters of wildly different size, zero, or of the other sign."""
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    for key, value in tensors.items():
        if key == "field.frozen":
            continue
        kind = rng.random()
        if kind < 0.3:
            value *= np.float32(10.0 ** rng.uniform(-9, 6))
        elif kind < 0.4:
            value *= (10.0 ** rng.uniform(-9, 6, value.shape)).astype(np.float32)
        elif kind < 0.5 and key != "field.temperature":
            value *= 0
        elif kind < 0.55:
            value *= -1
    return replace(checkpoint, tensors=tensors)


@given(st.integers(0, 2**32), st.integers(4, 16))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_extreme_models_give_a_valid_graph_or_one_sentence(seed: int, width: int) -> None:
    """Never a wrap, a NaN or a traceback."""
    rng = np.random.default_rng(seed)
    checkpoint = spoil(random_checkpoint(rng, 12), rng)
    try:
        graph, x = quantized(checkpoint, width)
    except CompileError as error:
        assert len(error.diagnostics) >= 1
        return
    interpret(check(graph), x)


def test_an_unused_output_has_its_bias_only() -> None:
    """A column of zero values quantises to its bias, to half a step of 1/127."""
    checkpoint = tiny_checkpoint("gauss")
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.values"][:, 1] = 0
    graph, x = quantized(replace(checkpoint, tensors=tensors), 8)
    got = to_real(interpret(graph, x), graph.output.type.elem)[:, 1]  # type: ignore[arg-type]
    assert np.abs(got - tensors["bias"][1]).max() < 0.5 / 127 + 1e-4


def test_positions_far_finer_than_the_inputs_are_no_reason_to_refuse() -> None:
    """All neurons near the origin, in many dimensions: their last digits do not matter."""
    checkpoint = tiny_checkpoint("gauss", inputs=60)
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.positions"] *= np.float32(1e-9)
    tiny = replace(checkpoint, tensors=tensors)
    assert error_share(tiny, 8) < 0.15


# ---- the arithmetic of choosing types ----


@given(st.lists(FINITE, min_size=1, max_size=20), st.integers(4, 16))
@settings(deadline=None, derandomize=True)
def test_a_covering_type_clips_nothing_and_is_the_finest(numbers: list[float], width: int) -> None:
    samples = np.array(numbers)
    elem = covering_type(samples, width)
    top = np.abs(samples).max()
    step = 2.0**-elem.frac
    assert elem.signed
    assert elem.width == width
    assert np.abs(to_real(to_fixed(samples, elem), elem) - samples).max() <= step / 2 + 1e-12
    if elem.frac < 30 and top > 0:
        assert elem.high * step / 2 < top


@given(st.lists(FINITE, min_size=1, max_size=20), st.integers(4, 16))
@settings(deadline=None, derandomize=True)
def test_the_best_type_is_at_least_as_good_as_one_that_covers(n: list[float], width: int) -> None:
    samples = np.array(n)

    def error(elem: FixedType) -> float:
        return float(np.square(to_real(to_fixed(samples, elem), elem) - samples).sum())

    best = best_type(samples, width, signed=True)
    assert error(best) <= error(covering_type(samples, width)) * (1 + 1e-9)
    assert best_type(samples, width).signed == bool(samples.min() < 0)


@pytest.mark.parametrize(
    ("x", "q"), [(0.5, 1), (-0.5, 0), (1.49, 1), (-1.5, -1), (300, 127), (-300, -128)]
)
def test_rounding_and_saturation(x: float, q: int) -> None:
    assert to_fixed(np.array(x), FixedType(True, 8)) == q
    if abs(x) < 128:
        assert round_half_up(np.array(x)) == q


def test_round_half_up_refuses_what_62_bits_cannot_hold() -> None:
    assert round_half_up(np.array([2.0**60])) == 2**60
    for bad in (2.0**61, -(2.0**61), np.inf, np.nan):
        with pytest.raises(CompileError, match="too far apart in size"):
            round_half_up(np.array([1.0, bad]))


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=9), st.integers(1, 40))
@settings(deadline=None, derandomize=True)
def test_multipliers_are_near_and_fit(ratio: list[float], bits: int) -> None:
    wanted = np.array(ratio)
    m, shift = multipliers(wanted, bits)
    width = min(24, 60 - bits)
    assert 1 <= shift <= 61
    assert m.max() <= 2**width
    assert np.abs(m * 2.0**-shift - wanted).max() <= 2.0 ** -(shift + 1)
    if wanted.max() > 2.0 ** (width - 60):
        assert m.max() >= 2 ** (width - 1) or shift == 1


def test_row_scales_reach_the_end_of_the_range() -> None:
    w = np.array([[1.0, -4.0], [0.0, 0.0]])
    assert row_scale(w, 1, 8).tolist() == [4 / 127, 1 / 127]
    assert row_scale(w, 0, 8).tolist() == [1 / 127, 4 / 127]
