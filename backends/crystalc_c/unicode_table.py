"""Letters and numbers of Unicode for the C tokeniser: ``python -m crystalc_c.unicode_table``.

A list of run lengths, outside and inside in turn, from code 0 on: one byte below 128, else two
(seven bits with the top bit set, then eight). Runs too long for that are split by an empty one.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from itertools import groupby

LONGEST = (1 << 15) - 1
PER_LINE = 20


def runs(category: str) -> Iterator[int]:
    """Lengths of the runs of codes outside and inside of ``category`` ("L" or "N") in turn."""
    inside = (unicodedata.category(chr(c))[0] == category for c in range(sys.maxunicode + 1))
    lengths = [(found, len(list(group))) for found, group in groupby(inside)]
    if not lengths[-1][0]:
        lengths.pop()
    for _, length in lengths:
        while length > LONGEST:
            yield from (LONGEST, 0)
            length -= LONGEST
        yield length


def encode(lengths: Iterator[int]) -> Iterator[int]:
    """Bytes of the run lengths."""
    for length in lengths:
        if length < 128:
            yield length
        else:
            yield from (128 | length >> 8, length & 255)


def table(name: str, category: str) -> str:
    """A C array."""
    values = [str(b) for b in encode(runs(category))]
    lines = [", ".join(values[i : i + PER_LINE]) for i in range(0, len(values), PER_LINE)]
    return f"static const uint8_t {name}[] = {{\n    " + ",\n    ".join(lines) + ",\n};\n"


def header() -> str:
    """The text of unicode.h."""
    return (
        f"/* Letters and numbers of Unicode {unicodedata.unidata_version}, made by "
        "crystalc_c.unicode_table: lengths of runs\n"
        "   outside and inside in turn, one byte below 128, else two with the top bit set. */\n\n"
        "#include <stdint.h>\n\n" + table("letter_ranges", "L") + "\n" + table("number_ranges", "N")
    )


if __name__ == "__main__":
    print(header(), end="")
