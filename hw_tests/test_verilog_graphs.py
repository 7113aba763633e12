"""Random fixed graphs of every op as Verilog, against the oracle, under every kind of traffic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalc.interpret import interpret
from crystalc.ir import Graph, Op
from crystalc_verilog.simulate import compile_design
from hw_tests.verilog_models import (
    NEEDS_ICARUS,
    Array,
    build,
    facts,
    fixed_graph,
    inputs_for,
    random_state,
    run,
    writes,
)

pytestmark = NEEDS_ICARUS

VECTORS = 12
LARGEST = 1500
"""Products of the largest graph: more only takes longer."""


def case(seed: int) -> tuple[Graph, Array, np.random.Generator]:
    """A graph and inputs for it."""
    rng = np.random.default_rng(seed)
    graph = fixed_graph(rng)
    while sum(node.data().size for _, node in graph if node.op is Op.CONST) > LARGEST:
        graph = fixed_graph(rng)
    return graph, inputs_for(graph, rng, VECTORS), rng


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_oracle(seed: int, tmp_path: Path) -> None:
    graph, x, _ = case(seed)
    place = build(tmp_path, graph, levels_per_stage=str(1 + seed % 7))
    assert np.array_equal(run(place, x), interpret(graph, x))


@pytest.mark.parametrize("seed", range(100, 115))
def test_back_pressure_and_resets_lose_nothing(seed: int, tmp_path: Path) -> None:
    graph, x, _ = case(seed)
    place = build(tmp_path, graph, levels_per_stage="3")
    wanted = interpret(graph, x)
    assert np.array_equal(run(place, x, stall=20 + seed % 60, seed=seed), wanted)
    assert np.array_equal(run(place, x, stall=30, resets=8, seed=seed), wanted)


def test_rewritten_neurons_follow_the_oracle(tmp_path: Path) -> None:
    """Vectors before the writes see the old state, vectors after them the new one."""
    tried = 0
    for seed in range(200, 240):
        graph, x, rng = case(seed)
        state = random_state(graph, rng)
        if not state:
            continue
        tried += 1
        place = build(tmp_path / str(seed), graph)
        got = run(place, x, stall=25, seed=seed, writes=writes(place, state), write_at=5)
        assert np.array_equal(got[:5], interpret(graph, x[:5])), seed
        assert np.array_equal(got[5:], interpret(graph, x[5:], state)), seed
        if tried == 12:
            return
    pytest.fail("too few graphs with active neurons")


@pytest.mark.parametrize("seed", range(300, 310))
def test_icarus_has_no_warning(seed: int, tmp_path: Path) -> None:
    graph, _, _ = case(seed)
    place = build(tmp_path, graph)
    assert compile_design(place, "crystal", tmp_path / "sim", {}, "-Wall") == ""


def test_a_stated_latency_that_is_wrong_fails(tmp_path: Path) -> None:
    from crystalc.diagnostics import ToolError

    graph, x, _ = case(1)
    place = build(tmp_path, graph)
    bench = place / "crystal_tb.v"
    latency = facts(place)["latency"]
    text = bench.read_text()
    bench.write_text(text.replace(f"LATENCY = {latency}", f"LATENCY = {latency + 1}"))
    with pytest.raises(ToolError, match="wrong latency"):
        run(place, x)
