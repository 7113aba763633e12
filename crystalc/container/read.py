"""The bytes of a version 3 container as a language model, after every check."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from crystalc.container import header as head
from crystalc.container import table
from crystalc.container.content import check_content, section
from crystalc.container.header import SPLITS, Header
from crystalc.container.kinds import (
    MERGES,
    METADATA,
    NO_BLOCK,
    POSITIONS,
    TABLES,
    TOKEN_BYTES,
    TOKEN_OFFSETS,
    Dtype,
    Layout,
    Part,
    Place,
    fine_parts_of,
    key_of,
    parts_of,
)
from crystalc.container.layout import unpack
from crystalc.container.quantize import Stored, dequantize
from crystalc.container.table import Entry
from crystalc.container.tokens import vocabulary_of
from crystalc.language import LanguageModel, Vocabulary

Array = NDArray[Any]


@dataclass(frozen=True)
class Parsed:
    """A file that passed every check: views of its bytes, nothing unpacked yet."""

    data: memoryview
    header: Header
    entries: list[Entry]

    def get(self, kind: int, block: int = NO_BLOCK, part: int = 0) -> Entry | None:
        """The entry of a section, if the file has it."""
        return next((e for e in self.entries if e.slot == (kind, block, part)), None)

    def elements(self, e: Entry) -> Array:
        """Elements of a section in rows."""
        return unpack(section(self.data, e), Dtype(e.dtype), Layout(e.layout), e.shape)


def parse(data: memoryview) -> Parsed:
    """Every check on a version 3 file. Raises ContainerError; memory stays bounded."""
    header, sections = head.parse(data)
    entries = table.parse(data, header, sections)
    check_content(data, header, entries)
    return Parsed(data, header, entries)


def model_of(parsed: Parsed) -> LanguageModel:
    """The language model with the floats that its weights stand for."""
    header = parsed.header
    places = {e.place for e in parsed.entries if e.known and e.kind not in TABLES}
    tensors = {key_of(*place): _tensor(parsed, place) for place in sorted(places, key=_order)}
    neurons = tuple(tensors[key_of(POSITIONS, b)].shape[0] for b in range(header.blocks))
    source = header.source.hex() if any(header.source) else ""
    config = header.config(neurons)
    return LanguageModel(config, tensors, _vocabulary(parsed), _metadata(parsed), source)


def _order(place: Place) -> Place:
    return place[1], place[0]


def _tensor(parsed: Parsed, place: Place) -> Array:
    values = parsed.get(*place)
    assert values is not None
    dtype = Dtype(values.dtype)
    parts_possible = (*parts_of(dtype), *fine_parts_of(values.kind, dtype))
    parts = {p: e for p in parts_possible if (e := parsed.get(*place, p)) is not None}
    elements = {p: parsed.elements(e) for p, e in parts.items()}
    stored = Stored(dtype, elements, values.scale, values.zero)
    found = dequantize(stored)
    return found.copy() if found is elements[Part.VALUES] else found


def _vocabulary(parsed: Parsed) -> Vocabulary | None:
    offsets, octets = parsed.get(TOKEN_OFFSETS), parsed.get(TOKEN_BYTES)
    if offsets is None or octets is None:
        return None
    merges = parsed.get(MERGES)
    return vocabulary_of(
        parsed.elements(offsets),
        bytes(section(parsed.data, octets)),
        None if merges is None else parsed.elements(merges),
        parsed.header.vocabulary,
        SPLITS[parsed.header.split],
    )


def _metadata(parsed: Parsed) -> Mapping[str, str | int | float]:
    """What is no JSON object of strings and finite numbers is left aside."""
    e = parsed.get(METADATA)
    if e is None:
        return {}
    try:
        found = json.loads(bytes(section(parsed.data, e)))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or not all(_is_plain(v) for v in found.values()):
        return {}
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int) and not isinstance(value, bool)
