"""Compile-time constants: their order in memory, and their spelling in C."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc_c.numbers import dtype, literal

Array = NDArray[Any]

LANES = 16
"""Arrays of the ``simd`` layout are padded to whole vectors of the widest layer."""

ALIGNMENT = 64
HEX_LIMIT = 64 * 1024
CHUNK = 4000
"""Bytes of one string literal; C99 promises 4095."""

PER_LINE = {"float": 8, "int8_t": 20, "uint8_t": 20, "int16_t": 14, "uint16_t": 14}


@dataclass(frozen=True)
class Constant:
    """``data`` in the order of memory, already padded; ``note`` says shape and role."""

    name: str
    ctype: str
    data: Array
    note: str

    @property
    def length(self) -> int:
        """Count of elements."""
        return int(self.data.size)

    @property
    def raw(self) -> bytes:
        """Little-endian bytes."""
        return bytes(np.ascontiguousarray(self.data, dtype=dtype(self.ctype)).tobytes())

    @property
    def room(self) -> int:
        """Elements including the padding to the next aligned array."""
        unit = np.dtype(dtype(self.ctype)).itemsize
        return -(-len(self.raw) // ALIGNMENT) * ALIGNMENT // unit

    @property
    def lines(self) -> list[str]:
        """The initializer: bit patterns of floats, decimal integers."""
        flat = self.data.reshape(-1)
        if self.ctype == "float":
            words = np.ascontiguousarray(flat, dtype="<f4").view("<u4")
            items = [f"0x{w:08x}" for w in words.tolist()]
        else:
            items = [_bare(literal(v)) for v in flat.astype(np.int64).tolist()]
        step = PER_LINE.get(self.ctype, 10)
        return [", ".join(items[i : i + step]) + "," for i in range(0, len(items), step)]


def panel(matrix: Array, lanes: int) -> Array:
    """Weights [K, O] as rows of k with O padded to ``lanes``: a vector holds adjacent outputs."""
    return pad_last(matrix, lanes)


def quads(matrix: Array, lanes: int) -> Array:
    """Weights [K, O] as [K/4, O, 4]: four k of one output are one 32-bit word."""
    k, o = matrix.shape
    full = np.zeros((-(-k // 4) * 4, o), dtype=matrix.dtype)
    full[:k] = matrix
    full = pad_last(full, lanes)
    return full.reshape(len(full) // 4, 4, -1).transpose(0, 2, 1)


def pad_last(array: Array, lanes: int) -> Array:
    """Zeros after the last axis, up to a multiple of ``lanes``."""
    width = [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % lanes)]
    return np.pad(array, width)


def total_bytes(constants: Iterable[Constant]) -> int:
    """Size of all constants in memory, without padding between them."""
    return sum(len(c.raw) for c in constants)


def image(constants: Iterable[Constant]) -> bytes:
    """weights.bin: the arrays one after another, each padded to ALIGNMENT."""
    return b"".join(c.raw + bytes(-len(c.raw) % ALIGNMENT) for c in constants)


def string_chunks(data: bytes) -> list[list[str]]:
    """``data`` as string literals of at most CHUNK bytes each, a list of lines per chunk."""
    return [_strings(data[i : i + CHUNK]) for i in range(0, len(data), CHUNK)]


def _strings(chunk: bytes, per_line: int = 25) -> list[str]:
    """Octal escapes of three digits never run into the next character."""
    return [
        '"' + "".join(f"\\{b:03o}" for b in chunk[i : i + per_line]) + '"'
        for i in range(0, len(chunk), per_line)
    ]


def _bare(text: str) -> str:
    """A literal without the brackets around its sign; those of a macro call stay."""
    return text[1:-1] if text.startswith("(") else text
