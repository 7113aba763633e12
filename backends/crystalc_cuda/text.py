"""The text of a kernel of tiles: names, elements, loops, and the functions of whole vectors.

Vectors lie as mma.sync leaves them: of every eight columns, lane 4 g + t has columns 2 t and
2 t + 1 of rows g and g + 8, as ``n0005[tile][0..3]``. A value of one element per sample is
``n0002[0..1]``, the same in the four lanes of a row. Names of the text: ``j`` is the tile, ``c``
the number within it, ``column`` the column, which in the last tile stays below the length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crystalc.ir import Graph, Node, Op
from crystalc_c.numbers import largest
from crystalc_cuda.fragments import TILE
from crystalc_cuda.memory import Long, Memory, Step
from crystalc_cuda.numbers import sample, storage, working
from crystalc_cuda.pointwise import fixed_term, sum_type, term
from crystalc_cuda.schedule import WHOLE, Schedule

KEYS = 1 << 30
"""Integers below it may be keys of an ARGMAX, with their column in the low bits."""

COLUMN = ("const int column = 8 * j + 2 * t + (c & 1);",)


@dataclass
class Text:
    """What has been written of the kernel of ``graph``, which has no SOFTMAX."""

    graph: Graph
    memory: Memory
    schedule: Schedule = field(init=False)
    steps: list[Step] = field(default_factory=list)
    longs: list[Long] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Declarations of weights that stay in registers."""
    far: set[str] = field(default_factory=set)
    """Constants that need not be in shared memory."""
    local: set[int] = field(default_factory=set)
    """Values of the chunk that is being written."""

    def _name(self, i: int) -> str:
        return f"n{i:04d}"

    def _type(self, i: int) -> str:
        return working(self.graph[i].type.elem)

    def at(self, i: int, j: str = "j", c: str = "c", column: str = "column") -> str:
        """One element of value ``i``: column ``column``, which is number ``c`` of tile ``j``."""
        node, one = self.graph[i], self.schedule.size(i) == 1
        row = f"{c} >> 1" if c == "c" else {"e": "0", "2 + e": "1"}.get(c, "c")
        if node.op is Op.CONST:
            return self._constant(i, "0" if node.data().size == 1 else column)
        if node.op is Op.INPUT:
            return sample(node, f"rows[{row}][{'0' if one else column}]")
        if one:
            return f"{self._name(i)}[{row}]"
        if i in self.local or not self._is_long(i):
            return f"{self._name(i)}[{j}][{c}]"
        return f"m{i:04d}[32 * (4 * ({self._tile(j)}) + {c}) + lane]"

    def _constant(self, i: int, column: str) -> str:
        """An element of a constant vector; one of two axes, of which one is 1, is a vector too."""
        shape = self.graph[i].type.shape
        if len(shape) == 1:
            return self.memory.element(i, column)
        return self.memory.element(i, *(("0", column) if shape[0] == 1 else (column, "0")))

    def _tile(self, j: str) -> str:
        return f"base + {j}" if self.local and j == "j" else j

    def _is_long(self, i: int) -> bool:
        return self.schedule.columnwise(i) and self.schedule.tiles(i) > WHOLE

    def _unrolled(self, i: int) -> list[str]:
        """Registers need loops whose numbers are known."""
        memory = self.graph[i].op in (Op.INPUT, Op.CONST) or self._is_long(i)
        return [] if memory else ["#pragma unroll"]

    def step(self, comment: str, lines: Sequence[str]) -> None:
        """Append to the kernel."""
        self.steps.append(Step(comment, tuple(lines)))

    def _term(self, i: int, args: Sequence[str]) -> str:
        return fixed_term(self.graph, i, args) if self.graph.is_fixed else term(self.graph, i, args)

    def _loop(self, x: int, body: Sequence[str]) -> list[str]:
        """Over the columns of ``x`` that a lane has."""
        size = self.schedule.size(x)
        tail = [f"if (column >= {size})", "    continue;"] if size % TILE else []
        named = any("column" in line for line in [*tail, *body])
        return [
            *self._unrolled(x),
            f"for (int j = 0; j < {self.schedule.tiles(x)}; ++j)",
            "    #pragma unroll",
            "    for (int c = 0; c < 4; ++c) {",
            *(f"        {line}" for line in [*(COLUMN if named else []), *tail, *body]),
            "    }",
        ]

    def sum_of(self, i: int, node: Node) -> None:
        """SUMSQ, and a MATMUL or DISTANCE with one column."""
        x, name = node.inputs[0], self._name(i)
        acc = sum_type(self.graph, i)
        value = f"({acc}){self.at(x)}" if self.graph.is_fixed else self.at(x)
        if node.op is Op.SUMSQ:
            body = [f"{name}_s[c >> 1] += square({value});"]
        else:
            args = [
                f"({self._type(x)}){self.at(x)}",
                f"({self._type(i)}){self._constant(node.inputs[1], 'column')}",
            ]
            if len(node.inputs) == 3:
                args.append(self.memory.element(node.inputs[2], "0"))
            body = [f"{name}_s[c >> 1] += {self._term(i, args)};"]
        lines = [f"{acc} {name}_s[2] = {{0, 0}};", *self._loop(x, body)]
        lines += [
            f"const {self._type(i)} {name}[2] = {{({self._type(i)})quad_sum({name}_s[0]), "
            f"({self._type(i)})quad_sum({name}_s[1])}};"
        ]
        self.step(f"n{i:04d} {node.op.value} of n{x:04d}", lines)

    def least(self, i: int, node: Node) -> None:
        """MIN."""
        x, name = node.inputs[0], self._name(i)
        kind = self._type(x)
        lines = [f"{kind} {name}_s[2] = {{highest<{kind}>(), highest<{kind}>()}};"]
        lines += self._loop(x, [f"{name}_s[c >> 1] = smaller({name}_s[c >> 1], {self.at(x)});"])
        lines += [
            f"const {self._type(i)} {name}[2] = {{({self._type(i)})quad_min({name}_s[0]), "
            f"({self._type(i)})quad_min({name}_s[1])}};"
        ]
        self.step(f"n{i:04d} least of n{x:04d}", lines)

    def argmax(self, i: int, node: Node) -> None:
        """The first maximum."""
        x, name = node.inputs[0], self._name(i)
        kind, size = self._type(x), self.schedule.size(x)
        count = 1 << (size - 1).bit_length()
        if self.graph.is_fixed and largest(self.graph[x].type.elem) * count < KEYS:
            self._greatest_key(i, x, f"<{size}, {count}>", count)
            return
        lines = [f"Best<{kind}> {name}_s[2];"]
        lines += self._loop(x, [f"{name}_s[c >> 1].take({self.at(x)}, column);"])
        lines += [
            f"const {self._type(i)} {name}[2] = {{({self._type(i)})quad_first({name}_s[0]), "
            f"({self._type(i)})quad_first({name}_s[1])}};"
        ]
        self.step(f"n{i:04d} first maximum of n{x:04d}", lines)

    def _greatest_key(self, i: int, x: int, sizes: str, count: int) -> None:
        """ARGMAX of small integers, which have room for their column beside them."""
        name, at = self._name(i), self.at(x)
        key = f"key_of{sizes}({at}, 8 * j + 2 * t + (c & 1))"
        lines = [f"int32_t {name}_s[2] = {{{-KEYS}, {-KEYS}}};", *self._unrolled(x)]
        lines += [f"for (int j = 0; j < {self.schedule.tiles(x)}; ++j)", "    #pragma unroll"]
        lines += ["    for (int c = 0; c < 4; ++c) {"]
        if "column" in at:
            lines.append(f"        const int column = column_of<{self.schedule.size(x)}>(j, t, c);")
        lines += [f"        {name}_s[c >> 1] = max({name}_s[c >> 1], {key});", "    }"]
        both = ", ".join(f"quad_column<{count}>({name}_s[{r}])" for r in (0, 1))
        lines.append(f"const int32_t {name}[2] = {{{both}}};")
        self.step(f"n{i:04d} first maximum of n{x:04d}", lines)

    def output(self, i: int, node: Node) -> None:
        """Write the rows that exist."""
        x, size = node.inputs[0], self.schedule.size(i)
        ctype, value = storage(node.type.elem), self.at(x)
        if size == 1:
            lines = [f"{ctype} v[2];", "#pragma unroll", "for (int c = 0; c < 4; c += 2)"]
            lines += [
                f"    v[c >> 1] = ({ctype}){value};",
                "store_one(out, row, n, t, v[0], v[1]);",
            ]
            self.step("output", lines)
            return
        column = [f"const int column = column_of<{size}>(j, t, c);"] if "column" in value else []
        lines = [
            *self._unrolled(x),
            f"for (int j = 0; j < {self.schedule.tiles(i)}; ++j) {{",
            f"    {ctype} v[4];",
            "    #pragma unroll",
            "    for (int c = 0; c < 4; ++c) {",
            *(f"        {line}" for line in [*column, f"v[c] = ({ctype}){value};"]),
            "    }",
            f"    store<{size}>(out, row, n, 8 * j + 2 * t, v);",
            "}",
        ]
        self.step("output", lines)
