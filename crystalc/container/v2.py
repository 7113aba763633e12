"""Version 2, as the journal wrote it; what it leaves open is decided in ``docs/format.md``.

One block, laplace on l2, no table and no checksum: every place follows from the header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystalc.container.codes import Code, require
from crystalc.container.content import check_numbers
from crystalc.container.header import CACHE_BYTES, LIMITS, MAGIC, NEURONS, TOKENS
from crystalc.container.kinds import MATRICES, Dtype, Mode, Part, dtype_of, place_of
from crystalc.container.layout import NUMPY, up
from crystalc.container.quantize import Stored, dequantize, quantize
from crystalc.diagnostics import refuse
from crystalc.language import EPSILON, PROJECTIONS, LanguageConfig, LanguageModel

Array = NDArray[Any]

VERSION = 2
HEADER = struct.Struct("<4s15I")
assert HEADER.size == 64

CAUSAL, PRUNED_VOCAB = 0x0001, 0x0002
WEIGHTS: dict[int, Mode] = {
    0: "f32",
    0x0008: "int8",
    0x0010: "int16",
    0x0020: "mixed",
    0x0040: "mixed8",
}
DIMS = ("vocabulary", "dim", "neurons", "context", "ffn")
SECTIONS = ("tokens", "positions", "attention", "geometric", "ffn", "head", "norms", "ids")
DEFAULT_HEADS = 4
ATTENTION, BLOCK = "blocks.0.attention.", "blocks.0."


class Item(NamedTuple):
    """One array of a section. ``key`` is "" for the ids of a pruned vocabulary."""

    key: str
    dtype: Dtype
    shape: tuple[int, ...]

    @property
    def prefix(self) -> int:
        """Bytes of scale and offset before the elements."""
        return 8 if self.dtype in (Dtype.S16, Dtype.S8) else 0

    @property
    def size(self) -> int:
        """Bytes with padding to a multiple of 4."""
        count = 1
        for dim in self.shape:
            count *= dim
        return up(self.prefix + count * NUMPY[self.dtype].itemsize, 4)


@dataclass(frozen=True)
class Header:
    """The eight numbers; ``offsets`` are the other eight."""

    flags: int
    vocabulary: int
    dim: int
    neurons: int
    context: int
    ffn: int
    offsets: tuple[int, ...] = ()

    @property
    def mode(self) -> Mode:
        """Weight mode."""
        return WEIGHTS[self.flags & ~(CAUSAL | PRUNED_VOCAB)]

    @property
    def causal(self) -> bool:
        """Whether there is attention."""
        return bool(self.flags & CAUSAL)

    def config(self, heads: int | None) -> LanguageConfig:
        """The model's config; the file does not say how many heads there are."""
        return LanguageConfig(
            kind="causal_lm" if self.causal else "flat_lm",
            vocabulary=self.vocabulary,
            dim=self.dim,
            context=self.context,
            heads=(heads or DEFAULT_HEADS) if self.causal else 1,
            neurons=(self.neurons,),
            ffn=self.ffn,
            kernel="laplace",
            activation=None,
            epsilon=EPSILON,
        )


@dataclass(frozen=True)
class Parsed:
    """A file that passed every check. ``ids``: uint32 [V] in the unpruned vocabulary, or None."""

    header: Header
    stored: dict[str, Stored]
    ids: Array | None


def sections_of(h: Header) -> list[list[Item]]:
    """The arrays of each of the eight sections; an empty section is not in the file."""
    v, d, n, f = h.vocabulary, h.dim, h.neurons, h.ffn
    attention = [_item(h, f"{ATTENTION}{p}.weight", d, d) for p in PROJECTIONS]
    attention += [_item(h, f"{ATTENTION}{p}.bias", d) for p in PROJECTIONS]
    geometric = [_item(h, f"{BLOCK}field.{k}", n, d) for k in ("positions", "values")]
    geometric.append(_item(h, BLOCK + "field.temperature", n))
    geometric.append(Item(BLOCK + "field.frozen", Dtype.U8, (n,)))
    ffn = [_item(h, BLOCK + "ffn.up.weight", f, d), _item(h, BLOCK + "ffn.up.bias", f)]
    ffn += [_item(h, BLOCK + "ffn.down.weight", d, f), _item(h, BLOCK + "ffn.down.bias", d)]
    return [
        [_item(h, "tokens.weight", v, d)],
        [_item(h, "positions.weight", h.context, d)],
        attention if h.causal else [],
        geometric,
        ffn if f else [],
        [_item(h, "head.weight", v, d), _item(h, "head.bias", v)],
        list(_norms(h)),
        [Item("", Dtype.U32, (v,))] if h.flags & PRUNED_VOCAB else [],
    ]


def _item(h: Header, key: str, *shape: int) -> Item:
    kind, _ = place_of(key)
    dtype = dtype_of(kind, h.mode) if kind in MATRICES else Dtype.F32
    return Item(key, dtype, shape)


def _norms(h: Header) -> Iterator[Item]:
    used = {"norm1": h.causal, "norm2": True, "norm3": h.ffn > 0}
    names = [*(BLOCK + name for name, there in used.items() if there), "norm"]
    for name in names:
        yield from (_item(h, f"{name}.{part}", h.dim) for part in ("weight", "bias"))


