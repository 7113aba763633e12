"""How many look-up tables of 4 and of 6 inputs the bits of tables need, equal parts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

LUT_INPUTS = (4, 6)

Column = tuple[int, ...]
"""A function: its value (0 or 1) for every index."""

Index = tuple[Hashable, ...]
"""What its variables are, the lowest first."""


class Functions:
    """Collects functions. ``leaves``: those of so few variables that one look-up table does;
    ``choices``: those that choose between leaves by their highest variables.
    """

    def __init__(self) -> None:
        self.leaves: dict[int, set[tuple[Index, Column]]] = {n: set() for n in LUT_INPUTS}
        self.choices: dict[int, set[tuple[Index, Column]]] = {n: set() for n in LUT_INPUTS}

    def add(self, index: Index, column: Column, inputs: Sequence[int] = LUT_INPUTS) -> None:
        """Count a function for look-up tables of so many inputs; a variable itself is a wire."""
        index, column = reduced(index, column)
        if len(index) < 2:
            return
        if column[0]:
            column = tuple(1 - v for v in column)
        for n in inputs:
            if len(index) <= n:
                self.leaves[n].add((index, column))
            elif (index, column) not in self.choices[n]:
                self.choices[n].add((index, column))
                for size, part in self._parts(index, column, n):
                    self.add(index[:size], part, (n,))

    def _parts(self, index: Index, column: Column, n: int) -> list[tuple[int, Column]]:
        """What a look-up table of n inputs chooses between: leaves where it has inputs enough,
        else two halves.
        """
        low = 1 << n
        blocks = {column[k : k + low] for k in range(0, len(column), low)}
        blocks = {tuple(1 - v for v in b) if b[0] else b for b in blocks}
        parts = [b for b in blocks if any(b)]
        if len(parts) + len(index) - n <= n:
            return [(n, part) for part in parts]
        half = len(column) // 2
        return [(len(index) - 1, column[:half]), (len(index) - 1, column[half:])]

    def features(self) -> Counter[str]:
        """How many there are."""
        total: Counter[str] = Counter()
        for n in LUT_INPUTS:
            total[f"table_leaves{n}"] = len(self.leaves[n])
            total[f"table_choices{n}"] = len(self.choices[n])
        return total


def columns(entries: Sequence[int], width: int) -> list[Column]:
    """Each bit of every entry, the last entry repeated up to a power of two."""
    size = 1 << max(1, (len(entries) - 1).bit_length())
    padded = [*entries, *[entries[-1]] * (size - len(entries))]
    return [tuple(v >> k & 1 for v in padded) for k in range(width)]


def reduced(index: Index, column: Column) -> tuple[Index, Column]:
    """The function without the variables that it does not depend on."""
    k = 0
    while k < len(index):
        step = 1 << k
        low = [v for i, v in enumerate(column) if not i & step]
        if low == [v for i, v in enumerate(column) if i & step]:
            index, column = (*index[:k], *index[k + 1 :]), tuple(low)
        else:
            k += 1
    return index, column
