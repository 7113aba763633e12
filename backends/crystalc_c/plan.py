"""A graph laid out for C: constants, buffers of the scratch, members of the state, and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import FloatType, Graph, Node, Op
from crystalc.verify import ROLES
from crystalc_c.constants import LANES, Constant, pad_last
from crystalc_c.numbers import size, storage

Array = NDArray[Any]

TILE = 6
"""Samples that the batch entry of the ``simd`` layout computes together."""

FINDERS = {"matmul_f32": "find_f32.h", "matmul_s8": "find_f32.h", "dot_u8": "find_quads.h"}
"""Kernels for which an input of zero adds nothing, and what finds the others."""

FEW = 48
"""Below this many inputs (or quads of them) counting the zeros costs more than it saves."""


@dataclass(frozen=True)
class Buffer:
    """A member of the scratch: ``stride`` elements per sample."""

    name: str
    ctype: str
    stride: int
    note: str
    shared: bool = False
    """One for all samples of a tile."""


@dataclass(frozen=True)
class Member:
    """A member of the caller-owned state; ``start`` names the constant it is initialised from."""

    name: str
    ctype: str
    shape: tuple[int, ...]
    length: int
    start: str
    note: str


@dataclass(frozen=True)
class Step:
    """One or more nodes as C statements. ``tiled``: a call that takes all samples at once."""

    comment: str
    lines: tuple[str, ...]
    tiled: bool = False


@dataclass
class Plan:
    """Filled by the lowering of each arithmetic; read by the templates."""

    graph: Graph
    simd: bool
    constants: list[Constant] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    skipping: list[str] = field(default_factory=list)
    place: dict[int, str] = field(default_factory=dict)
    ctype: dict[int, str] = field(default_factory=dict)

    @property
    def tile(self) -> int:
        """Samples per tile."""
        return TILE if self.simd else 1

    def padded(self, n: int, ctype: str = "float") -> int:
        """Elements reserved for ``n``; bytes are read four at a time in every layout."""
        lanes = LANES if self.simd else 4 if size(ctype) == 1 else 1
        return -(-n // lanes) * lanes

    def need(self, *parts: str) -> None:
        """Include these runtime sources, once and in the order of first need."""
        self.parts += [p for p in parts if p not in self.parts]

    def kernel_call(
        self,
        kernel: str,
        x: tuple[str, int],
        arrays: tuple[str, ...],
        sizes: tuple[int, int],
        first: bool,
    ) -> str:
        """A call of a matrix kernel, which becomes part of the file.

        ``x``: pointer and row distance; ``sizes``: k and n; ``first``: x is the model's input.
        """
        if kernel not in self.kernels:
            self.kernels.append(kernel)
        if not self.simd:
            return f"{kernel}_run({', '.join([x[0], *arrays, *map(str, sizes)])});"
        arguments = [x[0], str(x[1]), *arrays, *map(str, sizes), "samples"]
        if not (first and kernel in FINDERS and sizes[0] >= FEW and sizes[1] % (4 * LANES) == 0):
            return f"{kernel}_run({', '.join(arguments)});"
        self.need(FINDERS[kernel])
        self.skipping.append(kernel)
        if all(b.name != "nonzero" for b in self.buffers):
            room = Buffer("nonzero", "int32_t", sizes[0] + LANES, "inputs that are not zero", True)
            self.buffers.append(room)
        return f"{kernel}_input({', '.join(arguments)}, s->nonzero);"

    def size(self, i: int) -> int:
        """Length of the vector that node ``i`` computes."""
        return int(self.graph[i].type.shape[0])

    def note(self, i: int) -> str:
        """Shape and role of a constant; never a name from the model."""
        node = self.graph[i]
        role = str(node.attrs.get("role", "other"))
        shape = ", ".join(map(str, node.type.shape))
        return f"{role if role in ROLES else 'other'} [{shape}]"

    def constant(self, i: int, data: Array, ctype: str, suffix: str = "") -> str:
        """Register ``data`` under a name made from node ``i``; returns the name."""
        name = f"n{i:04d}{suffix}"
        if all(c.name != name for c in self.constants):
            self.constants.append(Constant(name, ctype, data, self.note(i)))
        return name

    def buffer(self, i: int, ctype: str, note: str = "") -> str:
        """Reserve the value of node ``i``; returns its expression for the first sample."""
        name = f"n{i:04d}"
        n = self.size(i)
        self.buffers.append(Buffer(name, ctype, self.padded(n, ctype), note or f"[{n}]"))
        self.place[i], self.ctype[i] = f"s->{name}", ctype
        return self.place[i]

    def stride(self, i: int) -> int:
        """Elements between two samples of value ``i``; 0 for a constant."""
        node = self.graph[i]
        if node.op is Op.CONST:
            return 0
        if node.op is Op.INPUT and self.place[i] == "in":
            return self.size(i)
        return self.padded(self.size(i), self.ctype[i])

    def at(self, i: int) -> str:
        """Pointer to value ``i`` of sample ``t``."""
        stride = self.stride(i)
        if not self.simd or not stride:
            return self.place[i]
        return f"{self.place[i]} + {stride} * t"

    def element(self, i: int, index: str = "i") -> str:
        """One element of value ``i`` of sample ``t``; length-1 values ignore ``index``."""
        if self.size(i) == 1:
            index = "0"
        stride = self.stride(i)
        if not self.simd or not stride:
            return f"{self.place[i]}[{index}]"
        offset = f"{stride} * t" if index == "0" else f"{stride} * t + {index}"
        return f"{self.place[i]}[{offset}]"

    def add_step(self, comment: str, lines: Sequence[str], tiled: bool = False) -> None:
        """Append a step."""
        self.steps.append(Step(comment, tuple(lines), tiled))

    def bind_structure(self) -> None:
        """Give the input and every vector constant and state member their place."""
        for i, node in self.graph:
            if node.op is Op.INPUT:
                self.place[i], self.ctype[i] = "in", storage(node.type.elem)
            elif node.is_state:
                self._member(i, node)

    def _member(self, i: int, node: Node) -> None:
        ctype, name = storage(node.type.elem), self._member_name(self.note(i).split()[0])
        data = node.data()
        if data.ndim == 1 and isinstance(node.type.elem, FloatType):
            data = pad_last(data, self.padded(1))
        start = self.constant(i, data, ctype, "_start")
        self.members.append(
            Member(name, ctype, node.type.shape, int(data.size), start, self._member_note(i))
        )
        self.place[i], self.ctype[i] = f"state->{name}", ctype

    def _member_name(self, role: str) -> str:
        """The role, numbered from its second appearance on."""
        count = sum(m.note.startswith(role) for m in self.members)
        return f"{role}{count + 1}" if count else role

    def _member_note(self, i: int) -> str:
        """Role, shape and, for integers, the type whose range the owner keeps to."""
        elem = self.graph[i].type.elem
        return self.note(i) + ("" if isinstance(elem, FloatType) else f" {elem}")

    def vector(self, i: int) -> None:
        """Make the frozen constant ``i`` [N] readable by elementwise loops."""
        node = self.graph[i]
        if i not in self.place:
            ctype = storage(node.type.elem)
            name = self.constant(i, pad_last(node.data(), self.padded(1)), ctype)
            self.place[i], self.ctype[i] = name, ctype


def bias_of(graph: Graph, i: int) -> tuple[int, int] | None:
    """(ADD, CONST) when the only reader of ``i`` adds a frozen vector of the same length."""
    users = graph.users(i)
    if len(users) != 1 or graph[users[0]].op is not Op.ADD:
        return None
    a, b = graph[users[0]].inputs
    other = b if a == i else a
    same = graph[other].is_frozen_const and graph[other].type.shape == graph[i].type.shape
    return (users[0], other) if same and a != b else None


def as_columns(node: Node, weight: Node) -> Array:
    """The weights of a MATMUL, or the points of a DISTANCE, as [K, O]."""
    turned = node.op is Op.DISTANCE or bool(node.attrs.get("transposed"))
    return np.ascontiguousarray(weight.data().T if turned else weight.data())
