"""Seeded damage: valid files with bits flipped, bytes inserted, parts cut, swapped or repeated."""

from __future__ import annotations

import random
import struct


def damaged(data: bytes, seed: int) -> bytes:
    """One to four wounds, more often where the structure is than where the numbers are."""
    rng = random.Random(seed)
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice(WOUNDS)(result, rng)
    return bytes(result)


def _place(data: bytearray, rng: random.Random) -> int:
    """A position: anywhere, or near one of the first and last 600 bytes."""
    size = max(1, len(data))
    return rng.choice((rng.randrange(size), rng.randrange(min(size, 600)), max(0, size - 600)))


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[min(_place(data, rng) + rng.randrange(64), len(data) - 1)] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.randint(1, 40)]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.randint(1, 40))


def _number(data: bytearray, rng: random.Random) -> None:
    """A size where no size should be: 0, all ones, or the sign bit alone."""
    at = _place(data, rng)
    data[at : at + 8] = struct.pack("<Q", rng.choice((0, 1, 2**31, 2**63, 2**64 - 1)))


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, count = _place(data, rng), rng.randint(1, 200)
    data[at:at] = data[at : at + count]


def _digit(data: bytearray, rng: random.Random) -> None:
    """Another digit or letter for one in the text parts: shapes, offsets, keys."""
    at = _place(data, rng)
    for position in range(at, min(at + 400, len(data))):
        if chr(data[position]).isalnum():
            data[position] = ord(rng.choice("0123456789aZ-"))
            return


WOUNDS = (_flip, _flip, _cut, _remove, _insert, _number, _repeat, _digit, _digit)
