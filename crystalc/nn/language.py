"""Crystal language models in torch: the modules and keys that ``crystalc.language`` describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.language import PROJECTIONS, LanguageConfig, LanguageModel, Vocabulary
from crystalc.nn.field import FieldShape, GeometricField

Past = tuple[Tensor, Tensor]  # keys and values of one block so far, each [B, heads, t, D / heads]


@dataclass
class Cache:
    """What the tokens seen so far left behind: their count and each block's past."""

    length: int = 0
    pasts: list[Past | None] = field(default_factory=list)


class BiasedField(GeometricField):
    """A field with a constant [O] added to its output."""

    def __init__(self, shape: FieldShape, neurons: int) -> None:
        super().__init__(shape, neurons)
        self.bias = nn.Parameter(torch.zeros(shape.outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, O]."""
        return super().forward(x) + self.bias


class Attention(nn.Module):
    """Causal self-attention of ``heads`` heads: [B, T, D] -> [B, T, D]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in PROJECTIONS:
            self.add_module(name, nn.Linear(dim, dim, bias=False))

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """With a ``past``, x [B, 1, D] is the next token. Also returns the past with x in it."""
        b, t, d = x.shape
        shape = (b, t, self.heads, d // self.heads)
        query, key, value = (
            self.get_submodule(name)(x).view(shape).transpose(1, 2) for name in PROJECTIONS[:3]
        )
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        y: Tensor = self.get_submodule("output")(mixed.transpose(1, 2).reshape(b, t, d))
        return y, (key, value)


class FeedForward(nn.Module):
    """down @ gelu(up @ x): [.., D] -> [.., D]."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[.., D] -> [.., D]."""
        y: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return y


class Block(nn.Module):
    """Residual attention (causal_lm only), field and feed-forward (where ffn > 0)."""

    def __init__(self, config: LanguageConfig, middle: nn.Module, dropout: float) -> None:
        super().__init__()
        d = config.dim
        self.dropout = nn.Dropout(dropout)
        self.attention: Attention | None = None
        self.ffn: FeedForward | None = None
        if config.kind == "causal_lm":
            self.norm1 = nn.LayerNorm(d, config.epsilon)
            self.attention = Attention(d, config.heads)
        self.norm2 = nn.LayerNorm(d, config.epsilon)
        self.field = middle
        if config.ffn:
            self.norm3 = nn.LayerNorm(d, config.epsilon)
            self.ffn = FeedForward(d, config.ffn)

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past | None]:
        """[B, T, D] -> [B, T, D], and the attention's past."""
        if self.attention is not None:
            y, past = self.attention(self.norm1(x), past)
            x = x + self.dropout(y)
        with torch.autocast(x.device.type, enabled=False):  # |x|^2 cancels in a field's scores
            y = self.field(self.field_input(x))
        x = x + self.dropout(y.view(x.shape))
        if self.ffn is not None:
            x = x + self.dropout(self.ffn(self.norm3(x)))
        return x, past

    def field_input(self, x: Tensor) -> Tensor:
        """[B, T, D] after attention -> [B * T, D]: where the field's neurons live."""
        y: Tensor = self.norm2(x.float()).flatten(0, 1)
        return y


class LanguageNet(nn.Module):
    """Token ids [B, T] -> logits [B, T, V]. ``fields``: modules [n, D] -> [n, D], one a block."""

    def __init__(
        self, config: LanguageConfig, fields: Sequence[nn.Module] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.config = config
        made = fields or [GeometricField(shape_of(config), n) for n in config.neurons]
        self.tokens = nn.Embedding(config.vocabulary, config.dim)
        self.positions = nn.Embedding(config.context, config.dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(config, made_field, dropout) for made_field in made)
        self.norm = nn.LayerNorm(config.dim, config.epsilon)
        self.head = nn.Linear(config.dim, config.vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """[B, T] -> [B, T, V], T at most the context."""
        return self.advance(ids, Cache())

    def advance(self, ids: Tensor, cache: Cache) -> Tensor:
        """Logits [B, T, V] of the tokens that follow those in ``cache``, which takes them in.

        T is 1 unless the cache is empty; all tokens together are at most the context.
        """
        here = torch.arange(cache.length, cache.length + ids.shape[1], device=ids.device)
        x = self.dropout(self.tokens(ids) + self.positions(here))
        pasts = cache.pasts or [None] * len(self.blocks)
        cache.pasts = []
        for block, past in zip(self.blocks, pasts, strict=True):
            x, after = block(x, past)
            cache.pasts.append(after)
        cache.length += ids.shape[1]
        logits: Tensor = self.head(self.norm(x))
        return logits

    def to_model(
        self,
        vocabulary: Vocabulary | None = None,
        metadata: Mapping[str, str | int | float] | None = None,
    ) -> LanguageModel:
        """The model as NumPy arrays; every field must be a GeometricField."""
        state = self.state_dict().items()
        tensors = {key: value.detach().cpu().numpy().copy() for key, value in state}
        return LanguageModel(self.config, tensors, vocabulary, dict(metadata or {}))

    @classmethod
    def from_model(cls, model: LanguageModel) -> LanguageNet:
        """Rebuild the network, in eval mode. Shapes are trusted: the readers have checked them."""
        config, keys = model.config, model.tensors.keys()
        shape = shape_of(config)
        fields = [
            (BiasedField if f"blocks.{b}.field.bias" in keys else GeometricField)(shape, n)
            for b, n in enumerate(config.neurons)
        ]
        net = cls(config, fields)
        for name, module in net.named_modules():
            if isinstance(module, nn.Linear) and f"{name}.bias" in keys:
                module.bias = nn.Parameter(torch.zeros(module.out_features))
        arrays = model.tensors.items()
        net.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in arrays})
        return net.eval()


def shape_of(config: LanguageConfig) -> FieldShape:
    """Of every field of the model. Raises CompileError where its options clash."""
    return FieldShape(
        config.dim,
        config.dim,
        config.metric,
        config.kernel,
        config.activation,
        config.normalized,
    )
