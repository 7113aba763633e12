"""Emitted designs and Icarus runs that the tests of the Verilog backend share."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crystalc.files import write_tree
from crystalc.ir import Graph
from crystalc_verilog import VerilogBackend
from crystalc_verilog.simulate import Traffic, simulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from random_graphs import fixed_graph, inputs_for, random_state
from support import as_document, tiny_checkpoint, write_safetensors

__all__ = [
    "as_document",
    "fixed_graph",
    "inputs_for",
    "random_state",
    "tiny_checkpoint",
    "write_safetensors",
]

Array = NDArray[Any]

NEEDS_ICARUS = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="iverilog is not installed"
)


def build(place: Path, graph: Graph, **options: str) -> Path:
    """``graph`` emitted into ``place``."""
    write_tree(place, VerilogBackend(**options).emit(graph, "a test"))
    return place


def facts(place: Path) -> Any:
    """What the artefact says about itself."""
    return json.loads((place / "crystal.json").read_text())


def run(place: Path, x: Array, **traffic: Any) -> Array:
    """Outputs of the design in ``place``."""
    return simulate(place, "crystal", x, Traffic(**traffic))


def writes(place: Path, state: Mapping[int, Array]) -> list[tuple[int, int]]:
    """Bus writes that give active constants, by node, these values."""
    made = []
    for entry in facts(place)["state"]:
        node = int(entry["name"][1:])
        for k, value in enumerate(np.asarray(state[node]).reshape(-1).tolist()):
            made.append((entry["address"] + k, int(value)))
    return made
