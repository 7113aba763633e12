"""exp, sqrt, gelu, softmax and argmax of the C runtime over the whole range of float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_models import Array, backend, need_processor
from numpy.typing import NDArray

from crystalc.interpret import gelu
from crystalc.ir import Builder, FloatType, Loc, Op, TensorType

LAYERS = {
    "scalar": "-O2 -DCRYSTAL_SCALAR",
    "newton": "-O2 -DCRYSTAL_SCALAR -U__SSE2__",
    "avx2": "-O2 -mavx2 -mfma",
    "native": "-O3 -march=native",
}
LENGTH = 40
F32 = FloatType(32)


def evaluate(
    op: Op, x: Array, place: Path, flags: str, outputs: int = LENGTH
) -> NDArray[np.float32]:
    """``op`` of the vectors x [n, LENGTH], compiled with ``flags``."""
    need_processor(flags.split())
    b = Builder()
    node = b.op(Op.INPUT, (), TensorType((LENGTH,), F32), Loc("input"))
    node = b.op(op, (node,), TensorType((outputs,), F32), Loc("value"))
    b.op(Op.OUTPUT, (node,), TensorType((outputs,), F32), Loc("output"))
    chosen = backend(cflags=f"-std=c99 {flags}")
    for name, content in chosen.emit(b.graph(), "test").items():
        (place / name).write_text(str(content))
    return np.asarray(chosen.execute(place, x), dtype=np.float32)


def ulps(got: NDArray[np.float32], wanted: Array) -> Array:
    """Error in units of the last place of the wanted value, subnormals included."""
    unit = np.spacing(np.maximum(np.abs(wanted), 2.0**-126).astype(np.float32))
    return np.asarray(np.abs(got.astype(np.float64) - wanted) / unit)


def sweep(low: float, high: float, count: int = 4000) -> NDArray[np.float32]:
    x = np.linspace(low, high, count * LENGTH, dtype=np.float32)
    return x.reshape(-1, LENGTH)


def special(*values: float) -> NDArray[np.float32]:
    return np.resize(np.array(values, dtype=np.float32), (1, LENGTH))


@pytest.mark.parametrize("layer", LAYERS)
def test_exp(layer: str, tmp_path: Path) -> None:
    x = sweep(-103.5, 88.72)
    assert (
        ulps(evaluate(Op.EXP, x, tmp_path, LAYERS[layer]), np.exp(x.astype(np.float64))).max() < 2
    )
    edges = special(-1e38, -np.inf, -200, 0, -0.0, 89.5, 1e38, np.inf, np.nan, 1e-40)
    with np.errstate(over="ignore", under="ignore"):
        wanted = np.exp(edges)
    np.testing.assert_array_equal(evaluate(Op.EXP, edges, tmp_path, LAYERS[layer]), wanted)


@pytest.mark.parametrize("layer", LAYERS)
def test_sqrt(layer: str, tmp_path: Path) -> None:
    x = (2.0 ** sweep(-126, 127.9).astype(np.float64)).astype(np.float32)
    got = evaluate(Op.SQRT, x, tmp_path, LAYERS[layer])
    assert ulps(got, np.sqrt(x.astype(np.float64))).max() < 1.5
    edges = special(0, -0.0, -4, np.inf, np.nan, 1e-42, 3.4e38)
    wanted = np.sqrt(np.maximum(edges, 0))
    got = evaluate(Op.SQRT, edges, tmp_path, LAYERS[layer])
    np.testing.assert_allclose(got, wanted, rtol=3e-7, equal_nan=True)


@pytest.mark.parametrize("layer", LAYERS)
def test_gelu(layer: str, tmp_path: Path) -> None:
    x = sweep(-12, 12)
    wanted = gelu(x.astype(np.float64))
    error = np.abs(evaluate(Op.GELU, x, tmp_path, LAYERS[layer]) - wanted)
    assert (error <= 3e-7 * np.abs(x) + 1e-30).all()
    edges = special(0, 1e20, 3e38, -1e20, -3e38, np.inf, np.nan)
    got = evaluate(Op.GELU, edges, tmp_path, LAYERS[layer])
    np.testing.assert_array_equal(got[0, :7], [0, *edges[0, 1:3], 0, 0, np.inf, np.nan])


@pytest.mark.parametrize("layer", LAYERS)
def test_softmax_and_argmax(layer: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 30, (200, LENGTH)).astype(np.float32)
    e = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    got = evaluate(Op.SOFTMAX, x, tmp_path, LAYERS[layer])
    np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), rtol=2e-5, atol=1e-37)
    x[:50] = np.round(x[:50] / 40)  # many equal maxima
    x[3, 7] = x[4, 0] = x[4, 1] = np.nan
    winner = evaluate(Op.ARGMAX, x, tmp_path, LAYERS[layer], outputs=1)
    np.testing.assert_array_equal(winner[:, 0], x.argmax(1))
