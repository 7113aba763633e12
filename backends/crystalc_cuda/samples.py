"""Products of the samples with frozen weights: one reading, tile after tile, well ahead.

A warp reads 16 bytes of a row per lane and step. The reading never stops: behind the last step of a
tile come the first of the warp's next tile, so that memory answers while the rest of the network is
computed. Of weights too many for every block's shared memory, as many steps as the device has room
for are copied there (``resident``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crystalc.ir import Op
from crystalc_cuda.memory import SHARED, Step
from crystalc_cuda.products import Products
from crystalc_cuda.schedule import WHOLE, Nest

AHEAD = 4
"""Steps whose samples are loaded ahead: memory answers after hundreds of clocks."""

PAIR_AHEAD = 1
"""The same where a warp has two tiles of sixteen samples."""

FETCHED = 6
"""Steps before that when L2 is asked for samples, every second step, in lines of 128 bytes."""

PAIR = 4
"""Tiles of eight columns above which weights of floats are read for two tiles of samples."""


@dataclass(frozen=True)
class Divided:
    """Weights of the samples of which only some steps may be in shared memory."""

    name: str
    steps: int
    step_bytes: int


@dataclass
class Samples(Products):
    """A kernel with its reading of the samples."""

    parts: int = 1
    """Tiles of sixteen samples that a warp reads together."""
    before: list[str] = field(default_factory=list)
    """What begins the reading."""
    reading: list[Step] = field(default_factory=list)
    """What is done for all parts at once."""
    divided: Divided | None = None

    @property
    def _span(self) -> int:
        """Columns of a step."""
        return 64 if self.graph.is_fixed else 16

    @property
    def _vector(self) -> str:
        return "uint4" if self.graph.is_fixed else "typename Four<In>::type"

    @property
    def _count(self) -> int:
        """Steps of a row."""
        return -(-self.schedule.size(self.graph.find(Op.INPUT)[0]) // self._span)

    def _first(self) -> None:
        """Products of the samples with frozen weights, and their sum of squares, in one reading."""
        first = self.schedule.first
        if not first:
            return
        products = [i for i in first if self.graph[i].op is Op.MATMUL]
        squares = [i for i in first if self.graph[i].op is Op.SUMSQ]
        if not self.graph.is_fixed and len(first) == 1 and self.schedule.tiles(first[0]) > PAIR:
            self.parts = 2
        names = ", ".join(self._name(i) for i in first)
        self.step(f"one reading of the samples: {names}", [])
        for i in products:
            self._declare_parts(i, self.schedule.tiles(i), "0")
        for i in squares:
            self.step("", [f"{self._type(i)} {self._name(i)}_p[{self.parts}][2] = {{}};"])
        self._stream(products, squares)
        self._finish_parts(products, squares)
        self.reading, self.steps = self.steps, []
        for i in products:
            self._part(i, self.schedule.tiles(i), "part")
        for i in squares:
            name = self._name(i)
            line = f"{self._type(i)} {name}[2] = {{{name}_p[part][0], {name}_p[part][1]}};"
            self.step("", [line])
            self._quad_sum(i)

    def _declare_parts(self, i: int, tiles: int, base: str) -> None:
        name, parts = f"{self._name(i)}_p", self.parts
        if self.begins_with(i) is None:
            more = "" if self.graph.is_fixed else f", {name}_e[{parts}][{tiles}][4] = {{}}"
            self.step("", [f"{self._sum(i)} {name}[{parts}][{tiles}][4] = {{}}{more};"])
            return
        lines = [f"int32_t {name}[{parts}][{tiles}][4];", "#pragma unroll"]
        lines += [f"for (int p = 0; p < {parts}; ++p)"]
        self.step("", [*lines, f"    {self._begin(i, f'{name}[p]', base)}"])

    def _part(self, i: int, tiles: int, part: str) -> None:
        name = self._name(i)
        self.step("", [f"{self._sum(i)} (&{name})[{tiles}][4] = {name}_p[{part}];"])

    def _finish_parts(self, products: Sequence[int], squares: Sequence[int]) -> None:
        """Both parts of a float's sums together, times what a byte stands for."""
        if self.graph.is_fixed:
            return
        lines = ["#pragma unroll", f"for (int p = 0; p < {self.parts}; ++p) {{"]
        for name in map(self._name, products):
            lines.append(f"    add_residuals({name}_p[p], {name}_p_e[p], unit<In>(scale));")
        for name in map(self._name, squares):
            lines.append(f"    {name}_p[p][0] *= square(unit<In>(scale));")
            lines.append(f"    {name}_p[p][1] *= square(unit<In>(scale));")
        self.step("", [*lines, "}"])

    def _stream(self, products: Sequence[int], squares: Sequence[int]) -> None:
        """All steps of a tile; those of the next tile follow without a gap."""
        count, rows = self._count, 2 * self.parts
        depth = min(count, AHEAD if self.parts == 1 else PAIR_AHEAD)
        size = self.schedule.size(self.graph.find(Op.INPUT)[0])
        load = self._load("ahead.row[r]", f"{self._span} * ahead.step", not squares)
        self.before = [
            f"Ahead<In, {size}, {count}, {self.parts}> ahead(in, n, tile, stride, g);",
            f"{self._vector} next[{depth}][{rows}];",
            *("#pragma unroll", f"for (int d = 0; d < {depth}; ++d) {{", "    #pragma unroll"),
            f"    for (int r = 0; r < {rows}; ++r)",
            *(f"        next[d][r] = {load};", "    ahead.advance();", "}"),
        ]
        body = [*self._shifted(depth, load), "ahead.advance();"]
        if self.parts > 1:
            fetch = f"ahead.template fetch<{self._span}, {FETCHED}>(lane);"
            body += ["if (q % 2 == 0)", f"    {fetch}"]
        self._divide(products)
        if self.divided is None:
            near = self._steps(body, products, squares, "0")
            self._loop_of_steps(0, count, count if self.hold else depth, near)
            return
        name = self.divided.name
        near = [
            line.replace(f"CONSTANT.{name}", f"{name}_near")
            for line in self._steps(body, products, squares, "0")
        ]
        self._loop_of_steps(0, "resident", depth, near)
        self._loop_of_steps("resident", count, 1, self._steps(body, products, squares, "0"))

    def _load(self, row: str, column: str, any_column: bool) -> str:
        """A lane's 16 bytes of a row and step."""
        size = self.schedule.size(self.graph.find(Op.INPUT)[0])
        place = f"{column} + {self._span // 4} * t"
        if self.graph.is_fixed:
            return f"load_bytes<{size}, {'true' if any_column else 'false'}>({row}, {place})"
        return f"load_four<{size}>({row}, {place})"

    def _shifted(self, depth: int, load: str) -> list[str]:
        """The samples of this step, and a load in their place."""
        rows = 2 * self.parts
        return [
            *(f"{self._vector} x[{rows}];", "#pragma unroll"),
            *(f"for (int r = 0; r < {rows}; ++r) {{", "    x[r] = next[0][r];"),
            *(f"    next[{d}][r] = next[{d + 1}][r];" for d in range(depth - 1)),
            *(f"    next[{depth - 1}][r] = {load};", "}"),
        ]

    def _divide(self, products: Sequence[int]) -> None:
        """Weights of more than half the shared memory of every device are divided."""
        if self.hold or len(products) != 1:
            return
        text, _ = self._weights(products[0])
        name = text.removeprefix("CONSTANT.")
        size = self.memory.constants[name].size
        if 2 * size > SHARED:
            self.far.add(name)
            self.divided = Divided(name, self._count, size // self._count)

    def _loop_of_steps(
        self, first: int | str, end: int | str, unroll: int, body: Sequence[str]
    ) -> None:
        head = f"for (int q = {first}; q < {end}; ++q) {{"
        self.step("", [f"#pragma unroll {unroll}", head, *(f"    {line}" for line in body), "}"])

    def _steps(
        self, read: Sequence[str], products: Sequence[int], squares: Sequence[int], base: str
    ) -> list[str]:
        """The body of the loop over steps."""
        kind = "BytePair" if self.graph.is_fixed else "typename Four<In>::operand"
        lines = [*read, f"{kind} a[{self.parts}];", "#pragma unroll"]
        lines += [f"for (int p = 0; p < {self.parts}; ++p) {{"]
        lines += [f"    {self._input_squares(i)}" for i in squares]
        lines += ["    a[p] = input_fragment(x[2 * p], x[2 * p + 1]);", "}"]
        return lines + [self._input_product(i, base) for i in products]

    def _input_squares(self, i: int) -> str:
        """What a step adds to the sum of squares of both rows."""
        signed = self._signed(self.graph[i].inputs[0])
        kind = f"<{'signed char' if signed else 'uint8_t'}>" if self.graph.is_fixed else ""
        name = f"{self._name(i)}_p[p]"
        return f"{name}[0] += squares{kind}(x[2 * p]), {name}[1] += squares{kind}(x[2 * p + 1]);"

    def _input_product(self, i: int, base: str) -> str:
        name, (weights, words) = f"{self._name(i)}_p", self._weights(i)
        fixed = self.graph.is_fixed
        sums = name if fixed else f"{name}, {name}_e"
        kind = f"<{self._sign(self.graph[i].inputs[0])}>" if fixed else ""
        if self.hold:
            which = f"{weights}[2 * q], {weights}[2 * q + 1]" if fixed else f"{weights}[q]"
            return f"multiply{kind}({sums}, a, {which});"
        tiles = self._tiles(i)
        offset = f"{32 * words * (2 if fixed else 1) * tiles} * q"
        if base != "0":
            offset += f" + {32 * words} * {base}"
        stride = f", {32 * words * tiles}" if fixed else ""
        return f"multiply{kind or f'<{words}>'}({sums}, a, {weights} + {offset}{stride}, lane);"

    def _input_loop(self, i: int, tiles: int, base: str) -> None:
        """A product of the samples that is not part of the one reading."""
        depth, parts = min(self._count, AHEAD), self.parts
        first = self._load("rows[d & 1]", f"{self._span} * (d >> 1)", True)
        load = self._load("rows[r]", f"{self._span} * (q + {depth})", True)
        if not self.graph.is_fixed:
            load = f"q + {depth} < {self._count} ? {load} : {self._vector}()"
        self.parts = 1
        self._declare_parts(i, tiles, base)
        lines = [f"{self._vector} next[{depth}][2];", "#pragma unroll"]
        lines += [f"for (int d = 0; d < {2 * depth}; ++d)", f"    next[d >> 1][d & 1] = {first};"]
        lines += [f"#pragma unroll {self._count if self.hold else 2}"]
        lines += [f"for (int q = 0; q < {self._count}; ++q) {{"]
        body = self._steps(self._shifted(depth, load), [i], [], base)
        lines += [*(f"    {line}" for line in body), "}"]
        self.step("", ["{", *(f"    {line}" for line in lines), "}"])
        self._finish_parts([i], [])
        self._part(i, tiles, "0")
        self.parts = parts

    def _produce(self, i: int, nest: Nest) -> None:
        """The tiles of a chunk of a MATMUL or DISTANCE."""
        node = self.graph[i]
        if node.op is not Op.MATMUL or not self.multiplies(i):
            self._dot_tiles(i, node, nest)
            return
        x = node.inputs[0]
        base = "base" if nest.tiles > WHOLE else "0"
        comment = f"n{i:04d} matmul: {self.memory.note(node.inputs[1])}"
        if self.graph[x].op is Op.INPUT:
            self.step(comment, [])
            self._input_loop(i, nest.chunk, base)
            return
        self.step(comment, self._declare_sums(i, nest.chunk, base))
        self.step("", [self._product(i, x, base)])
        self._finish_sums(i)
