"""The ordered passes of each arithmetic, and the one loop that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from crystalc.ir import Graph
from crystalc.passes.base import Pass
from crystalc.passes.combine import Combine
from crystalc.passes.fold import Fold, Reciprocal
from crystalc.passes.legalize import Legalize
from crystalc.passes.prune import Prune
from crystalc.passes.quantize import Quantize
from crystalc.passes.quantize_weights import QuantizeWeights
from crystalc.passes.split_frontier import SplitFrontier
from crystalc.verify import check

Arithmetic = Literal["float", "fixed"]
Weights = Literal["f32", "q8"]
Observer = Callable[[str, Graph, Graph, float], None]
"""Called after each pass with its name, the graph before and after it, and its seconds."""

START = "lower"


def meaning_passes(
    arithmetic: Arithmetic,
    width: int,
    weights: Weights,
    samples: NDArray[Any],
    multipliers: bool = True,
) -> tuple[Pass, ...]:
    """The passes that may change values. The graph after them is what the oracle interprets."""
    if arithmetic == "fixed":
        return (Fold(), Prune(), Quantize(width, samples, power_of_two=not multipliers))
    if weights == "q8":
        return (Fold(), Prune(), SplitFrontier(), QuantizeWeights())
    return ()


def shaping_passes(arithmetic: Arithmetic, weights: Weights) -> tuple[Pass, ...]:
    """The passes that keep every value and shape the graph for a backend."""
    if arithmetic == "fixed":
        return (Prune(), SplitFrontier(), Legalize(), Combine())
    if weights == "q8":
        return (Legalize(), Combine(), Reciprocal())
    return (Fold(), Prune(), SplitFrontier(), Legalize(), Combine(), Reciprocal())


def pass_names(arithmetic: Arithmetic, weights: Weights) -> list[str]:
    """Valid names for ``--dump-after``, in order of running."""
    passes = (
        *meaning_passes(arithmetic, 8, weights, _NO_SAMPLES),
        *shaping_passes(arithmetic, weights),
    )
    return list(dict.fromkeys((START, *(p.name for p in passes))))


_NO_SAMPLES: Any = None


def run_passes(graph: Graph, passes: Sequence[Pass], observers: Sequence[Observer] = ()) -> Graph:
    """Run ``passes`` in order and verify after each. Raises CompileError."""
    for step in passes:
        start = time.perf_counter()
        after = check(step.run(graph))
        seconds = time.perf_counter() - start
        for observe in observers:
            observe(step.name, graph, after, seconds)
        graph = after
    return graph
