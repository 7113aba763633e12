"""Random graphs as CUDA kernels on the CPU, in every order of threads, against the oracle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.frontend.lower import lower
from crystalc.ir import Builder, FloatType, Graph, Loc, Op, TensorType
from crystalc.passes.quantize import quantize_inputs
from crystalc.pipeline import meaning_passes, run_passes, shaping_passes
from crystalc.vectors import samples_of
from crystalc_cuda.build import FLAGS, compile_shim
from hw_tests.c_batch import Case, tiny_checkpoint
from hw_tests.cuda_batch import VARIANTS, Variant, judge_case, run_cases
from hw_tests.fuzz import make_case

SEED = 1
BATCH = 8
COUNTS = {"tiles": 40, "lanes": 16, "tiles-checked": 16, "lanes-checked": 8}

WIDE: dict[str, dict[str, Any]] = {
    "big": {"inputs": 784, "neurons": 128, "projection": True, "dim": 64, "frozen": 1.0},
    "odd": {
        "activation": "relu", "inputs": 71, "neurons": 101, "projection": True, "dim": 70,
        "frozen": 0.7,
    },
    "normalized": {
        "kernel": "gauss", "inputs": 100, "neurons": 203, "outputs": 70, "normalized": True,
    },
    "many outputs": {"kernel": "gauss", "inputs": 40, "neurons": 203, "outputs": 70},
    "l1 with a head": {
        "kernel": "laplace", "metric": "l1", "inputs": 90, "neurons": 77, "outputs": 66,
        "head": True, "hidden": 80,
    },
}  # fmt: skip
"""Longer than the registers of a warp: vectors in chunks, or in shared memory."""

FORMS = (("float", 8, "f32"), ("float", 8, "q8"), ("fixed", 8, "f32"), ("fixed", 12, "f32"))

F32 = FloatType(32)

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_random_graphs(variant: Variant, tmp_path: Path) -> None:
    failed = []
    for first in range(0, COUNTS[variant.name], BATCH):
        cases = [make_case(SEED, first + k) for k in range(BATCH)]
        failures = run_cases(cases, variant, tmp_path / str(first))
        failed += [f"graph {first + f.index} of seed {SEED}: {f.reason}" for f in failures]
    assert not failed, "\n".join(failed)


def wide_case(form: tuple[Any, int, Any], shape: dict[str, Any]) -> Case:
    """A crystal through the whole pipeline, on its own samples."""
    arithmetic, width, weights = form
    checkpoint = tiny_checkpoint(**{"outputs": 10, "samples": 24, **shape})
    x = samples_of(checkpoint)
    meaning = run_passes(lower(checkpoint), meaning_passes(arithmetic, width, weights, x))
    graph: Graph = run_passes(meaning, shaping_passes(arithmetic, weights))
    return Case(graph, quantize_inputs(graph, x) if graph.is_fixed else x, {})


@pytest.mark.parametrize("name", WIDE)
def test_long_vectors(name: str, tmp_path: Path) -> None:
    cases = [wide_case(form, WIDE[name]) for form in FORMS]
    failures = run_cases(cases, VARIANTS[0], tmp_path)
    assert not failures, "\n".join(f"{FORMS[f.index]}: {f.reason}" for f in failures)


def test_columns_beyond_the_end_do_not_count(tmp_path: Path) -> None:
    """Five columns of a tile of eight: in the other three, 0 / 0 is NaN."""
    rng = np.random.default_rng(1)
    build, loc, five = Builder(), Loc("random"), TensorType((5,), F32)
    x = build.op(Op.INPUT, (), TensorType((9,), F32), loc)
    w = build.const(rng.uniform(1, 2, (9, 5)), F32, loc)
    h = build.op(Op.MATMUL, (x, w), five, loc)
    ones = build.op(Op.DIV, (h, h), five, loc)
    v = build.const(rng.uniform(1, 2, (5, 3)), F32, loc)
    y = build.op(Op.MATMUL, (ones, v), TensorType((3,), F32), loc)
    build.op(Op.OUTPUT, (y,), TensorType((3,), F32), loc)
    case = Case(build.graph(), rng.uniform(1, 2, (20, 9)).astype(np.float32).astype(float), {})
    assert not run_cases([case], VARIANTS[0], tmp_path)


def test_a_wrong_weight_is_found(tmp_path: Path) -> None:
    case = wide_case(FORMS[2], WIDE["odd"])
    assert not run_cases([case], VARIANTS[0], tmp_path)
    source = tmp_path / "g0.cu"
    text = source.read_text()
    at = text.index("0x", text.index("_b */"))
    source.write_text(text[:at] + "0x7f7f7f7f" + text[at + 10 :])
    compile_shim(tmp_path, ["all.cu"], tmp_path / "all", *FLAGS)
    assert "the oracle says" in judge_case(case, 0, tmp_path)[0].reason
