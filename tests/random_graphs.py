"""Random checkpoints, graphs of every op, and inputs and active rows to run them on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from random_ops import F32, fixed_graph, float_graph
from support import tiny_checkpoint

from crystalc.checkpoint import Checkpoint
from crystalc.frontend.lower import lower
from crystalc.ir import FixedType, Graph
from crystalc.passes.quantize import quantize_inputs
from crystalc.pipeline import meaning_passes, run_passes, shaping_passes
from crystalc.vectors import samples_of

Array = NDArray[Any]
Rng = np.random.Generator

KERNELS = (("radial", "relu"), ("radial", "gelu"), ("gauss", None), ("laplace", None))
MIXES = (0.0, 0.3, 0.7, 1.0)
"""Shares of frozen neurons."""


def random_checkpoint(rng: Rng, largest: int = 24) -> Checkpoint:
    """Any kernel, metric, parts, sizes and mix of frozen and active neurons."""
    kernel, activation = KERNELS[rng.integers(4)]

    def size() -> int:
        return int(rng.integers(1, largest))

    return tiny_checkpoint(
        kernel,  # type: ignore[arg-type]
        activation,  # type: ignore[arg-type]
        "l1" if rng.random() < 0.4 else "l2",
        seed=int(rng.integers(1 << 30)),
        inputs=size(),
        outputs=size(),
        neurons=size(),
        dim=size(),
        hidden=size(),
        normalized=kernel != "radial" and rng.random() < 0.4,
        projection=rng.random() < 0.4,
        head=rng.random() < 0.4,
        bias=rng.random() < 0.7,
        frozen=MIXES[rng.integers(4)],
        samples=int(rng.integers(1, 40)),
    )


def compiled_graph(rng: Rng) -> Graph:
    """A random checkpoint through the whole pipeline of a random arithmetic."""
    checkpoint = random_checkpoint(rng)
    samples = samples_of(checkpoint)
    arithmetic, weights = (("float", "f32"), ("float", "q8"), ("fixed", "f32"))[rng.integers(3)]
    width = int(rng.integers(4, 17))
    meaning = run_passes(
        lower(checkpoint),
        meaning_passes(arithmetic, width, weights, samples),  # type: ignore[arg-type]
    )
    return run_passes(meaning, shaping_passes(arithmetic, weights))  # type: ignore[arg-type]


def random_graph(rng: Rng) -> Graph:
    """A compiled checkpoint, or a float or fixed graph made op by op."""
    return (compiled_graph, float_graph, fixed_graph)[rng.integers(3)](rng)


def inputs_for(graph: Graph, rng: Rng, count: int) -> Array:
    """Inputs [count, I]: for a fixed graph uniform over its type and at its ends."""
    size = graph.input.type.shape[0]
    elem = graph.input.type.elem
    if isinstance(elem, FixedType):
        x = rng.integers(elem.low, elem.high + 1, (count, size))
        x[:1], x[1:2] = elem.low, elem.high
        if rng.random() < 0.5:
            x[2:] = np.where(rng.random((count, size)) < 0.2, elem.high, x)[2:]
        return x
    return rng.standard_normal((count, size)).astype(np.float32).astype(np.float64)


def random_state(graph: Graph, rng: Rng) -> dict[int, Array]:
    """New values for the active rows: any of their type, or floats up to half again as large."""
    state = {}
    for i, node in graph:
        elem = node.type.elem
        if node.is_state and elem == F32:
            scaled = node.data() * rng.uniform(0.5, 1.5, node.type.shape)
            state[i] = scaled.astype(np.float32).astype(np.float64)
        if node.is_state and isinstance(elem, FixedType):
            value = np.array(node.data())
            ends = np.array([elem.low, elem.high])
            kind = rng.random()
            noise = rng.integers(elem.low, elem.high + 1, value.shape)
            fresh = noise if kind < 0.4 else ends[rng.integers(0, 2, value.shape)]
            fresh = np.full(value.shape, ends[rng.integers(2)]) if kind > 0.8 else fresh
            assert node.active is not None
            value[node.active] = fresh[node.active]
            state[i] = value
    return state


def quantized(checkpoint: Checkpoint, width: int) -> tuple[Graph, Array]:
    """The fixed graph of a checkpoint before its shaping passes, and its integer samples."""
    samples = samples_of(checkpoint)
    graph = run_passes(lower(checkpoint), meaning_passes("fixed", width, "f32", samples))
    return graph, quantize_inputs(graph, samples)
