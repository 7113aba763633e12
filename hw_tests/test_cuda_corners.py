"""Fixed-point operations at the corners of their types as CUDA kernels: exact in both kernels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from crystalc.interpret import interpret
from crystalc.ir import Graph, Op
from crystalc_cuda.rescale import with_high_words
from hw_tests.c_batch import Case
from hw_tests.cuda_batch import VARIANTS, Variant, run_cases
from hw_tests.test_c_ops import FIXED, Draft, corners, s, u
from hw_tests.test_cuda_graphs import FORMS, WIDE, wide_case

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


def winners(columns: int, out: int) -> Graph:
    """ARGMAX of ``columns`` sums of few values, most of which are equal."""
    d = Draft(u(2), 4)
    w = np.random.default_rng(1).integers(-1, 2, (4, columns))
    sums = d.op(Op.MATMUL, (d.x, d.const(w, s(8))), columns, s(out))
    return d.graph(d.op(Op.ARGMAX, (sums,), 1, u(16)))


def saturated(out: int, signed: bool) -> Graph:
    """MATMUL, ADD and REQUANT to bytes, which a product and a sum of squares read."""
    rng = np.random.default_rng(2)
    d = Draft(u(8), 40)
    byte = s(8) if signed else u(8)
    w = d.const(rng.integers(-128, 128, (40, out)), s(8))
    sums = d.op(Op.MATMUL, (d.x, w), out, s(24))
    moved = d.op(Op.ADD, (sums, d.const(rng.integers(-9999, 9999, out), s(16))), out, s(25))
    mul = d.const(rng.integers(1 << 22, 1 << 24, out), u(24))
    h = d.op(Op.REQUANT, (moved, mul), out, byte, shift=30)
    square = d.op(Op.SUMSQ, (h,), 1, u(24))
    v = d.const(rng.integers(-128, 128, (out, 5)), s(8))
    y = d.op(Op.MATMUL, (h, v), 5, s(24))
    return d.graph(d.op(Op.SUB, (y, square), 5, s(26)))


GRAPHS = {
    **FIXED,
    **{f"winners-{n}-{w}": lambda n=n, w=w: winners(n, w) for n in (3, 40, 101) for w in (8, 27)},
    **{f"saturated-{n}-{g}": lambda n=n, g=g: saturated(n, g) for n in (9, 64, 90) for g in (0, 1)},
}


@pytest.mark.parametrize("variant", VARIANTS[:2], ids=lambda v: v.name)
def test_corners(variant: Variant, tmp_path: Path) -> None:
    graphs = [make() for make in GRAPHS.values()]
    failures = run_cases([Case(g, corners(g), {}) for g in graphs], variant, tmp_path)
    names = list(GRAPHS)
    assert not failures, "\n".join(f"{names[f.index]}: {f.reason}" for f in failures)


def test_larger_multipliers_mean_the_same() -> None:
    case = wide_case(FORMS[2], WIDE["odd"])
    other = with_high_words(case.graph)
    shifts = [int(other[i].attrs["shift"]) for i in other.find(Op.REQUANT)]
    assert shifts.count(32) > [int(n.attrs.get("shift", 0)) for _, n in case.graph].count(32)
    x = case.inputs
    np.testing.assert_array_equal(interpret(other, x), interpret(case.graph, x))
