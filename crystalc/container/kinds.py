"""What a section can be: numbers of tensors and tables, element types, weight modes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import IntEnum
from typing import Literal, get_args

from crystalc.language import LanguageConfig, optional_parameters, parameters

Mode = Literal["f32", "int16", "int8", "mixed", "mixed8", "q8", "q8q4"]
MODES: tuple[Mode, ...] = get_args(Mode)

NO_BLOCK = 0xFFFFFFFF
GROUP = 32  # columns that share a scale and a minimum in q4


class Dtype(IntEnum):
    """Element types of sections."""

    F32 = 0
    S16 = 1
    S8 = 2
    S8R = 3
    Q4 = 4
    U32 = 5
    U8 = 6
    BITS = 7
    F16 = 8
    S16R = 9


class Part(IntEnum):
    """A tensor is its values and what its type needs beside them."""

    VALUES = 0
    SCALES = 1
    MINIMA = 2
    FINE = 3
    FINE_SCALES = 4
    FINE_MINIMA = 5
    FINE_ROWS = 6


class Layout(IntEnum):
    """Order of elements in a section."""

    ROWS = 0
    PANELS = 1
    TRANSPOSED = 2


TENSORS = {
    1: "tokens.weight",
    2: "positions.weight",
    3: "norm.weight",
    4: "norm.bias",
    5: "head.weight",
    6: "head.bias",
}
OF_BLOCK = {
    16: "norm1.weight",
    17: "norm1.bias",
    18: "attention.query.weight",
    19: "attention.key.weight",
    20: "attention.value.weight",
    21: "attention.output.weight",
    22: "attention.query.bias",
    23: "attention.key.bias",
    24: "attention.value.bias",
    25: "attention.output.bias",
    32: "norm2.weight",
    33: "norm2.bias",
    34: "field.positions",
    35: "field.values",
    36: "field.temperature",
    37: "field.radius",
    38: "field.bias",
    39: "field.frozen",
    48: "norm3.weight",
    49: "norm3.bias",
    50: "ffn.up.weight",
    51: "ffn.up.bias",
    52: "ffn.down.weight",
    53: "ffn.down.bias",
}
EMBEDDINGS = (1, 2)
HEAD, POSITIONS, VALUES, TEMPERATURE, FROZEN = 5, 34, 35, 36, 39
TOKEN_OFFSETS, TOKEN_BYTES, MERGES, METADATA = 64, 65, 66, 67
TABLES = {
    TOKEN_OFFSETS: "token_offsets",
    TOKEN_BYTES: "token_bytes",
    MERGES: "merges",
    METADATA: "metadata",
}
TABLE_DTYPES = {
    TOKEN_OFFSETS: Dtype.U32,
    TOKEN_BYTES: Dtype.U8,
    MERGES: Dtype.U32,
    METADATA: Dtype.U8,
}
MATRICES = frozenset((1, 2, HEAD, 18, 19, 20, 21, POSITIONS, VALUES, 50, 52))
BY_ROW = (Dtype.S8R, Dtype.S16R)
FINE_PARTS = {
    Part.FINE: Dtype.Q4,
    Part.FINE_SCALES: Dtype.F16,
    Part.FINE_MINIMA: Dtype.F16,
    Part.FINE_ROWS: Dtype.U32,
}
PANELLED = MATRICES - {*EMBEDDINGS, VALUES}

_NUMBERS = {name: number for names in (TENSORS, OF_BLOCK) for number, name in names.items()}

Place = tuple[int, int]
"""Kind and block of a section."""


def key_of(kind: int, block: int) -> str:
    """Name of a section: the tensor's key, or the table's name."""
    if kind in OF_BLOCK:
        return f"blocks.{block}.{OF_BLOCK[kind]}"
    return {**TENSORS, **TABLES}.get(kind, f"section kind {kind}")


def place_of(key: str) -> Place:
    """Kind and block of a tensor by its key."""
    if not key.startswith("blocks."):
        return _NUMBERS[key], NO_BLOCK
    _, block, name = key.split(".", 2)
    return _NUMBERS[name], int(block)


def is_known(kind: int) -> bool:
    """Whether this version has such a section."""
    return kind in TENSORS or kind in OF_BLOCK or kind in TABLES


def tensors_of(config: LanguageConfig) -> dict[Place, tuple[tuple[int, ...], bool]]:
    """Shape of every tensor that a model can have, and whether it must."""
    required = {place_of(k): (shape, True) for k, shape in parameters(config).items()}
    optional = {place_of(k): (shape, False) for k, shape in optional_parameters(config).items()}
    return {**required, **optional}


def with_neurons(config: LanguageConfig, neurons: tuple[int, ...]) -> LanguageConfig:
    """``config`` for other fields."""
    return replace(config, neurons=neurons)


def dtype_of(kind: int, mode: Mode) -> Dtype:
    """Type that the values of a tensor or table have in a weight mode (of version 2, if it is)."""
    if kind in TABLE_DTYPES:
        return TABLE_DTYPES[kind]
    if kind == FROZEN:
        return Dtype.BITS
    if kind not in MATRICES or mode == "f32":
        return Dtype.F32
    if mode in ("q8", "q8q4"):
        return Dtype.Q4 if kind == HEAD and mode == "q8q4" else Dtype.S8R
    if mode in ("mixed", "mixed8") and kind in EMBEDDINGS:
        return Dtype.F32
    return Dtype.S16 if mode in ("int16", "mixed") else Dtype.S8


def dtypes_of(kind: int, mode: Mode) -> tuple[Dtype, ...]:
    """Types that version 3 takes, what it usually has first."""
    usual = dtype_of(kind, mode)
    others = {Dtype.S16: (Dtype.S16R, Dtype.S16), Dtype.S8R: (Dtype.S8R, Dtype.S16R)}
    return others.get(usual, (usual,))


def parts_of(dtype: Dtype) -> dict[Part, Dtype]:
    """Parts that every tensor of this type has, and their types."""
    if dtype in BY_ROW:
        return {Part.VALUES: dtype, Part.SCALES: Dtype.F32}
    if dtype == Dtype.Q4:
        return {Part.VALUES: dtype, Part.SCALES: Dtype.F16, Part.MINIMA: Dtype.F16}
    return {Part.VALUES: dtype}


def fine_parts_of(kind: int, dtype: Dtype) -> dict[Part, Dtype]:
    """Parts that it may have beside them, all or none: four bits more of some rows."""
    return FINE_PARTS if dtype in BY_ROW and kind != VALUES else {}


def layouts_of(kind: int) -> tuple[Layout, ...]:
    """Layouts that a section may have, the preferred one first."""
    if kind in PANELLED:
        return Layout.PANELS, Layout.ROWS
    return (Layout.TRANSPOSED, Layout.ROWS) if kind == VALUES else (Layout.ROWS,)


def tables_of(tokens: int, merges: int) -> Iterator[tuple[Place, bool]]:
    """Tables that a file with these counts can have, and whether it must."""
    if tokens:
        yield (TOKEN_OFFSETS, NO_BLOCK), True
        yield (TOKEN_BYTES, NO_BLOCK), True
    if merges:
        yield (MERGES, NO_BLOCK), True
    yield (METADATA, NO_BLOCK), False
