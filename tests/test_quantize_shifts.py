"""The fixed form for hardware: every multiplier is a shift, and the meaning stays near."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_graphs import KERNELS, random_checkpoint
from support import tiny_checkpoint

from crystalc.checkpoint import Checkpoint
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph, Op
from crystalc.passes.calibrate import shifts, to_real, without_spare_bits
from crystalc.passes.quantize import quantize_inputs
from crystalc.pipeline import meaning_passes, run_passes, shaping_passes
from crystalc.vectors import samples_of


def in_shifts(checkpoint: Checkpoint, width: int) -> Graph:
    """The fixed graph of a target without multipliers."""
    passes = meaning_passes("fixed", width, "f32", samples_of(checkpoint), multipliers=False)
    return run_passes(lower(checkpoint), passes)


def multipliers_of(graph: Graph) -> list[int]:
    """Every multiplier of every REQUANT."""
    found = (graph[graph[i].inputs[1]].data() for i in graph.find(Op.REQUANT))
    return [int(m) for data in found for m in data]


@pytest.mark.parametrize("seed", range(40))
def test_every_multiplier_is_a_power_of_two(seed: int) -> None:
    checkpoint = random_checkpoint(np.random.default_rng(seed))
    made = multipliers_of(in_shifts(checkpoint, 4 + seed % 9))
    assert made and all(abs(m) & (abs(m) - 1) == 0 for m in made)


@pytest.mark.parametrize("seed", range(10))
def test_shaping_keeps_every_value(seed: int) -> None:
    checkpoint = random_checkpoint(np.random.default_rng(100 + seed))
    meaning = in_shifts(checkpoint, 8)
    shaped = run_passes(meaning, shaping_passes("fixed", "f32"))
    x = quantize_inputs(meaning, samples_of(checkpoint))
    assert np.array_equal(interpret(meaning, x), interpret(shaped, x))


@pytest.mark.parametrize(("kernel", "activation"), KERNELS)
def test_the_meaning_stays_near(kernel: Any, activation: Any) -> None:
    """Within 3 % of the outputs' spread at 10 bits, where free multipliers stay within 1 %."""
    for seed in range(4):
        checkpoint = tiny_checkpoint(kernel, activation, seed=seed, neurons=20, samples=64)
        graph = in_shifts(checkpoint, 10)
        samples = samples_of(checkpoint)
        wanted = interpret(lower(checkpoint), samples)
        elem = graph.output.type.elem
        assert isinstance(elem, FixedType)
        got = to_real(interpret(graph, quantize_inputs(graph, samples)), elem)
        assert np.sqrt(np.square(got - wanted).mean()) < 0.03 * wanted.std()


def test_shifts_are_as_small_as_they_can_be() -> None:
    m, shift = shifts(np.array([2.0**-9, -(2.0**-7), 2.0**-8]), 20)
    assert m.tolist() == [1, -4, 2]
    assert shift == 9
    m, shift = shifts(np.array([4.0]), 20)
    assert m.tolist() == [8]
    assert shift == 1


def test_input_bits_that_are_never_set_are_no_wires() -> None:
    sixteenths = np.arange(17)[None, :] / 16
    narrow = without_spare_bits(FixedType(False, 8, 7), sixteenths)
    assert narrow == FixedType(False, 5, 4)
    assert without_spare_bits(FixedType(False, 8, 7), np.zeros((1, 3))).width == 8
