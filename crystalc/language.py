"""A crystal language model in memory, free of torch: what readers return and writers take.

    x = tokens[t] + positions[i]
    per block:  x += attention(norm1(x))       causal_lm only
                x += field(norm2(x))
                x += ffn(norm3(x))             where ffn > 0: down @ gelu(up @ x)
    logits = head @ norm(x)

LayerNorm has weight and bias; gelu is the tanh form. A linear layer's bias is optional: without
the key there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Activation, Kernel, Metric

Kind = Literal["causal_lm", "flat_lm"]
Split = Literal["gpt2", "chars"]
EPSILON = 1e-5


@dataclass(frozen=True)
class LanguageConfig:
    """Shapes. ``neurons``: of each block's field; ``ffn``: hidden units of each block, 0 = none;
    ``heads``: of the attention, which divides ``dim`` (1 for a flat model).
    """

    kind: Kind
    vocabulary: int
    dim: int
    context: int
    heads: int
    neurons: tuple[int, ...]
    ffn: int = 0
    metric: Metric = "l2"
    kernel: Kernel = "radial"
    activation: Activation | None = "gelu"
    normalized: bool = False
    epsilon: float = EPSILON

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return len(self.neurons)

    def to_dict(self) -> dict[str, Any]:
        """Plain dict of JSON types, the ``config`` entry of a checkpoint."""
        return {**asdict(self), "neurons": list(self.neurons)}


@dataclass(frozen=True)
class Vocabulary:
    """Byte-level tokens. ``tokens``: the bytes of each; ids from ``size`` on are pieces that
    only merges need and that no model ever sees. ``merges`` int32 [M, 2]: pairs of ids in order of
    rank; the result is the token of the joined bytes. ``split`` "gpt2": text is cut by GPT-2's
    pattern before merging; "chars": every token is one character and there are no merges.
    """

    tokens: tuple[bytes, ...]
    merges: NDArray[np.int32]
    size: int
    split: Split = "gpt2"


@dataclass(frozen=True)
class LanguageModel:
    """``tensors`` by key as ``parameters`` lists them: float32, except ``frozen`` (bool).

    ``source`` is the sha256 of the file it was read from.
    """

    config: LanguageConfig
    tensors: Mapping[str, NDArray[Any]]
    vocabulary: Vocabulary | None = None
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)
    source: str = ""

    @property
    def frozen(self) -> NDArray[np.bool_]:
        """One flag for each neuron of all blocks: True where it is a compile-time constant."""
        masks = [self.tensors[f"blocks.{b}.field.frozen"] for b in range(self.config.blocks)]
        return np.concatenate(masks).astype(np.bool_)

    @property
    def parameters(self) -> int:
        """Count of trained numbers."""
        return sum(int(v.size) for k, v in self.tensors.items() if not k.endswith(".frozen"))


def parameters(config: LanguageConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every required tensor by key."""
    return dict(_parameters(config))


def optional_parameters(config: LanguageConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that may be left out: the biases of linear layers and fields."""
    d = config.dim
    found: dict[str, tuple[int, ...]] = {"head.bias": (config.vocabulary,)}
    for b in range(config.blocks):
        found[f"blocks.{b}.field.bias"] = (d,)
        if config.kind == "causal_lm":
            found |= {f"blocks.{b}.attention.{p}.bias": (d,) for p in PROJECTIONS}
        if config.ffn:
            found[f"blocks.{b}.ffn.up.bias"] = (config.ffn,)
            found[f"blocks.{b}.ffn.down.bias"] = (d,)
    return found


PROJECTIONS = ("query", "key", "value", "output")


def _parameters(c: LanguageConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "tokens.weight", (c.vocabulary, c.dim)
    yield "positions.weight", (c.context, c.dim)
    for b, neurons in enumerate(c.neurons):
        block = f"blocks.{b}."
        if c.kind == "causal_lm":
            yield from _norm(block + "norm1", c.dim)
            yield from ((f"{block}attention.{p}.weight", (c.dim, c.dim)) for p in PROJECTIONS)
        yield from _norm(block + "norm2", c.dim)
        yield from ((f"{block}field.{k}", (neurons, c.dim)) for k in ("positions", "values"))
        yield f"{block}field.temperature", (neurons,)
        if c.kernel == "radial":
            yield f"{block}field.radius", (neurons,)
        yield f"{block}field.frozen", (neurons,)
        if c.ffn:
            yield from _norm(block + "norm3", c.dim)
            yield f"{block}ffn.up.weight", (c.ffn, c.dim)
            yield f"{block}ffn.down.weight", (c.dim, c.ffn)
    yield from _norm("norm", c.dim)
    yield "head.weight", (c.vocabulary, c.dim)


def _norm(key: str, dim: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield key + ".weight", (dim,)
    yield key + ".bias", (dim,)
