"""A language model as the bytes of a version 3 container."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container import header as head
from crystalc.container import table
from crystalc.container.crc32c import crc32c
from crystalc.container.extra import NOTHING, Extra
from crystalc.container.feedback import Moments
from crystalc.container.kinds import (
    FINE_PARTS,
    MERGES,
    METADATA,
    NO_BLOCK,
    TABLE_DTYPES,
    TOKEN_BYTES,
    TOKEN_OFFSETS,
    Dtype,
    Layout,
    Mode,
    Place,
    dtype_of,
    dtypes_of,
    key_of,
    layouts_of,
    parts_of,
    place_of,
    tensors_of,
)
from crystalc.container.layout import ALIGNMENT, pack, up
from crystalc.container.quantize import Stored, quantize
from crystalc.container.read import parse
from crystalc.container.tokens import check_vocabulary, merge_table, token_offsets
from crystalc.diagnostics import refuse
from crystalc.language import LanguageModel

Array = NDArray[Any]
Metadata = Mapping[str, str | int | float]
PRUNED = "pruned_vocabulary"
"""Metadata of a model whose vocabulary was pruned: how many tokens it had."""


@dataclass(frozen=True)
class Section:
    """An entry without its place, and its bytes."""

    entry: table.Entry
    content: bytes


def write(
    model: LanguageModel,
    mode: Mode,
    *,
    panels: bool = True,
    moments: Mapping[str, Moments] | None = None,
    extra: Extra = NOTHING,
    upgraded: bool = False,
) -> bytes:
    """The container of ``model`` with weights of ``mode``.

    ``panels``: matrices in the order that SIMD reads in place, else in rows. ``moments``: how
    errors of matrices are felt, by key; integers are rounded accordingly. ``extra``: what has more
    bits than the mode says. ``upgraded``: 16 bits with one scale for a tensor, as in version 2.
    Raises CompileError where the model is none that the format can hold.
    """
    check_model(model)
    stored = _stored(model, mode, moments or {}, extra, upgraded)
    sections = [*_tensors(stored, panels), *_tables(model)]
    header = _header(model, mode)
    placed = list(_place(sections))
    last = placed[-1].entry
    file_bytes = up(last.offset + last.size, ALIGNMENT)
    start = head.pack(header, len(placed), file_bytes)
    start += b"".join(table.pack(s.entry) for s in placed)
    crc = head.checksum(start).to_bytes(4, "little")
    parts = [start[: head.CRC_AT], crc, start[head.CRC_AT + 4 :]]
    parts += [s.content.ljust(up(len(s.content), ALIGNMENT), b"\0") for s in placed]
    content = b"".join(parts)
    parse(memoryview(content))
    return content


def check_model(model: LanguageModel) -> None:
    """Refuse tensors that are missing, unknown, of a wrong shape or not finite."""
    shapes = tensors_of(model.config)
    given = {_known_place(key): value for key, value in model.tensors.items()}
    for place, (shape, must) in shapes.items():
        key = key_of(*place)
        if place not in given:
            if must:
                raise refuse("missing", key)
            continue
        value = given.pop(place)
        if value.shape != shape:
            raise refuse(f"shape {list(value.shape)} does not match {list(shape)}", key)
        sane = np.abs(value.astype(np.float32)) <= table.MAGNITUDE
        if not sane.all():
            at = tuple(int(i) for i in np.argwhere(~sane)[0])
            raise refuse(f"{value[at]} is not a number up to 2^40", key, at)
    for place in given:
        raise refuse("this model has no such tensor", key_of(*place))


def _known_place(key: str) -> Place:
    try:
        return place_of(key)
    except (KeyError, ValueError):
        raise refuse("unknown key", key) from None


def _header(model: LanguageModel, mode: Mode) -> head.Header:
    v = model.vocabulary
    tokens = (len(v.tokens), len(v.merges), v.split) if v else (0, 0, "gpt2")
    source = bytes.fromhex(model.source).ljust(32, b"\0")
    pruned = PRUNED in model.metadata
    config = model.config
    if config.kind == "flat_lm":
        config = replace(config, heads=1)  # without attention there is nothing to divide
    return head.header_of(config, mode, tokens, pruned, source)


def _stored(
    model: LanguageModel,
    mode: Mode,
    moments: Mapping[str, Moments],
    extra: Extra,
    upgraded: bool,
) -> Iterator[tuple[Place, Stored]]:
    for key in sorted(model.tensors, key=lambda key: place_of(key)[::-1]):
        kind, _ = place_of(key)
        dtype = dtype_of(kind, mode) if upgraded else dtypes_of(kind, mode)[0]
        wide = Dtype.S16R if key in extra.wide else dtype
        yield (
            place_of(key),
            quantize(model.tensors[key], wide, moments.get(key), extra.fine.get(key)),
        )


def _tensors(stored: Iterator[tuple[Place, Stored]], panels: bool) -> Iterator[Section]:
    for place, tensor in stored:
        yield from _parts(tensor, place, layouts_of(place[0])[0] if panels else Layout.ROWS)


def _parts(stored: Stored, place: Place, layout: Layout) -> Iterator[Section]:
    types = {**parts_of(stored.dtype), **FINE_PARTS}
    for part, values in stored.parts.items():
        dtype = types[part]
        made = _section((*place, int(part)), dtype, layout, values)
        bits = [table.to_bits(v) for v in (stored.scale, stored.zero)]
        yield replace(made, entry=replace(made.entry, scale_bits=bits[0], zero_bits=bits[1]))


def _section(slot: table.Slot, dtype: Dtype, layout: Layout, values: Array) -> Section:
    kind, block, part = slot
    content = pack(values, dtype, layout)
    dims = (*values.shape, 0, 0, 0)[:4]
    flags = 0 if kind == METADATA else table.CRITICAL
    rank, crc = values.ndim, crc32c(content)
    fields = (int(dtype), int(layout), rank, flags, dims, crc, 0, len(content))
    return Section(table.Entry(kind, part, block, *fields), content)


def _tables(model: LanguageModel) -> Iterator[Section]:
    v = model.vocabulary
    if v is not None:
        check_vocabulary(v, model.config.vocabulary)
        yield _table(TOKEN_OFFSETS, token_offsets(v))
        yield _table(TOKEN_BYTES, np.frombuffer(b"".join(v.tokens), np.uint8))
    if v is not None and len(v.merges):
        yield _table(MERGES, merge_table(v))
    if model.metadata:
        yield _table(METADATA, np.frombuffer(metadata_bytes(model.metadata), np.uint8))


def _table(kind: int, values: Array) -> Section:
    return _section((kind, NO_BLOCK, 0), TABLE_DTYPES[kind], Layout.ROWS, values)


def _place(sections: list[Section]) -> Iterator[Section]:
    place = head.HEADER_BYTES + head.ENTRY_BYTES * len(sections)
    for s in sections:
        yield Section(replace(s.entry, offset=place), s.content)
        place = up(place + len(s.content), ALIGNMENT)


def metadata_bytes(metadata: Metadata) -> bytes:
    """JSON of at most 64 KiB. Raises CompileError."""
    if any(isinstance(v, float) and not math.isfinite(v) for v in metadata.values()):
        raise refuse("a number that is not finite", "metadata")
    found = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":")).encode()
    if len(found) > table.METADATA_LIMIT:
        raise refuse(f"{len(found)} bytes as JSON, more than {table.METADATA_LIMIT}", "metadata")
    return found
