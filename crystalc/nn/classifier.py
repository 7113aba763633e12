"""Crystal classifier: [projection] -> geometric field -> [head], and its checkpoint form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalc.checkpoint import Checkpoint, Config
from crystalc.nn.field import FieldShape, GeometricField


class CrystalClassifier(nn.Module):
    """[B, I] -> [B, O] logits. Without a head the field's values are logits and ``bias`` is added.

    ``field`` is any module that maps [B, D] to [B, H] and has ``shape: FieldShape``.
    """

    def __init__(
        self,
        field: nn.Module,
        projection: nn.Linear | None = None,
        head: nn.Linear | None = None,
        bias: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.projection = projection
        self.field = field
        self.head = head
        self.bias = None if bias is None else nn.Parameter(bias.clone())

    def embed(self, x: Tensor) -> Tensor:
        """[B, I] -> [B, D]: the space that the neurons live in."""
        if self.projection is None:
            return x
        z: Tensor = self.projection(x)
        return z

    def finish(self, y: Tensor) -> Tensor:
        """[B, H] -> [B, O]: the field's output to logits."""
        if self.head is not None:
            logits: Tensor = self.head(y)
            return logits
        return y if self.bias is None else y + self.bias

    def forward(self, x: Tensor) -> Tensor:
        """[B, I] -> [B, O] logits."""
        return self.finish(self.field(self.embed(x)))

    def config(self) -> Config:
        """The shapes and options of a model whose field is a GeometricField."""
        field = _plain(self.field)
        shape = field.shape
        return Config(
            inputs=shape.dim if self.projection is None else self.projection.in_features,
            outputs=shape.outputs if self.head is None else self.head.out_features,
            neurons=len(field),
            dim=shape.dim,
            metric=shape.metric,
            kernel=shape.kernel,
            activation=shape.activation,
            normalized=shape.normalized,
            projection=self.projection is not None,
            head=self.head is not None,
        )

    def to_checkpoint(
        self,
        calibration: NDArray[np.float32] | None = None,
        metadata: Mapping[str, str | int | float] | None = None,
    ) -> Checkpoint:
        """The model as NumPy arrays; its keys are those of ``state_dict``."""
        tensors = {key: value.detach().numpy().copy() for key, value in self.state_dict().items()}
        return Checkpoint(self.config(), tensors, calibration, dict(metadata or {}))

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> CrystalClassifier:
        """Rebuild the model, in eval mode. Shapes are trusted: the readers have checked them."""
        hidden = int(checkpoint.tensors["field.values"].shape[1])
        model = cls.from_config(checkpoint.config, hidden, bias="bias" in checkpoint.tensors)
        arrays = checkpoint.tensors.items()
        model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in arrays})
        return model.eval()

    @classmethod
    def from_config(cls, config: Config, hidden: int, bias: bool = True) -> CrystalClassifier:
        """An untrained model whose field has ``hidden`` outputs (those of the model if no head)."""
        shape = FieldShape(
            config.dim, hidden, config.metric, config.kernel, config.activation, config.normalized
        )
        return cls(
            GeometricField(shape, config.neurons),
            nn.Linear(config.inputs, config.dim) if config.projection else None,
            nn.Linear(hidden, config.outputs) if config.head else None,
            torch.zeros(config.outputs) if bias and not config.head else None,
        )


def _plain(field: nn.Module) -> GeometricField:
    if not isinstance(field, GeometricField):
        raise TypeError(f"a {type(field).__name__} must be merged into a GeometricField first")
    return field
