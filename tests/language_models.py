"""Random small language models, and what they compute, written with torch's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crystalc.language import (
    LanguageConfig,
    LanguageModel,
    Vocabulary,
    optional_parameters,
    parameters,
)

KERNELS = [
    {"kernel": "radial", "activation": "gelu"},
    {"kernel": "radial", "activation": "relu"},
    {"kernel": "laplace", "activation": None},
    {"kernel": "laplace", "activation": None, "normalized": True},
    {"kernel": "gauss", "activation": None},
    {"kernel": "gauss", "activation": None, "normalized": True, "metric": "l1"},
]


def tiny_config(**changes: Any) -> LanguageConfig:
    """Two blocks over 23 tokens."""
    config: dict[str, Any] = {
        "kind": "causal_lm",
        "vocabulary": 23,
        "dim": 8,
        "context": 6,
        "heads": 2,
        "neurons": (5, 7),
        "ffn": 9,
    }
    return LanguageConfig(**{**config, **changes})


def tiny_vocabulary(size: int = 23) -> Vocabulary:
    """Letters, and no merges."""
    tokens = tuple(bytes([97 + i % 26]) * (1 + i // 26) for i in range(size))
    return Vocabulary(tokens, np.zeros((0, 2), np.int32), size, "chars")


def random_model(config: LanguageConfig, seed: int = 1, biases: bool = True) -> LanguageModel:
    """Weights of a size that leaves every part felt in the logits."""
    rng = np.random.default_rng(seed)
    shapes = parameters(config) | (optional_parameters(config) if biases else {})
    tensors: dict[str, Any] = {}
    for key, shape in shapes.items():
        drawn = rng.standard_normal(shape) * 0.7
        if key.endswith(("temperature", "norm.weight")):
            drawn = 1.0 + np.abs(drawn)
        if key.endswith("radius"):
            drawn = drawn + config.dim
        tensors[key] = drawn.astype(np.float32)
        if key.endswith("frozen"):
            tensors[key] = rng.random(shape) < 0.7
    vocabulary = tiny_vocabulary(config.vocabulary)
    return LanguageModel(config, tensors, vocabulary, {"seed": seed}, "0" * 64)


def torch_logits(model: LanguageModel, ids: np.ndarray, dtype: Any = torch.float64) -> np.ndarray:
    """Logits [batch, T, V] of token ids [batch, T]."""
    c = model.config
    w = {k: torch.from_numpy(np.asarray(v)) for k, v in model.tensors.items()}
    w = {k: v if v.dtype == torch.bool else v.to(dtype) for k, v in w.items()}
    x = w["tokens.weight"][torch.from_numpy(ids)] + w["positions.weight"][: ids.shape[1]]
    for block in range(c.blocks):
        p = f"blocks.{block}."
        if c.kind == "causal_lm":
            x = x + _attention(c, w, p, _norm(c, w, p + "norm1", x))
        x = x + _field(c, w, p + "field.", _norm(c, w, p + "norm2", x))
        if c.ffn:
            up = _linear(w, p + "ffn.up", _norm(c, w, p + "norm3", x))
            x = x + _linear(w, p + "ffn.down", F.gelu(up, approximate="tanh"))
    return _linear(w, "head", _norm(c, w, "norm", x)).numpy()


def _norm(c: LanguageConfig, w: dict[str, Tensor], key: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, (c.dim,), w[key + ".weight"], w[key + ".bias"], c.epsilon)


def _linear(w: dict[str, Tensor], key: str, x: Tensor) -> Tensor:
    return F.linear(x, w[key + ".weight"], w.get(key + ".bias"))


def _attention(c: LanguageConfig, w: dict[str, Tensor], p: str, x: Tensor) -> Tensor:
    q, k, v = (_linear(w, f"{p}attention.{n}", x) for n in ("query", "key", "value"))
    split = [t.unflatten(-1, (c.heads, -1)).transpose(1, 2) for t in (q, k, v)]
    mixed = F.scaled_dot_product_attention(*split, is_causal=True)
    return _linear(w, p + "attention.output", mixed.transpose(1, 2).flatten(2))


def _field(c: LanguageConfig, w: dict[str, Tensor], p: str, x: Tensor) -> Tensor:
    norm = 1 if c.metric == "l1" else 2
    d = torch.linalg.vector_norm(x[:, :, None, :] - w[p + "positions"], norm, -1)
    t = w[p + "temperature"]
    if c.kernel == "radial":
        z = (w[p + "radius"] - d**2) / t
        y = F.relu(z) if c.activation == "relu" else F.gelu(z, approximate="tanh")
    else:
        z = -d / (t.abs() + 0.1) if c.kernel == "laplace" else -(d**2) / t**2
        y = torch.softmax(z, -1) if c.normalized else z.exp()
    return y @ w[p + "values"] + w.get(p + "bias", torch.zeros(c.dim, dtype=x.dtype))