def parse(data: memoryview) -> Parsed:
    """Every check on a version 2 file. Raises ContainerError."""
    require(len(data) >= HEADER.size, Code.SHORT, "the file is too short for its header")
    fields = HEADER.unpack(data[: HEADER.size])
    flags, vocabulary, dim, neurons, context, ffn = fields[2:8]
    h = Header(flags, vocabulary, dim, neurons, context, ffn, fields[8:])
    weights = h.flags & ~(CAUSAL | PRUNED_VOCAB)
    require(
        weights in WEIGHTS, Code.V2_FLAGS, f"flags {h.flags:#06x} are not known", "header.flags"
    )
    _check_limits(h)
    sections = sections_of(h)
    places, end = _places(sections)
    for name, place, offset in zip(SECTIONS, places, h.offsets, strict=True):
        text = f"at byte {offset}, but its place is {place}"
        require(offset == place, Code.V2_PLACE, text, name)
    text = f"the sections end at byte {end}, the file at {len(data)}"
    require(end == len(data), Code.SIZE, text)
    stored = dict(_arrays(data, sections))
    ids = stored.pop("").parts[Part.VALUES] if "" in stored else None
    return Parsed(h, stored, ids)


def _check_limits(h: Header) -> None:
    for name in DIMS:
        low, high = (1, NEURONS) if name == "neurons" else LIMITS[name]
        value = getattr(h, name)
        text = f"{value} is not from {low} to {high}"
        require(low <= value <= high, Code.LIMIT, text, f"header.{name}")
    cache = 8 * h.context * h.dim
    text = f"keys and values of {cache} bytes, more than {CACHE_BYTES}"
    require(cache <= CACHE_BYTES, Code.MEMORY, text, "header.context")


def _places(sections: list[list[Item]]) -> tuple[list[int], int]:
    """Offset of each section, 0 for an empty one, and where the last ends."""
    places, at = [], HEADER.size
    for items in sections:
        places.append(at if items else 0)
        at += sum(item.size for item in items)
    return places, at


def _arrays(data: memoryview, sections: list[list[Item]]) -> Iterator[tuple[str, Stored]]:
    at = HEADER.size
    for item in (item for items in sections for item in items):
        yield item.key, _array(data[at : at + item.size], item)
        at += item.size


def _array(data: memoryview, item: Item) -> Stored:
    flat = np.frombuffer(data[item.prefix :], np.uint8)
    count = item.shape[0] if len(item.shape) == 1 else item.shape[0] * item.shape[1]
    used = count * NUMPY[item.dtype].itemsize
    text = "bytes after the array are not 0"
    require(not flat[used:].any(), Code.PADDING, text, item.key)
    values = flat[:used].view(NUMPY[item.dtype]).reshape(item.shape)
    scale, zero = np.frombuffer(data[: item.prefix], "<f4") if item.prefix else (0.0, 0.0)
    check_numbers(np.array([scale, zero], np.float32), item.key)
    _check_values(values, item)
    return Stored(item.dtype, {Part.VALUES: values}, float(scale), float(zero))


def _check_values(values: Array, item: Item) -> None:
    if item.dtype == Dtype.F32:
        check_numbers(values.reshape(-1), item.key)
    if item.dtype == Dtype.U8:
        require(bool((values <= 1).all()), Code.NUMBER, "holds other than 0 and 1", item.key)
    if item.dtype == Dtype.U32:
        least = np.diff(values.astype(np.int64), prepend=-1).min()
        sane = least > 0 and values[-1] < TOKENS
        require(bool(sane), Code.TOKENS, "ids do not ascend or are too large", "ids")


def model_of(parsed: Parsed, heads: int | None) -> LanguageModel:
    """The language model; ``heads`` None means 4. Raises CompileError where dim % heads."""
    config = parsed.header.config(heads)
    if config.dim % config.heads:
        raise refuse(f"{config.heads} heads do not divide dim {config.dim}", "heads")
    tensors = {key: dequantize(s).copy() for key, s in parsed.stored.items()}
    frozen = BLOCK + "field.frozen"
    tensors[frozen] = tensors[frozen].astype(np.bool_)
    return LanguageModel(config, tensors)


def write(model: LanguageModel, mode: Mode, ids: Array | None = None) -> bytes:
    """``model`` as version 2. Raises CompileError for what that version cannot hold.

    ``ids`` uint32 [V]: what the tokens are in the unpruned vocabulary.
    """
    c = model.config
    alien = {
        "weights": mode not in WEIGHTS.values(),
        "neurons": c.blocks != 1,
        "kernel": c.kernel != "laplace" or c.metric != "l2" or c.normalized,
        "epsilon": c.epsilon != EPSILON,
        "field.bias": BLOCK + "field.bias" in model.tensors,
    }
    for key in (key for key, wrong in alien.items() if wrong):
        raise refuse("version 2 cannot hold this", key, hint="write version 3")
    flags = next(bits for bits, name in WEIGHTS.items() if name == mode)
    flags |= CAUSAL * (c.kind == "causal_lm") | PRUNED_VOCAB * (ids is not None)
    header = Header(flags, c.vocabulary, c.dim, c.neurons[0], c.context, c.ffn)
    sections = sections_of(header)
    numbers = (flags, c.vocabulary, c.dim, c.neurons[0], c.context, c.ffn)
    parts = [HEADER.pack(MAGIC, VERSION, *numbers, *_places(sections)[0])]
    parts += [_bytes(model, item, ids) for items in sections for item in items]
    return b"".join(parts)


def _bytes(model: LanguageModel, item: Item, ids: Array | None) -> bytes:
    """A bias that the model does not have is 0."""
    tensor = ids if item.key == "" else model.tensors.get(item.key, np.zeros(item.shape))
    assert tensor is not None
    stored = quantize(tensor, item.dtype)
    start = struct.pack("<2f", stored.scale, stored.zero) if item.prefix else b""
    elements = stored.parts[Part.VALUES].astype(NUMPY[item.dtype]).tobytes()
    return (start + elements).ljust(item.size, b"\0")
