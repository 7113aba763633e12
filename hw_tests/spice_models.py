"""Random float graphs as circuits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from crystalc.files import write_tree
from crystalc.frontend.lower import lower
from crystalc.ir import Graph
from crystalc.pipeline import meaning_passes, run_passes, shaping_passes
from crystalc.vectors import samples_of
from crystalc_spice import SpiceBackend
from crystalc_spice.ngspice import library

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from random_graphs import random_checkpoint
from support import as_document, tiny_checkpoint, write_pt

__all__ = [
    "NEEDS_NGSPICE",
    "as_document",
    "build",
    "random_float_graph",
    "tiny_checkpoint",
    "write_pt",
]

NEEDS_NGSPICE = pytest.mark.skipif(library() is None, reason="libngspice is not installed")


def random_float_graph(seed: int, weights: str = "f32") -> tuple[Graph, NDArray[np.float64]]:
    """A checkpoint of any kernel, shaped for a backend, and inputs [6, I]."""
    rng = np.random.default_rng(seed)
    checkpoint = random_checkpoint(rng, largest=9)
    meant = meaning_passes("float", 8, weights, samples_of(checkpoint))  # type: ignore[arg-type]
    meaning = run_passes(lower(checkpoint), meant)
    graph = run_passes(meaning, shaping_passes("float", weights))  # type: ignore[arg-type]
    return graph, rng.standard_normal((6, graph.input.type.shape[0]))


def build(folder: Path, graph: Graph, **options: str) -> SpiceBackend:
    """The artefact of ``graph`` below ``folder``, and the backend that runs it."""
    backend = SpiceBackend(**options)
    write_tree(folder, backend.emit(graph, "made by a test\n"))
    return backend
