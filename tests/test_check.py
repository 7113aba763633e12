"""The comparison that every artefact must pass: it lets nothing wrong through."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from random_graphs import quantized, samples_of
from support import tiny_checkpoint

from crystalc.backend import Capabilities, Electrical, Exact, Within
from crystalc.check import compare, judge, judge_circuit
from crystalc.error_bound import error_bound
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret
from crystalc.ir import Graph, Op

Array = NDArray[Any]
ALL = frozenset(Op)


@dataclass(frozen=True)
class Mirror:
    """An artefact that gives what the oracle says, plus ``error``."""

    name: ClassVar[str] = "mirror"
    capabilities: ClassVar[Capabilities] = Capabilities(ALL, ALL, 62, Within(24), Exact())
    graph: Graph
    error: Any = 0
    calls: list[int] = field(default_factory=list)

    def emit(self, graph: Graph, header: str) -> dict[Any, Any]:
        return {}

    def execute(self, build: Path, inputs: Array) -> Array:
        self.calls.append(len(inputs))
        return np.asarray(interpret(self.graph, inputs) + self.error)


HERE = Path()


def fixed() -> tuple[Graph, Array]:
    return quantized(tiny_checkpoint(outputs=3), 8)


def real() -> tuple[Graph, Array]:
    checkpoint = tiny_checkpoint(outputs=3)
    return lower(checkpoint), samples_of(checkpoint)


def test_equal_integers_pass() -> None:
    graph, x = fixed()
    backend = Mirror(graph)
    result = compare(graph, graph, backend, HERE, x)
    assert result.ok
    assert (result.vectors, result.max_abs_error, result.bound) == (16, 0, 0)
    assert (result.decisions_equal, result.undecided, result.reason) == (16, 0, "")
    assert backend.calls == [16]


def test_one_step_in_one_output_of_one_vector_fails() -> None:
    graph, x = fixed()
    error = np.zeros((16, 3), dtype=np.int64)
    error[5, 2] = 1
    result = compare(graph, graph, Mirror(graph, error), HERE, x)
    wanted = int(interpret(graph, x)[5, 2])
    assert not result.ok
    assert result.max_abs_error == 1
    assert result.reason == (
        f"output 2 of vector 5 is {wanted + 1}, the oracle says {wanted} (1 vectors differ)"
    )


def test_a_float_artefact_has_its_bound() -> None:
    graph, x = real()
    bound = error_bound(graph, x)
    inside = compare(graph, graph, Mirror(graph, 0.99 * bound), HERE, x)
    outside = compare(graph, graph, Mirror(graph, 1.01 * bound), HERE, x)
    assert inside.ok
    assert inside.worst_share == pytest.approx(0.99, abs=1e-3)
    assert inside.bound == bound.max()
    assert not outside.ok
    assert outside.reason.endswith("(16 vectors differ)")


def test_the_precision_that_a_backend_declares_counts() -> None:
    graph, x = real()
    error = 100 * error_bound(graph, x, 24)
    half = type("Half", (Mirror,), {
        "capabilities": replace(Mirror.capabilities, float_agreement=Within(11)),
    })  # fmt: skip
    assert not compare(graph, graph, Mirror(graph, error), HERE, x).ok
    assert compare(graph, graph, half(graph, error), HERE, x).ok


def test_an_exact_float_backend_is_held_to_it() -> None:
    graph, x = real()
    exact = type("Sharp", (Mirror,), {
        "capabilities": replace(Mirror.capabilities, float_agreement=Exact()),
    })  # fmt: skip
    assert compare(graph, graph, exact(graph), HERE, x).ok
    assert not compare(graph, graph, exact(graph, 1e-9), HERE, x).ok


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_fail(bad: float) -> None:
    graph, x = real()
    error = np.zeros((16, 3))
    error[3, 1] = bad
    result = compare(graph, graph, Mirror(graph, error), HERE, x)
    assert not result.ok
    assert result.reason == "the artefact gave NaN or infinity"
    assert result.max_abs_error is None


def test_a_wrong_shape_fails() -> None:
    graph, x = real()
    result = compare(graph, graph, Mirror(graph, np.zeros((2, 16, 3))), HERE, x)
    assert result.reason == "the artefact gave shape (2, 16, 3), not (16, 3)"


@pytest.mark.parametrize("bound", [np.nan, np.inf])
def test_no_bound_passes_nothing(bound: float) -> None:
    result = judge(np.zeros((2, 2)), np.zeros((2, 2)), np.full((2, 2), bound))
    assert not result.ok
    assert result.reason == "no finite error bound follows from this graph"


def test_an_oracle_of_nan_passes_nothing() -> None:
    assert not judge(np.full((2, 2), np.nan), np.zeros((2, 2)), np.ones((2, 2))).ok


def test_integers_beyond_53_bits_are_compared_exactly() -> None:
    big = np.array([[2**60]])
    assert judge(big, big, np.zeros((1, 1))).ok
    assert not judge(big, big + 1, np.zeros((1, 1))).ok


def test_decisions() -> None:
    wanted = np.array([[1.0, 2, 3], [3, 2, 1], [1, 2, 2.05]])
    got = np.array([[1.0, 2, 3], [3, 2, 1], [1, 2.1, 2.05]])
    result = judge(wanted, got, np.full((3, 3), 0.2))
    assert (result.decisions_equal, result.undecided, result.ok) == (2, 1, True)


def test_a_circuit_is_judged_by_different_decisions() -> None:
    """Twenty vectors that the oracle tells nothing apart of are one of its decisions."""
    wanted = np.array([[1.0, 0.999]] * 20 + [[k, 0.5] for k in range(2, 101)])
    got = wanted.copy()
    got[:20] = [0.999, 1.0]
    agreement = Electrical(absolute=0.01, share=0.0, decisions=0.99)
    found = judge_circuit(wanted, got, agreement)
    assert found.ok and found.decisions_equal == 99
    got[50] = got[50, ::-1]
    found = judge_circuit(wanted, got, replace(agreement, absolute=1000.0))
    assert found.reason == "98 of 100 different decisions are equal, 99 are needed"
