"""The table of sections: entries, and the checks that need no content (steps 4 to 6)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crystalc.container.codes import Code, ContainerError, require
from crystalc.container.header import ENTRY_BYTES, HEADER_BYTES, NEURONS, Header
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
    dtypes_of,
    fine_parts_of,
    is_known,
    key_of,
    layouts_of,
    parts_of,
    tables_of,
    tensors_of,
)
from crystalc.container.layout import ALIGNMENT, groups, size_of, up
from crystalc.language import LanguageConfig

ENTRY = struct.Struct("<HHIBBBB4IIQQII8s")
assert ENTRY.size == ENTRY_BYTES
CRITICAL = 1
TOKEN_BYTES_LIMIT = 1 << 30
METADATA_LIMIT = 1 << 16
MAGNITUDE = 2.0**40

Slot = tuple[int, int, int]
"""Kind, block and part."""


@dataclass(frozen=True)
class Entry:
    """One section as the table has it; ``dims`` without the unused ones."""

    kind: int
    part: int
    block: int
    dtype: int
    layout: int
    rank: int
    flags: int
    dims: tuple[int, int, int, int]
    crc: int
    offset: int
    size: int
    scale_bits: int = 0
    zero_bits: int = 0
    reserved: bytes = bytes(8)

    @property
    def key(self) -> str:
        """Name of the tensor or table, with the part where that is not its values."""
        name = key_of(self.kind, self.block)
        named = 0 < self.part < len(Part)
        return name + (f".{Part(self.part).name.lower()}" if named else "")

    @property
    def place(self) -> Place:
        """Kind and block."""
        return self.kind, self.block

    @property
    def slot(self) -> Slot:
        """Kind, block and part."""
        return self.kind, self.block, self.part

    @property
    def shape(self) -> tuple[int, ...]:
        """The dims that count."""
        return self.dims[: self.rank]

    @property
    def scale(self) -> float:
        """Scale of a tensor of s16 or s8."""
        return from_bits(self.scale_bits)

    @property
    def zero(self) -> float:
        """Offset of a tensor of s16 or s8."""
        return from_bits(self.zero_bits)

    @property
    def known(self) -> bool:
        """Whether this version has such a section."""
        return is_known(self.kind)


def from_bits(bits: int) -> float:
    """The f32 with these bits."""
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def to_bits(value: float) -> int:
    """The bits of an f32."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def pack(e: Entry) -> bytes:
    """The 64 bytes of an entry."""
    head = (e.kind, e.part, e.block, e.dtype, e.layout, e.rank, e.flags)
    tail = (e.crc, e.offset, e.size, e.scale_bits, e.zero_bits, e.reserved)
    return ENTRY.pack(*head, *e.dims, *tail)


def _unpack(data: memoryview) -> Entry:
    kind, part, block, dtype, layout, rank, flags, *rest = ENTRY.unpack(data)
    return Entry(kind, part, block, dtype, layout, rank, flags, tuple(rest[:4]), *rest[4:])


def parse(data: memoryview, header: Header, sections: int) -> list[Entry]:
    """Every entry of the table, checked. Raises ContainerError."""
    at = range(HEADER_BYTES, HEADER_BYTES + ENTRY_BYTES * sections, ENTRY_BYTES)
    entries = [_unpack(data[start : start + ENTRY_BYTES]) for start in at]
    _check_entries(entries, header, len(data))
    config = header.config(_neurons(entries, header.blocks))
    seen = {e.slot: e for e in entries if e.known}
    shapes = dict(_shapes(config, header))
    for e in entries:
        if e.known:
            _check_shape(e, shapes[e.place], seen)
    return entries


def _check_entries(entries: list[Entry], header: Header, file_bytes: int) -> None:
    """Steps 4 and 5: places, and which sections there are."""
    wanted = dict(_wanted(header))
    left = dict(wanted)
    place = HEADER_BYTES + ENTRY_BYTES * len(entries)
    for e in entries:
        _check_place(e, place, file_bytes)
        place = up(e.offset + e.size, ALIGNMENT)
        if not e.known:
            text = f"an unknown critical section, kind {e.kind}"
            require(not e.flags & CRITICAL, Code.UNKNOWN, text)
            continue
        _check_known(e, wanted, header)
        require(e.slot in left, Code.TWICE, "the section is there twice", e.key)
        del left[e.slot]
        _check_scale(e)
    text = f"the sections end at byte {place}, the file at {file_bytes}"
    require(place == file_bytes, Code.END, text)
    _check_missing({e.slot: e for e in entries if e.known}, left)


def _check_place(e: Entry, place: int, file_bytes: int) -> None:
    clean = e.flags <= CRITICAL and not any(e.reserved)
    require(clean, Code.RESERVED, "reserved bits are not 0", e.key)
    fits = e.offset == place and e.size <= file_bytes - min(e.offset, file_bytes)
    text = f"at byte {e.offset} with {e.size} bytes, but its place is {place}"
    require(fits, Code.PLACE, text, e.key)


def _wanted(header: Header) -> Iterator[tuple[Slot, bool]]:
    """Every part that the file may have, and whether it must."""
    config = header.config((1,) * header.blocks)
    tensors = ((place, must) for place, (_, must) in tensors_of(config).items())
    for places in (tensors, tables_of(header.tokens, header.merges)):
        for (kind, block), must in places:
            for part in _parts(kind, header):
                if not (config.metric == "l1" and kind == POSITIONS and part > Part.MINIMA):
                    yield (kind, block, int(part)), must and part == Part.VALUES


