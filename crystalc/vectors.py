"""Which inputs is an artefact checked on? Samples, corners and noise, always the same ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import refuse
from crystalc.files import write_atomic
from crystalc.frontend.limits import MAGNITUDE
from crystalc.frontend.parameters import first
from crystalc.frontend.source import open_regular
from crystalc.ir import FixedType, Graph

Array = NDArray[Any]

SEED = 1
DEFAULT_COUNT = 1000
NPY_MAGIC = b"\x93NUMPY"
KEPT = "vectors.npz"


def samples_of(checkpoint: Checkpoint) -> NDArray[np.float64]:
    """Real inputs [n, I] that stand for what the model meets.

    The checkpoint's calibration samples; without them, points around its neurons, or numbers in
    [0, 1] where a projection stands before the field.
    """
    if checkpoint.calibration is not None:
        return checkpoint.calibration.astype(np.float64)
    rng = np.random.default_rng(SEED)
    inputs = checkpoint.config.inputs
    if checkpoint.config.projection:
        return rng.random((256, inputs))
    points = checkpoint.tensors["field.positions"].astype(np.float64)
    chosen = points[rng.integers(0, len(points), 256)]
    spread = points.std(0) if len(points) > 1 else np.ones(inputs)
    return np.asarray(chosen + 0.5 * spread * rng.standard_normal(chosen.shape))


def read_vectors(path: Path, inputs: int) -> NDArray[np.float64]:
    """Real inputs [n, inputs] from a .npy file. Raises CompileError naming what is wrong."""
    with open_regular(path) as file:
        is_npy = file.read(len(NPY_MAGIC)) == NPY_MAGIC
    try:  # mapped, so that a header cannot ask for memory that the file does not fill
        array = np.load(path, mmap_mode="r", allow_pickle=False) if is_npy else None
    except Exception:  # for a damaged header NumPy raises half a dozen kinds
        array = None
    if array is None or array.dtype.kind not in "fiu":
        raise refuse(f"{path}: not a .npy file of real numbers", hint="numpy.save makes one")
    if array.ndim != 2 or array.shape[1] != inputs or not len(array):
        wanted = f"[1 or more, inputs {inputs}]"
        raise refuse(f"{path}: shape {list(array.shape)} does not match {wanted}")
    real: NDArray[np.float64] = array.astype(np.float64)
    wrong = first(~(np.abs(real) <= MAGNITUDE))
    if wrong is not None:
        reason = "beyond +-2^40" if np.isfinite(real[wrong]) else "not a finite number"
        raise refuse(f"{path}{list(wrong)}: {real[wrong]:g} is {reason}")
    return real


def real_vectors(samples: Array, count: int) -> NDArray[np.float64]:
    """``count`` inputs: samples, the ends of each range, and noise inside and beyond it.

    Rounded to single precision, which every float artefact reads.
    """
    rng = np.random.default_rng(SEED)
    low, high = samples.min(0), samples.max(0)
    corners = np.stack([np.zeros_like(low), low, high, 2 * high - low, 2 * low - high])
    noise = low + (high - low) * rng.uniform(-0.25, 1.25, (max(count // 4, 1), len(low)))
    body = samples[np.arange(max(count - len(corners) - len(noise), 1)) % len(samples)]
    return np.concatenate([corners, body, noise])[:count].astype(np.float32).astype(np.float64)


def fixed_vectors(graph: Graph, quantized: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Integer inputs: ``quantized`` ones, the ends of the type, and uniform noise over it."""
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    rng = np.random.default_rng(SEED)
    size = quantized.shape[1]
    corners = np.stack([np.full(size, v) for v in (elem.low, elem.high, 0, 1)])
    noise = rng.integers(elem.low, elem.high + 1, (max(count // 4, 1), size))
    body = quantized[np.arange(max(count - len(corners) - len(noise), 1)) % len(quantized)]
    return np.concatenate([corners, body, noise])[:count]


def keep(build: Path, x: Array, y: Array) -> None:
    """Write the inputs [n, I] of the check and what the oracle says [n, O] beside the artefact."""
    file = io.BytesIO()
    np.savez_compressed(file, x=x, y=y)
    write_atomic(build / KEPT, file.getvalue())


def kept(build: Path, count: int) -> tuple[Array, Array]:
    """The first ``count`` vectors that ``keep`` wrote, inputs and outputs. Raises CompileError."""
    path = build / KEPT
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = file["x"], file["y"]
    except Exception:  # for a damaged file NumPy raises half a dozen kinds
        hint = "compile the model again with --target verilog"
        raise refuse(f"{path}: no vectors to check on", hint=hint) from None
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or {x.dtype.kind, y.dtype.kind} != {"i"}:
        raise refuse(f"{path}: not the integers of a check")
    return x[:count], y[:count]
