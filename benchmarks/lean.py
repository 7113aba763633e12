"""The classifier in plain PyTorch, written leaner than crystalc.nn, for benchmarks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.checkpoint import Checkpoint

FORMS = ("cdist", "product")


class Lean(nn.Module):
    """[B, I] -> [B, O] by hand; ``form``: "cdist", or "product" for one matrix product.

    ``step``: inputs are integers that stand for so many reals each, and the class comes out.
    """

    def __init__(self, checkpoint: Checkpoint, form: str, step: float | None = None) -> None:
        super().__init__()
        for key, value in checkpoint.tensors.items():
            self.register_buffer(key.replace(".", "_"), torch.tensor(np.asarray(value)))
        self.form, self.config, self.step = form, checkpoint.config, step

    def forward(self, x: Tensor) -> Tensor:
        """[B, I] -> [B, O], or classes [B]."""
        if self.step is None:
            return self._logits(x)
        return self._logits(x.float() * self.step).argmax(1)

    def _logits(self, x: Tensor) -> Tensor:
        laplace = self.config.kernel == "laplace"
        z = F.linear(x, self._of("projection_weight"), self._of("projection_bias"))
        p = self._of("field_positions")
        if self.form == "cdist":
            d = torch.cdist(z, p)
            d = d if laplace else d.square()
        else:
            norms = (z * z).sum(1, keepdim=True) + (p * p).sum(1)
            d = torch.addmm(norms, z, p.t(), alpha=-2.0).clamp_min(0.0)
            d = d.sqrt() if laplace else d
        if laplace:
            w = torch.exp(-d / (self._of("field_temperature").abs() + 0.1))
        else:
            s = (self._of("field_radius") - d) / self._of("field_temperature")
            relu = self.config.activation == "relu"
            w = torch.relu(s) if relu else F.gelu(s, approximate="tanh")
        return w @ self._of("field_values") + self._of("bias")

    def _of(self, name: str) -> Tensor:
        return self.get_buffer(name)
