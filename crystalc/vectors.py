"""Which inputs is an artefact checked on? Samples, corners and noise, always the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import refuse
from crystalc.ir import FixedType, Graph

Array = NDArray[Any]

SEED = 1
DEFAULT_COUNT = 1000


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
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise refuse(f"cannot read vectors from {path}: {error.strerror}") from None
    except ValueError:
        raise refuse(f"{path} is not a .npy file of numbers", hint="numpy.save makes one") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] != inputs:
        shape = getattr(array, "shape", "an archive")
        raise refuse(f"{path} holds {shape}, the model needs [n, {inputs}]")
    if not len(array) or not np.isfinite(array.astype(np.float64)).all():
        raise refuse(f"{path} is empty or holds NaN or infinity")
    return array.astype(np.float64)


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
