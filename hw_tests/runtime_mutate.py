"""Broken .crystal files that look whole: mutations of header, table and sections."""

from __future__ import annotations

import struct

import numpy as np

from crystalc.container.crc32c import crc32c

HEADER, ENTRY, CRC = 192, 64, 128
EXTREMES = (0, 1, 2, 3, 31, 63, 64, 127, 255, 256, 65535, 65536, 1 << 20, (1 << 20) + 1, 1 << 30)
WORDS = (*EXTREMES, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 32) - 64)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A few changes, then nearly always the checksums put right."""
    out = bytearray(data)
    for _ in range(1 + int(rng.integers(3))):
        if len(out) < HEADER:
            break
        CHANGES[rng.integers(len(CHANGES))](out, rng)
    if rng.random() < 0.9:
        repair(out, rng.random() < 0.9)
    return bytes(out)


def repair(out: bytearray, sections: bool) -> None:
    """Checksums as they should be, as far as the table can be followed."""
    if len(out) < HEADER:
        return
    count = min(struct.unpack_from("<I", out, 12)[0], (len(out) - HEADER) // ENTRY)
    for at in range(HEADER, HEADER + ENTRY * count, ENTRY) if sections else ():
        offset, size = struct.unpack_from("<QQ", out, at + 32)
        if offset + size <= len(out):
            struct.pack_into("<I", out, at + 28, crc32c(out[offset : offset + size]))
    struct.pack_into("<I", out, CRC, 0)
    struct.pack_into("<I", out, CRC, crc32c(out[: HEADER + ENTRY * count]))


def _header_word(out: bytearray, rng: np.random.Generator) -> None:
    struct.pack_into("<I", out, int(rng.integers(4, 48)) * 4, _word(out, rng))


def _table_word(out: bytearray, rng: np.random.Generator) -> None:
    count = max(1, min(struct.unpack_from("<I", out, 12)[0], (len(out) - HEADER) // ENTRY))
    at = HEADER + int(rng.integers(count)) * ENTRY + int(rng.integers(16)) * 4
    if at + 4 <= len(out):
        struct.pack_into("<I", out, at, _word(out, rng))


def _table_byte(out: bytearray, rng: np.random.Generator) -> None:
    count = max(1, min(struct.unpack_from("<I", out, 12)[0], (len(out) - HEADER) // ENTRY))
    at = HEADER + int(rng.integers(count)) * ENTRY + int(rng.integers(ENTRY))
    if at < len(out):
        out[at] = int(rng.integers(256)) if rng.random() < 0.5 else int(rng.integers(70))


def _any_word(out: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers((len(out) - 4) // 4)) * 4
    struct.pack_into("<I", out, at, _word(out, rng))


def _flip(out: bytearray, rng: np.random.Generator) -> None:
    out[rng.integers(len(out))] ^= 1 << int(rng.integers(8))


def _swap_entries(out: bytearray, rng: np.random.Generator) -> None:
    count = min(struct.unpack_from("<I", out, 12)[0], (len(out) - HEADER) // ENTRY)
    if count < 2:
        return
    a, b = (HEADER + int(i) * ENTRY for i in rng.integers(count, size=2))
    head = slice(0, 12)  # what it is, not where
    first, second = out[a : a + ENTRY][head], out[b : b + ENTRY][head]
    out[a : a + 12], out[b : b + 12] = second, first


def _cut(out: bytearray, rng: np.random.Generator) -> None:
    del out[int(rng.integers(len(out))) :]
    if len(out) >= 24 and rng.random() < 0.7:
        struct.pack_into("<Q", out, 16, len(out))


def _word(out: bytearray, rng: np.random.Generator) -> int:
    if rng.random() < 0.2:
        return int(rng.integers(1 << 32))
    return (WORDS[rng.integers(len(WORDS))] + int(rng.integers(-1, 2))) % (1 << 32)


CHANGES = (
    *(_header_word, _table_word, _table_word, _table_byte, _table_byte, _any_word, _any_word),
    *(_flip, _swap_entries, _cut),
)
