"""Random fixed graphs as RTL in Icarus: the cases of ``hw_tests/fuzz.py`` for Verilog."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [p for p in (str(ROOT / "tests"), str(ROOT / "backends")) if p not in sys.path]

from crystalc.check import judge  # noqa: E402
from crystalc.diagnostics import CompileError, ToolError  # noqa: E402
from crystalc.files import write_tree  # noqa: E402
from crystalc.frontend.lower import lower  # noqa: E402
from crystalc.interpret import interpret  # noqa: E402
from crystalc.ir import Graph, Op  # noqa: E402
from crystalc.pipeline import meaning_passes, run_passes, shaping_passes  # noqa: E402
from crystalc.vectors import samples_of  # noqa: E402
from crystalc_verilog import VerilogBackend  # noqa: E402
from crystalc_verilog.simulate import Traffic, simulate  # noqa: E402
from hw_tests.c_batch import (  # noqa: E402
    Case,
    Failure,
    inputs_for,
    random_checkpoint,
    random_state,
)
from hw_tests.verilog_models import fixed_graph, writes  # noqa: E402

VECTORS = 12
WRITE_AT = 5
LARGEST = 800
"""Constants of the largest graph: more only takes longer."""

LARGEST_FIELD = 8
"""Sizes of a random crystal stay below this."""


@dataclass(frozen=True)
class Rtl:
    """How a graph is emitted and driven."""

    name: str
    options: dict[str, str]
    traffic: Traffic


VARIANTS = (
    Rtl("parallel", {"levels_per_stage": "5"}, Traffic()),
    Rtl("parallel-stalls", {"levels_per_stage": "2"}, Traffic(stall=30, seed=7)),
    Rtl("parallel-resets", {"levels_per_stage": "9"}, Traffic(stall=15, resets=4, seed=3)),
    Rtl("folded", {"arch": "folded", "lanes": "3"}, Traffic(stall=20, resets=2, seed=5)),
)


def make_case(seed: int, k: int) -> Case:
    """Graph ``k`` of a seed, with its inputs and the new values of its active rows."""
    rng = np.random.default_rng([seed, k])
    graph = _fixed(rng)
    while sum(n.data().size for _, n in graph if n.op is Op.CONST) > LARGEST:
        graph = _fixed(rng)
    return Case(graph, inputs_for(graph, rng, VECTORS), random_state(graph, rng))


def _fixed(rng: np.random.Generator) -> Graph:
    """A graph made op by op, or a small crystal through the passes."""
    return fixed_graph(rng) if rng.random() < 0.6 else crystal(rng)


def crystal(rng: np.random.Generator) -> Graph:
    """A random crystal of any kernel as the passes shape it for hardware."""
    checkpoint = random_checkpoint(rng, LARGEST_FIELD)
    width, samples = int(rng.integers(4, 11)), samples_of(checkpoint)
    meant = meaning_passes("fixed", width, "f32", samples, multipliers=False)
    return run_passes(lower(checkpoint), (*meant, *shaping_passes("fixed", "f32")))


def run_cases(cases: Sequence[Case], variant: Rtl, folder: Path) -> list[Failure]:
    """Simulate each case in ``folder`` and return those that differ from the oracle."""
    found = []
    for k, case in enumerate(cases):
        try:
            reason = run_case(case, variant, folder / str(k))
        except ToolError as error:
            reason = str(error)
        if reason:
            found.append(Failure(k, reason))
    return found


def run_case(case: Case, variant: Rtl, place: Path) -> str:
    """What is wrong with the RTL of a case; empty when it equals the oracle.

    A graph that a folded design has no unit for is emitted in parallel.
    """
    try:
        files = VerilogBackend(**variant.options).emit(case.graph, "fuzz")
    except CompileError:
        files = VerilogBackend().emit(case.graph, "fuzz")
    write_tree(place, files)
    t, state = variant.traffic, case.state
    at = WRITE_AT if state else 0
    rewrites = writes(place, state) if state else ()
    got = simulate(place, "crystal", case.inputs, Traffic(t.stall, t.resets, t.seed, rewrites, at))
    wanted = np.concatenate(
        [
            interpret(case.graph, case.inputs[:at]),
            interpret(case.graph, case.inputs[at:], state or None),
        ]
    )
    return judge(wanted, got, np.zeros(wanted.shape)).reason
