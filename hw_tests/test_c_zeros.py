"""Inputs that are mostly zero take another path through the first layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_models import Array, Model, build, model

from crystalc.check import judge
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret

FLAGS = {"avx2": ("-O1", "-mavx2", "-mfma"), "native": ("-O2", "-march=native")}


def pixels(count: int, inputs: int, share: float, seed: int = 0) -> Array:
    """[count, inputs] in 0..1, of which ``share`` is not zero."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 1, (count, inputs))
    return np.asarray(np.where(rng.uniform(size=x.shape) < share, x, 0.0))


def vectors(case: Model, inputs: int) -> Array:
    """Every density in turn, so that tiles mix them; the fixed form gets its integers."""
    shares = (0.0, 0.002, 0.1, 0.3, 0.6, 1.0)
    x = np.concatenate([pixels(4, inputs, s, i) for i, s in enumerate(shares)])
    x = np.concatenate([x, x[np.random.default_rng(1).permutation(len(x))]])
    elem = case.compiled.meaning.input.type.elem
    if not case.compiled.meaning.is_fixed:
        return np.asarray(x.astype(np.float32).astype(np.float64))
    assert elem.low == 0, "this test is about unsigned inputs"  # type: ignore[union-attr]
    return np.asarray(np.round(x * elem.high).astype(np.int64))  # type: ignore[union-attr]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("inputs", [208, 301])
@pytest.mark.parametrize("arithmetic", ["f32", "q8", "fixed8"])
def test_zeros_are_skipped_exactly(
    arithmetic: str, inputs: int, flags: str, tmp_path: Path
) -> None:
    shape = {"inputs": inputs, "dim": 64, "activation": "relu", "frozen": 1.0}
    made = model(tmp_path, arithmetic, samples=pixels(40, inputs, 0.4), **shape)
    if inputs == 208 or arithmetic != "fixed8":
        assert "_input(" in (tmp_path / "crystal.c").read_text()
    case = Model(made.compiled, tmp_path, vectors(made, inputs))
    program = build(tmp_path, "gcc", FLAGS[flags])
    wanted = interpret(case.compiled.meaning, case.vectors)
    bound = np.zeros(wanted.shape)
    if not case.compiled.meaning.is_fixed:
        bound = error_bound(case.compiled.shaped, case.vectors, 24)
    for arguments in ((), ("batch",)):
        result = judge(wanted, case.run(program, *arguments), bound)
        assert result.ok, f"{arguments}: {result.reason}"


def test_nan_and_infinity_are_not_taken_for_zero(tmp_path: Path) -> None:
    shape = {"inputs": 208, "dim": 64, "kernel": "laplace", "frozen": 1.0}
    made = model(tmp_path, "f32", samples=pixels(40, 208, 0.4), **shape)
    x = np.zeros((4, 208))
    x[1, 100], x[2, 207], x[3, 5] = np.nan, np.nan, -0.0
    got = Model(made.compiled, tmp_path, x).run(build(tmp_path, "gcc", FLAGS["native"]))
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1:3]).all()
    np.testing.assert_array_equal(got[0], got[3])
