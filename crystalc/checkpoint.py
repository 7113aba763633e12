"""A trained crystal in memory, free of torch: what every reader returns and every writer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FORMAT = "crystalc"
VERSION = 1

Metric = Literal["l2", "l1"]
Kernel = Literal["laplace", "gauss", "radial"]
Activation = Literal["relu", "gelu"]


@dataclass(frozen=True)
class Config:
    """Shape of a classifier: ``inputs`` -> [projection] -> field -> [head] -> ``outputs``."""

    inputs: int
    outputs: int
    neurons: int
    dim: int
    metric: Metric = "l2"
    kernel: Kernel = "radial"
    activation: Activation | None = "gelu"
    normalized: bool = False
    projection: bool = False
    head: bool = False
    kind: str = "classifier"

    def to_dict(self) -> dict[str, Any]:
        """Plain dict of JSON types, the ``config`` entry of a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Checkpoint:
    """Parameters by key (see ``docs/checkpoints.md``), float32 except ``field.frozen`` (bool).

    ``calibration`` is [n, inputs] or None. ``source`` is the sha256 of the file it was read from.
    """

    config: Config
    tensors: Mapping[str, NDArray[Any]]
    calibration: NDArray[np.float32] | None = None
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)
    source: str = ""

    @property
    def frozen(self) -> NDArray[np.bool_]:
        """One flag per neuron: True where it is a compile-time constant."""
        return np.asarray(self.tensors["field.frozen"], dtype=np.bool_)

    @property
    def parameters(self) -> int:
        """Count of trained numbers."""
        return sum(int(v.size) for k, v in self.tensors.items() if k != "field.frozen")
