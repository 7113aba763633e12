"""Active neurons: the caller's struct, its rewriting, and the shipped example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_models import STRICT, Array, Model, build, model, run

from crystalc.check import judge
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret
from crystalc.ir import Graph, Node
from crystalc_c.plan import Plan

CASES = {
    "radial": ("f32", {"activation": "gelu"}),
    "laplace-l1": ("f32", {"kernel": "laplace", "metric": "l1"}),
    "all-active": ("f32", {"kernel": "gauss", "normalized": True}),
    "int8-weights": ("q8", {"kernel": "laplace"}),
    "fixed8": ("fixed8", {"activation": "relu"}),
    "fixed8-table": ("fixed8", {"kernel": "laplace"}),
}


def rewritten(node: Node) -> Array:
    """The constant with its second row exchanged for the first: always within its type."""
    value = node.data().copy()
    value[[0, 1]] = value[[1, 0]]
    value[1] = value[0]
    return value


def states(graph: Graph) -> dict[int, Node]:
    return {i: node for i, node in graph if node.is_state}


def assignments(graph: Graph) -> str:
    """C statements that write the rewritten rows into ``state``."""
    plan = Plan(graph, simd=True)
    plan.bind_structure()
    lines = []
    for name, node in zip((m.name for m in plan.members), states(graph).values(), strict=True):
        value = rewritten(node)
        for index in np.ndindex(*value[:2].shape):
            number = _literal(value[index])
            lines.append(f"state.{name}{''.join(f'[{k}]' for k in index)} = {number};")
    return "\n".join(lines)


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, np.integer) else f"{float(np.float32(value)).hex()}f"


def update_harness(case: Model) -> None:
    """Make the harness rewrite two neurons after state_init."""
    main = case.place / "crystal_main.c"
    mark = "crystal_state_init(&state);"
    text = main.read_text()
    assert mark in text
    main.write_text(text.replace(mark, mark + "\n" + assignments(case.compiled.shaped)))


@pytest.mark.parametrize("layout", ["simd", "compact"])
@pytest.mark.parametrize("name", CASES)
def test_rewritten_neurons_equal_the_oracle(name: str, layout: str, tmp_path: Path) -> None:
    arithmetic, shape = CASES[name]
    case = model(tmp_path, arithmetic, {"layout": layout}, frozen=0.7, **shape)
    graph, x = case.compiled.shaped, case.vectors
    assert states(graph)
    before = case.run(build(tmp_path, "gcc", ("-O1", "-march=native")))
    update_harness(case)
    after = case.run(build(tmp_path, "gcc", ("-O1", "-march=native")))
    wanted = interpret(graph, x, {i: rewritten(node) for i, node in states(graph).items()})
    bound = np.zeros(wanted.shape) if graph.is_fixed else 4 * error_bound(graph, x, 24)
    result = judge(wanted, after, bound)
    assert result.ok, result.reason
    assert (before != after).any()


@pytest.mark.parametrize("frozen", [1.0, 0.7])
@pytest.mark.parametrize("arithmetic", ["f32", "fixed8"])
def test_example_shows_the_update(arithmetic: str, frozen: float, tmp_path: Path) -> None:
    model(tmp_path, arithmetic, frozen=frozen)
    sources = ["example.c", "crystal.c"]
    run(["gcc", "-std=c99", "-O1", *STRICT, "-I.", *sources, "-o", "example"], tmp_path)
    lines = run(["./example"], tmp_path).decode().splitlines()
    titles = ["output", "after the update"][: 1 if frozen == 1 else 2]
    assert [line.split(":")[0] for line in lines] == titles
    values = [line.split(":")[1].split() for line in lines]
    assert all(len(v) == 10 for v in values)
    assert frozen == 1 or values[0] != values[1]
