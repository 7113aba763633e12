"""What is in the sections: checksums, numbers, tokens (steps 7 and 8 of ``docs/format.md``).

Arrays are views of the file and are looked at in pieces, so memory stays bounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container.codes import Code, ContainerError, require
from crystalc.container.crc32c import crc32c
from crystalc.container.header import KERNELS, SPLITS, Header
from crystalc.container.kinds import (
    MERGES,
    TEMPERATURE,
    TOKEN_BYTES,
    TOKEN_OFFSETS,
    Dtype,
    Part,
)
from crystalc.container.layout import ALIGNMENT, NUMPY, up
from crystalc.container.table import MAGNITUDE, Entry

PIECE = 1 << 18  # elements looked at together
TOKEN_LENGTH = {"gpt2": 1024, "chars": 4}
RADIAL_LEAST = 2.0**-40
GAUSS_RANGE = (2.0**-20, 2.0**20)


def section(data: memoryview, e: Entry) -> memoryview:
    """Bytes of a section."""
    return data[e.offset : e.offset + e.size]


def check_content(data: memoryview, header: Header, entries: list[Entry]) -> None:
    """Steps 7 and 8. Raises ContainerError."""
    for e in entries:
        text = "the section is damaged: its checksum differs"
        require(crc32c(section(data, e)) == e.crc, Code.SECTION_CRC, text, e.key)
        end = e.offset + e.size
        text = "bytes after the section are not 0"
        require(not any(data[end : up(end, ALIGNMENT)]), Code.PADDING, text, e.key)
    by_kind = {e.kind: e for e in entries if e.known}
    values = {e.place: e for e in entries if e.known and e.part == Part.VALUES}
    for e in entries:
        if e.known and e.dtype in (Dtype.F32, Dtype.F16):
            check_numbers(_view(data, e), e.key)
        if e.known and e.part == Part.FINE_ROWS:
            check_rows(_view(data, e)[: e.dims[0]], values[e.place].dims[0], e.key)
        if e.kind == TEMPERATURE:
            check_temperature(_view(data, e), KERNELS[header.kernel], e.key)
        if e.kind == TOKEN_OFFSETS:
            offsets, size = _view(data, e), by_kind[TOKEN_BYTES].size
            check_offsets(offsets, size, TOKEN_LENGTH[SPLITS[header.split]])
        if e.kind == MERGES:
            tables = (by_kind[k] for k in (TOKEN_OFFSETS, TOKEN_BYTES))
            check_merges(_view(data, e), *(_view(data, table) for table in tables))


def _view(data: memoryview, e: Entry) -> NDArray[Any]:
    return np.frombuffer(section(data, e), NUMPY[Dtype(e.dtype)])


def check_numbers(values: NDArray[Any], key: str) -> None:
    """Every number is finite and at most 2^40 in magnitude."""
    for start in range(0, values.size, PIECE):
        piece = values[start : start + PIECE].astype(np.float32)
        wrong = ~(np.abs(piece) <= MAGNITUDE)
        if wrong.any():
            at = int(wrong.argmax())
            text = f"element {start + at} is {piece[at]}, not finite or beyond 2^40"
            raise ContainerError(Code.NUMBER, text, key)


def check_rows(rows: NDArray[Any], count: int, key: str) -> None:
    """Rows of a matrix of ``count``, each once and in order."""
    fine = rows[-1] < count and bool((rows[1:] > rows[:-1]).all())
    require(fine, Code.ROWS, f"not ascending rows of {count}", key)


def check_temperature(values: NDArray[Any], kernel: str, key: str) -> None:
    """The kernels divide by T (radial) or by its square (gauss)."""
    if kernel == "laplace":
        return
    low, high = (RADIAL_LEAST, MAGNITUDE) if kernel == "radial" else GAUSS_RANGE
    size = np.abs(values)
    wrong = (size < low) | (size > high)
    at = int(wrong.argmax())
    text = f"element {at} is {values[at]}: kernel '{kernel}' divides by it"
    require(not wrong.any(), Code.TEMPERATURE, text, key)


def check_offsets(offsets: NDArray[Any], size: int, longest: int) -> None:
    """Tokens follow each other, none empty or too long, and fill the bytes."""
    key = "token_offsets"
    require(offsets[0] == 0, Code.TOKENS, f"the first token starts at {offsets[0]}", key)
    for start in range(0, offsets.size - 1, PIECE):
        lengths = np.diff(offsets[start : start + PIECE + 1].astype(np.int64))
        wrong = (lengths < 1) | (lengths > longest)
        at = int(wrong.argmax())
        text = f"token {start + at} has {lengths[at]} bytes, not 1 to {longest}"
        require(not wrong.any(), Code.TOKENS, text, key)
    text = f"the last token ends at {offsets[-1]} of {size} bytes"
    require(offsets[-1] == size, Code.TOKENS, text, key)


def check_merges(flat: NDArray[Any], offsets: NDArray[Any], joined: NDArray[Any]) -> None:
    """Every merge joins two tokens into the one that has their bytes."""
    merges, tokens = flat.reshape(-1, 3), offsets.size - 1
    wrong = (merges >= tokens).any(axis=1)
    at = int(wrong.argmax())
    text = f"merge {at} names a token beyond {tokens}"
    require(not wrong.any(), Code.MERGES, text, "merges")
    starts, octets = offsets.tolist(), joined.tobytes()
    for rank, (left, right, result) in enumerate(merges.tolist()):
        halves = (octets[starts[t] : starts[t + 1]] for t in (left, right))
        made = octets[starts[result] : starts[result + 1]]
        text = f"merge {rank} does not make token {result}"
        require(b"".join(halves) == made, Code.MERGES, text, "merges")
