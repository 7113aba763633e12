"""The graph that an artefact keeps beside it."""

from __future__ import annotations

import numpy as np
import pytest
from random_graphs import fixed_graph, inputs_for

from crystalc.diagnostics import CompileError
from crystalc.interpret import interpret
from crystalc.stored import from_json, to_json


@pytest.mark.parametrize("seed", range(8))
def test_it_reads_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = fixed_graph(rng)
    again = from_json(to_json(graph))
    x = inputs_for(graph, rng, 9)
    assert np.array_equal(interpret(again, x), interpret(graph, x))
    assert to_json(again) == to_json(graph)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 9, "graph": [], "constants": {}}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CompileError):
        from_json(text)
