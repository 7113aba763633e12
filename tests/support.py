"""Small checkpoints and file writers that every test may use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import FORMAT, VERSION, Activation, Checkpoint, Config, Kernel, Metric

Tensors = dict[str, NDArray[Any]]


def tiny_checkpoint(
    kernel: Kernel = "radial",
    activation: Activation = "gelu",
    metric: Metric = "l2",
    *,
    seed: int = 0,
    inputs: int = 5,
    outputs: int = 3,
    neurons: int = 6,
    dim: int = 4,
    hidden: int = 7,
    normalized: bool = False,
    projection: bool = False,
    head: bool = False,
    bias: bool = True,
    frozen: float = 0.5,
    samples: int = 16,
) -> Checkpoint:
    """A random, well-scaled crystal; ``frozen`` is the share of frozen neurons.

    ``dim`` counts only with ``projection`` (else it is ``inputs``), ``hidden`` only with
    ``head`` (else it is ``outputs``), ``activation`` only for the radial kernel.
    """
    rng = np.random.default_rng(seed)
    width = dim if projection else inputs
    config = Config(
        inputs=inputs,
        outputs=outputs,
        neurons=neurons,
        dim=width,
        metric=metric,
        kernel=kernel,
        activation=activation if kernel == "radial" else None,
        normalized=normalized,
        projection=projection,
        head=head,
    )
    tensors = _field(rng, config, hidden if head else outputs, frozen)
    if projection:
        tensors["projection.weight"] = _normal(rng, width, inputs) / np.float32(inputs**0.5)
        tensors["projection.bias"] = _normal(rng, width) * np.float32(0.1)
    if head:
        tensors["head.weight"] = _normal(rng, outputs, hidden) / np.float32(hidden**0.5)
        tensors["head.bias"] = _normal(rng, outputs) * np.float32(0.1)
    elif bias:
        tensors["bias"] = _normal(rng, outputs) * np.float32(0.1)
    return Checkpoint(config, tensors, _normal(rng, samples, inputs), {"seed": seed})


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


def _field(rng: np.random.Generator, config: Config, width: int, frozen: float) -> Tensors:
    """Radius and temperature at the scale of the distances, so that every kernel is alive."""
    n, d = config.neurons, config.dim
    typical = 2.0 * d if config.metric == "l2" else (1.13 * d) ** 2  # d^2 between normal points
    spread = typical if config.kernel == "radial" else typical**0.5
    tensors: Tensors = {
        "field.positions": _normal(rng, n, d),
        "field.values": _normal(rng, n, width),
        "field.temperature": (spread * rng.uniform(0.4, 0.8, n)).astype(np.float32),
        "field.frozen": rng.permutation(n) < round(frozen * n),
    }
    if config.kernel == "radial":
        tensors["field.radius"] = (typical * rng.uniform(0.8, 1.2, n)).astype(np.float32)
    return tensors


def as_document(checkpoint: Checkpoint) -> dict[str, Any]:
    """The plain dict that a ``.pt`` file of version 1 holds, with NumPy arrays for tensors."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "config": checkpoint.config.to_dict(),
        "state_dict": dict(checkpoint.tensors),
        "metadata": dict(checkpoint.metadata),
    }
    if checkpoint.calibration is not None:
        document["calibration"] = checkpoint.calibration
    return document


def write_pt(path: Path, document: Any) -> Path:
    """``torch.save`` of a document in which every NumPy array has become a tensor."""
    import torch

    torch.save(_to_torch(document), path)
    return path


def _to_torch(value: Any) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict):
        return {key: _to_torch(entry) for key, entry in value.items()}
    return value


def write_safetensors(path: Path, document: dict[str, Any]) -> Path:
    """The same document as ``.safetensors``: JSON in the header metadata.

    A document without a format is a bare state_dict, which has none.
    """
    from safetensors.numpy import save_file

    if "format" not in document:
        save_file(document, path)
        return path
    tensors = dict(document["state_dict"])
    if "calibration" in document:
        tensors["calibration"] = document["calibration"]
    header = {
        "format": str(document["format"]),
        "version": str(document["version"]),
        "config": json.dumps(document["config"]),
        "metadata": json.dumps(document["metadata"]),
    }
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, header)
    return path
