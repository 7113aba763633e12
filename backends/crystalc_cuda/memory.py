"""Constants and active neurons of a kernel, and how its text names them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import Graph
from crystalc.verify import ROLES
from crystalc_c.numbers import dtype
from crystalc_cuda.numbers import bare, number, storage

Array = NDArray[Any]

SHARED = 64 * 1024
"""Bytes of shared memory that a block may use on every architecture from sm_75 on."""

ALIGNMENT = 16
PER_LINE = 12


@dataclass(frozen=True)
class Constant:
    """A member of a struct of constants: ``data`` in the order of memory.

    ``near``: copied into shared memory by every block; else it stays in global memory.
    """

    name: str
    ctype: str
    data: Array
    note: str
    near: bool = True

    @property
    def length(self) -> int:
        """Count of elements."""
        return int(self.data.size)

    @property
    def size(self) -> int:
        """Bytes, with the padding that follows."""
        unit = np.dtype(dtype(self.ctype)).itemsize
        return -(-self.length * unit // ALIGNMENT) * ALIGNMENT

    @property
    def lines(self) -> list[str]:
        """The initializer."""
        flat = self.data.reshape(-1)
        if self.ctype == "uint32_t":
            items = [f"0x{int(v):08x}" for v in flat]
        else:
            items = [bare(number(v, self.ctype)) for v in flat]
        return [", ".join(items[i : i + PER_LINE]) + "," for i in range(0, len(items), PER_LINE)]


@dataclass(frozen=True)
class Member:
    """A member of the state: the rows of the active neurons, with their values at first."""

    name: str
    ctype: str
    shape: tuple[int, ...]
    data: Array
    note: str

    @property
    def extent(self) -> str:
        """``[18][64]``."""
        return "".join(f"[{n}]" for n in self.shape)

    @property
    def ctypes(self) -> str:
        """``c_float * 64 * 18``, for Python."""
        name = "c_" + self.ctype.removesuffix("_t")
        return " * ".join([name, *map(str, reversed(self.shape))])

    @property
    def lines(self) -> list[str]:
        """The initializer, rows in braces."""
        rows = self.data.reshape(self.shape[0], -1)
        text = [", ".join(bare(number(v, self.ctype)) for v in row) for row in rows]
        return [f"{{{row}}}," if len(self.shape) > 1 else f"{row}," for row in text]


@dataclass(frozen=True)
class Step:
    """A part of the kernel's text."""

    comment: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Long:
    """A vector too long for registers: ``count`` numbers per warp in shared memory."""

    name: str
    ctype: str
    count: int
    offset: int
    """Bytes before it."""

    @property
    def size(self) -> int:
        """Bytes per warp."""
        return self.count * (8 if self.ctype == "int64_t" else 4)


@dataclass
class Memory:
    """Everything that outlives a launch."""

    graph: Graph
    words: bool = False
    """Vectors of small integers take 32 bits each, which need no conversion where they are used."""
    constants: dict[str, Constant] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for i, node in self.graph:
            if node.is_state:
                self.members[i] = self._member(i)

    def _member(self, i: int) -> Member:
        node = self.graph[i]
        role = self.note(i).split()[0]
        count = sum(m.note.startswith(role) for m in self.members.values())
        elem = node.type.elem
        note = self.note(i) + (f" {elem}" if self.graph.is_fixed else "")
        name = f"{role}{count + 1}" if count else role
        return Member(name, storage(elem), node.type.shape, node.data(), note)

    def note(self, i: int) -> str:
        """Shape and role of a constant; never a name from the model."""
        node = self.graph[i]
        role = str(node.attrs.get("role", "other"))
        shape = ", ".join(map(str, node.type.shape))
        return f"{role if role in ROLES else 'other'} [{shape}]"

    def element(self, i: int, *index: str) -> str:
        """An element of the constant or active rows of node ``i``, one index per axis."""
        if i in self.members:
            return f"state->{self.members[i].name}" + "".join(f"[{k}]" for k in index)
        node = self.graph[i]
        name = self.add(f"n{i:04d}", self._ctype(i, len(index)), node.data(), self.note(i))
        if len(index) == 1 or node.type.shape[0] == 1:
            return f"{name}[{index[-1]}]"
        return f"{name}[{node.type.shape[1]} * {index[0]} + {index[1]}]"

    def _ctype(self, i: int, axes: int) -> str:
        node = self.graph[i]
        ctype = storage(node.type.elem)
        if not self.words or axes > 1 or ctype in ("float", "int64_t", "uint64_t"):
            return ctype
        return "int32_t" if int(node.data().max(initial=0)) < 1 << 31 else ctype

    def add(self, name: str, ctype: str, data: Array, note: str) -> str:
        """A constant that the kernel reads; returns its expression before ``placed``."""
        self.constants.setdefault(name, Constant(name, ctype, data, note))
        return f"CONSTANT.{name}"

    def place(self, room: int, far: Collection[str]) -> None:
        """The smallest go to shared memory while there is room, less those of ``far``."""
        for name, c in sorted(self.constants.items(), key=lambda item: item[1].size):
            near = name not in far and c.size <= room
            room -= c.size if near else 0
            self.constants[name] = replace(c, near=near)

    def placed(self, line: str) -> str:
        """A line of the kernel with every constant where it lies: ``w.n0005`` is near."""
        return re.sub(r"CONSTANT\.(\w+)", lambda m: self._where(m[1]), line)

    def _where(self, name: str) -> str:
        return f"{'w' if self.constants[name].near else 'far'}.{name}"
