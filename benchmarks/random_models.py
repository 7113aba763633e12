"""Classifiers of any shape with random weights, and images to give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Activation, Checkpoint, Config, Kernel

Array = NDArray[Any]
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


@dataclass(frozen=True)
class Shape:
    """Inputs - dimensions - neurons - outputs."""

    inputs: int = 784
    dim: int = 64
    neurons: int = 128
    outputs: int = 10

    def __str__(self) -> str:
        return f"{self.inputs}-{self.dim}-{self.neurons}-{self.outputs}"


def pixels(count: int, inputs: int, seed: int = 0) -> Array:
    """[count, inputs] in 0..1: MNIST test images where the data is there, else pen strokes."""
    if MNIST.is_file() and inputs == 784:
        with np.load(MNIST) as data:
            return np.asarray(data["x_test"][:count].reshape(count, -1) / np.float32(255))
    rng = np.random.default_rng(seed)
    side = max(1, round(inputs**0.5))
    image = np.zeros((count, inputs), dtype=np.float32)
    for row in image:
        pen = np.cumsum(rng.normal(0, 1.2, (max(2, side * 2), 2)), axis=0) + side / 2
        for a, b in np.clip(pen, 0, side - 1).astype(int):
            row[a * side + b : a * side + b + 3] = rng.uniform(0.2, 1)
    return image


def random_checkpoint(kernel: Kernel, shape: Shape, seed: int = 0) -> Checkpoint:
    """Weights at the scale that training gives them, calibrated on digits."""
    rng = np.random.default_rng(seed)
    activation: Activation | None = "relu" if kernel == "radial" else None
    config = Config(
        shape.inputs, shape.outputs, shape.neurons, shape.dim, "l2", kernel, activation,
        projection=True,
    )  # fmt: skip
    x = pixels(512, shape.inputs)
    weight = rng.normal(0, 2 / shape.inputs**0.5, (shape.dim, shape.inputs))
    z = x @ weight.T
    points = z[rng.permutation(512)[: shape.neurons]]
    near = float(np.median(((z[:, None] - points) ** 2).sum(-1)))
    ones = np.ones(shape.neurons)
    tensors = {
        "projection.weight": weight,
        "projection.bias": np.zeros(shape.dim),
        "field.positions": points,
        "field.values": rng.normal(0, 1, (shape.neurons, shape.outputs)),
        "field.temperature": ones * (near if kernel == "radial" else near**0.5),
        "field.radius": ones * near,
        "bias": rng.normal(0, 0.1, shape.outputs),
    }
    if kernel != "radial":
        del tensors["field.radius"]
    arrays: dict[str, Array] = {k: v.astype(np.float32) for k, v in tensors.items()}
    arrays["field.frozen"] = np.ones(shape.neurons, dtype=np.bool_)
    return Checkpoint(config, arrays, x)
