"""CRC-32C (Castagnoli) of long byte strings in NumPy: many lanes at once, joined at the end.

The register after a message is linear in the message over GF(2). So the lanes of a message start
from 0 each, and two neighbours join as ``advance(left, bytes of right) ^ right``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

POLYNOMIAL = 0x82F63B78
ALL = 0xFFFFFFFF
LANES = 2048  # a power of two
SCALAR = 512  # below this many bytes a plain loop is faster
CHUNK = 8 << 20


@cache
def _byte_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [(v >> 1) ^ (POLYNOMIAL if v & 1 else 0) for v in table]
    return table


@cache
def _word_tables() -> Words:
    """[4, 256]: the register after byte k of a word and the 3 - k zero bytes behind it."""
    tables = [np.array(_byte_table(), np.uint32)]
    for _ in range(3):
        last = tables[-1]
        tables.append((last >> np.uint32(8)) ^ tables[0][last & np.uint32(255)])
    return np.stack(tables[::-1])


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Checksum of ``data``, 0 .. 2^32 - 1."""
    view, register = memoryview(data).cast("B"), ALL
    for start in range(0, len(view), CHUNK):
        register = _update(register, view[start : start + CHUNK])
    return register ^ ALL


def _update(register: int, data: memoryview) -> int:
    if len(data) < SCALAR:
        return _update_scalar(register, data)
    lane = -(-len(data) // (4 * LANES)) * 4  # bytes of a lane, whole words
    lead = lane * LANES - len(data)  # leading zeros leave a register of 0 alone
    words = np.zeros(lane * LANES, np.uint8)
    words[lead:] = np.frombuffer(data, np.uint8)
    words[lead : lead + 4] ^= np.frombuffer(register.to_bytes(4, "little"), np.uint8)
    return _join(_lanes(words.view("<u4").reshape(LANES, -1)), lane)


def _update_scalar(register: int, data: memoryview) -> int:
    table = _byte_table()
    for byte in data:
        register = table[(register ^ byte) & 255] ^ (register >> 8)
    return register


def _lanes(words: Words) -> Words:
    """Register of each row of ``words`` [lanes, n], started from 0."""
    register = np.zeros(len(words), np.uint32)
    for column in np.ascontiguousarray(words.T):
        register = _lookup(_word_tables(), register ^ column)
    return register


def _lookup(tables: Words, register: Words) -> Words:
    """The linear map held in ``tables`` [4, 256], by the four bytes of ``register``."""
    octets = register.view(np.uint8).reshape(-1, 4)
    joined: Words = tables[0][octets[:, 0]] ^ tables[1][octets[:, 1]]
    joined ^= tables[2][octets[:, 2]] ^ tables[3][octets[:, 3]]
    return joined


def _join(registers: Words, lane: int) -> int:
    """Register of all lanes one after the other, each of ``lane`` bytes."""
    tables = _advance(lane)
    while len(registers) > 1:
        registers = _lookup(tables, np.ascontiguousarray(registers[::2])) ^ registers[1::2]
        tables = _lookup(tables, tables.reshape(-1)).reshape(4, 256)
    return int(registers[0])


@cache
def _advance(count: int) -> Words:
    """Tables of the map "``count`` zero bytes later" (a multiple of 4), by repeated squaring."""
    result = _identity()
    square, left = _word_tables(), count // 4
    while left:
        if left & 1:
            result = _lookup(square, result.reshape(-1)).reshape(4, 256)
        square = _lookup(square, square.reshape(-1)).reshape(4, 256)
        left >>= 1
    return result


def _identity() -> Words:
    values = np.arange(256, dtype=np.uint32)
    return np.stack([values << np.uint32(8 * k) for k in range(4)])
