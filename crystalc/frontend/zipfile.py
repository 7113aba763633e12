"""A strict reader of zip directories: only what ``torch.save`` writes, nothing that can unfold.

Every record is stored (not compressed), lies wholly in the file and overlaps no other, so that
no archive can be larger than the file that holds it. The two places that give the directory's
position must agree, and names must be distinct without regard to case, since the readers behind
``torch.load`` take them so.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from crystalc.diagnostics import CompileError, refuse
from crystalc.frontend import limits
from crystalc.frontend.source import read_at, size_of

END = struct.Struct("<4s4H2LH")  # signature, 2 disks, 2 counts, size, offset, comment bytes
END64_LOCATOR = struct.Struct("<4sLQL")  # signature, disk, offset, disks
END64 = struct.Struct("<4sQ2H2L4Q")  # ..., 2 counts, size, offset
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
MEMBER = re.compile(r"[^/]*/[A-Za-z0-9_./-]{1,200}")  # the root is the name of the saved file
ENCRYPTED = 0x1
BLOCK = 1 << 20


@dataclass(frozen=True)
class Record:
    """One stored file: its bytes are ``[start, start + size)`` of the archive."""

    name: str
    start: int
    size: int
    begin: int  # of its header
    crc: int  # as the directory says


def read_directory(file: BinaryIO) -> dict[str, Record]:
    """Records by name without the archive's root folder. Raises CompileError."""
    size = size_of(file)
    count, length, offset = _end_of_directory(file, size)
    if count > limits.ENTRIES:
        raise refuse(f"zip directory has {count} entries, more than {limits.ENTRIES}")
    if offset + length > size:
        raise _damaged("its directory lies outside the file")
    records = _entries(file, read_at(file, offset, length), count, offset)
    for one, other in pairwise(sorted(records, key=lambda record: record.begin)):
        if one.start + one.size > other.begin:
            raise _damaged(f"records '{one.name}' and '{other.name}' overlap")
    return _by_name(records)


def check_sums(file: BinaryIO, records: Iterable[Record]) -> None:
    """Refuse the first record whose bytes are not those that its CRC-32 was taken of.

    ``torch.serialization.set_crc32_options(False)`` writes 0 for every record: nothing to check.
    """
    found = list(records)
    for record in found if any(record.crc for record in found) else ():
        if _crc(file, record) != record.crc:
            raise _damaged(f"the checksum of record '{record.name}' differs")


def _crc(file: BinaryIO, record: Record) -> int:
    total, end = 0, record.start + record.size
    for at in range(record.start, end, BLOCK):
        total = zlib.crc32(read_at(file, at, min(BLOCK, end - at)), total)
    return total


def _damaged(reason: str) -> CompileError:
    return refuse(f"damaged zip file: {reason}")


def _end_of_directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Count, length and offset of the directory, from the end record (and its 64-bit twin)."""
    tail = read_at(file, max(0, size - END.size), END.size)
    if len(tail) < END.size or tail[:4] != b"PK\x05\x06":
        raise _damaged("no directory at its end (truncated?)")
    _, disk, start_disk, here, count, length, offset, comment = END.unpack(tail)
    if disk or start_disk or here != count or comment:
        raise _damaged("its end record is not what torch.save writes")
    _check_end64(file, size, (count, length, offset))
    return count, length, offset


def _check_end64(file: BinaryIO, size: int, expected: tuple[int, int, int]) -> None:
    at = size - END.size - END64_LOCATOR.size
    locator = read_at(file, at, END64_LOCATOR.size) if at >= 0 else b""
    if not locator.startswith(b"PK\x06\x07"):
        return
    record = read_at(file, min(END64_LOCATOR.unpack(locator)[2], size), END64.size)
    if len(record) < END64.size or END64.unpack(record)[7:] != expected:
        raise _damaged("its 32-bit and 64-bit end records disagree")


def _entries(file: BinaryIO, directory: bytes, count: int, end: int) -> list[Record]:
    records, position = [], 0
    for _ in range(count):
        if position + ENTRY.size > len(directory):
            raise _damaged("its directory is cut short")
        fields = ENTRY.unpack_from(directory, position)
        name = directory[position + ENTRY.size :][: fields[10]]
        records.append(_record(file, fields, name, end))
        position += ENTRY.size + fields[10] + fields[11] + fields[12]
    if position != len(directory):
        raise _damaged("its directory is longer than its entries")
    return records


def _record(file: BinaryIO, fields: tuple[int, ...], raw_name: bytes, end: int) -> Record:
    """Check one directory entry against the local header that it points to."""
    _, _, _, flags, method, _, _, _, packed, size = fields[:10]  # fields[7]: CRC-32
    begin = fields[16]
    name = raw_name.decode("utf-8", "backslashreplace")
    if not MEMBER.fullmatch(name) or ".." in name.partition("/")[2]:
        raise _damaged(f"'{name}' is not a name that torch.save gives")
    if method or packed != size or flags & ENCRYPTED:
        raise refuse(f"zip record '{name}' is compressed or encrypted; torch.save stores plainly")
    header = read_at(file, begin, LOCAL.size)
    if len(header) < LOCAL.size or header[:4] != b"PK\x03\x04":
        raise _damaged(f"record '{name}' has no header")
    local = LOCAL.unpack(header)
    start = begin + LOCAL.size + local[9] + local[10]
    if start + size > end:
        raise _damaged(f"record '{name}' lies outside the file")
    return Record(name, start, size, begin, fields[7])


def _by_name(records: list[Record]) -> dict[str, Record]:
    roots = {record.name.partition("/")[0] for record in records}
    if len(roots) != 1:
        raise _damaged("its records are not in one folder")
    if len({record.name.lower() for record in records}) != len(records):
        raise _damaged("two records have the same name")
    return {record.name.partition("/")[2]: record for record in records}