def _parts(kind: int, header: Header) -> dict[Part, tuple[Dtype, ...]]:
    """Every part that a tensor or table can have in the file's weight mode, and its types."""
    types = dtypes_of(kind, header.mode)
    rest = {p: (d,) for t in types for p, d in _all_parts(kind, t).items() if p}
    return {Part.VALUES: types, **rest}


def _all_parts(kind: int, dtype: Dtype) -> dict[Part, Dtype]:
    return {**parts_of(dtype), **fine_parts_of(kind, dtype)}


def _check_known(e: Entry, wanted: Mapping[Slot, bool], header: Header) -> None:
    require(e.slot in wanted, Code.UNEXPECTED, "this model has no such section", e.key)
    types = _parts(e.kind, header)[Part(e.part)]
    text = f"element type {e.dtype}, but weights {header.mode} have {types[0].name.lower()}"
    require(e.dtype in types, Code.DTYPE, text, e.key)
    text = f"the section cannot have layout {e.layout}"
    require(e.layout in layouts_of(e.kind), Code.LAYOUT, text, e.key)


def _check_scale(e: Entry) -> None:
    if e.dtype not in (Dtype.S16, Dtype.S8):
        text = "a scale that its type does not have"
        require(e.scale_bits == e.zero_bits == 0, Code.RESERVED, text, e.key)
        return
    for value in (e.scale, e.zero):
        sane = math.isfinite(value) and abs(value) <= MAGNITUDE
        require(sane, Code.NUMBER, f"{value} is no scale or offset", e.key)


def _check_missing(seen: Mapping[Slot, Entry], left: Mapping[Slot, bool]) -> None:
    """Values that must be there, the parts their type asks for, of the fine ones all or none."""
    missing = [slot for slot, must in left.items() if must]
    for e in (e for e in seen.values() if e.part == Part.VALUES):
        dtype = Dtype(e.dtype)
        fine = fine_parts_of(e.kind, dtype)
        asked = list(parts_of(dtype))
        asked += fine if any((*e.place, int(p)) in seen for p in fine) else ()
        missing += [(*e.place, int(p)) for p in asked if (*e.place, int(p)) not in seen]
    for kind, block, part in missing:
        name = Entry(kind, part, block, 0, 0, 0, 0, (0, 0, 0, 0), 0, 0, 0).key
        raise ContainerError(Code.MISSING, "the section is missing", name)


def _neurons(entries: list[Entry], blocks: int) -> tuple[int, ...]:
    found = {e.block: e.dims[0] for e in entries if e.kind == POSITIONS and e.part == 0}
    for block, count in found.items():
        text = f"{count} neurons, not from 1 to {NEURONS}"
        require(1 <= count <= NEURONS, Code.LIMIT, text, key_of(POSITIONS, block))
    return tuple(found[b] for b in range(blocks))


def _shapes(config: LanguageConfig, header: Header) -> Iterator[tuple[Place, tuple[int, ...]]]:
    """Shape of each tensor and table; -1 where any length will do."""
    for place, (shape, _) in tensors_of(config).items():
        yield place, shape
    yield (TOKEN_OFFSETS, NO_BLOCK), (header.tokens + 1,)
    yield (TOKEN_BYTES, NO_BLOCK), (-1,)
    yield (MERGES, NO_BLOCK), (header.merges, 3)
    yield (METADATA, NO_BLOCK), (-1,)


def _check_shape(e: Entry, shape: tuple[int, ...], seen: Mapping[Slot, Entry]) -> None:
    """Step 6."""
    values = seen[(*e.place, int(Part.VALUES))]
    dtype = Dtype(values.dtype)
    text = f"a part that values of type {dtype.name.lower()} do not have"
    require(e.part in _all_parts(e.kind, dtype), Code.UNEXPECTED, text, e.key)
    text = f"layout {e.layout}, but the values have layout {values.layout}"
    require(e.layout == values.layout, Code.LAYOUT, text, e.key)
    if shape == (-1,):
        limit = TOKEN_BYTES_LIMIT if e.kind == TOKEN_BYTES else METADATA_LIMIT
        text = f"{e.dims[0]} bytes, not from 1 to {limit}"
        require(1 <= e.dims[0] <= limit, Code.LIMIT, text, e.key)
        shape = e.dims[:1]
    if e.part == Part.FINE:
        text = f"{e.dims[0]} rows, not from 1 to {shape[0]}"
        require(1 <= e.dims[0] <= shape[0], Code.LIMIT, text, e.key)
    shape = _part_shape(e, shape, seen)
    text = f"rank {e.rank} and dims {list(e.dims)} are not those of {list(shape)}"
    fits = e.rank == len(shape) and e.dims == shape + (0,) * (4 - len(shape))
    require(fits, Code.SHAPE, text, e.key)
    size = size_of(Dtype(e.dtype), Layout(e.layout), e.shape)
    text = f"{e.size} bytes, but its type and dims make {size}"
    require(e.size == size, Code.BYTES, text, e.key)


def _part_shape(e: Entry, shape: tuple[int, ...], seen: Mapping[Slot, Entry]) -> tuple[int, ...]:
    if e.kind in TABLES or e.part == Part.VALUES:
        return shape
    if e.part >= Part.FINE:
        shape = (seen[(*e.place, int(Part.FINE))].dims[0], *shape[1:])
    if e.part == Part.FINE:
        return shape
    return (shape[0], groups(shape[1])) if e.dtype == Dtype.F16 else shape[:1]
