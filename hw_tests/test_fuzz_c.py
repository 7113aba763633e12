"""300 random graphs as C, in every way to compile them, against the oracle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystalc.ir import Graph
from crystalc.verify import verify
from hw_tests.c_batch import VARIANTS, Case, Variant, run_cases, runnable
from hw_tests.fuzz import make_case, prefixes, smallest

SEED = 1
COUNT = 304
SHARE = COUNT // len(VARIANTS)

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_random_graphs(variant: Variant, tmp_path: Path) -> None:
    if variant not in runnable():
        pytest.skip(f"cpu: none with {' '.join(variant.needs)}")
    first = VARIANTS.index(variant) * SHARE
    cases = [make_case(SEED, first + k) for k in range(SHARE)]
    failures = run_cases(cases, variant, tmp_path)
    text = [f"graph {first + f.index} of seed {SEED}: {f.reason}" for f in failures]
    assert not text, "\n".join(text)


def wrong_meaning(case: Case) -> Case:
    """The same artefact, compared with a graph whose first weight is one more."""

    class Liar(Case):
        @property
        def meaning(self) -> Graph:
            meaning = super().meaning
            nodes = list(meaning.nodes)
            i = next(i for i, node in meaning if node.value is not None)
            value = np.array(nodes[i].value)
            value.flat[0] += 1
            nodes[i] = replace(nodes[i], value=value)
            return Graph(tuple(nodes))

    return Liar(case.graph, case.inputs, case.state)


def test_a_difference_is_found_and_cut_down(tmp_path: Path) -> None:
    case = make_case(SEED, 17)
    scalar = VARIANTS[0]
    assert not run_cases([case], scalar, tmp_path / "right")
    failures = run_cases([wrong_meaning(case)], scalar, tmp_path / "wrong")
    assert failures
    assert "the oracle says" in failures[0].reason
    cut, reason = smallest(case, scalar)
    assert (cut, reason) == (case, "only as a whole")


def test_prefixes_are_whole_graphs() -> None:
    for k in range(20):
        case = make_case(SEED, k)
        cuts = list(prefixes(case))
        assert all(not verify(cut.graph) for cut in cuts)
        assert len(cuts[0].graph.nodes) <= len(case.graph.nodes)
        assert set(cuts[-1].state) <= {i for i, n in cuts[-1].graph if n.is_state}
