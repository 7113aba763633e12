"""Products and distances of a kernel of tiles: on tensor cores, or one term after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from crystalc.ir import FixedType, Node, Op
from crystalc_cuda import fragments
from crystalc_cuda.fragments import TILE, Order
from crystalc_cuda.numbers import storage
from crystalc_cuda.pointwise import bound, sum_type
from crystalc_cuda.schedule import WHOLE, Nest
from crystalc_cuda.text import Text

HELD = 48
"""Registers of weights that a lane may hold for the whole launch."""

INT32 = 1 << 31
BYTES = ("int8_t", "uint8_t")


@dataclass
class Products(Text):
    """A kernel with its products."""

    hold: bool = False
    """All weights stay in registers."""
    packed: set[int] = field(default_factory=set)
    """Vectors whose fragments exist."""

    def multiplies(self, i: int) -> bool:
        """Whether MATMUL ``i`` has weights for tensor cores: frozen, and halves or bytes."""
        x, w = (self.graph[j] for j in self.graph[i].inputs)
        sizes = x.type.shape[0] > 1 and self.graph[i].type.shape[0] > 1
        if not sizes or w.is_state or x.op is Op.CONST:
            return False
        if not self.graph.is_fixed:
            return fragments.fits_halves(w.data())
        small = storage(x.type.elem) in BYTES and fragments.fits_bytes(w.data())
        return small and bound(self.graph, i) < INT32

    def _order(self, i: int) -> Order:
        return "input" if self.graph[self.graph[i].inputs[0]].op is Op.INPUT else "tiles"

    def _tiles(self, i: int) -> int:
        """Tiles of the weights of MATMUL ``i``, in whole chunks of its nest."""
        if i in self.schedule.first or i in self.schedule.streamed:
            return self.schedule.tiles(i)
        return Nest(0, self.schedule.size(i)).tiles

    def _weights(self, i: int) -> tuple[str, int]:
        """The name of the fragments of MATMUL ``i``, and words per lane of each."""
        node = self.graph[i]
        w = self.graph[node.inputs[1]]
        columns = w.data().T if node.attrs.get("transposed") else w.data()
        make = fragments.bytes_ if self.graph.is_fixed else fragments.halves
        words = make(columns, self._order(i), self._tiles(i))
        note = f"{self.memory.note(node.inputs[1])} as fragments"
        name = f"n{i:04d}_b"
        text = self.memory.add(name, "uint32_t", words, note)
        if not self.hold:
            return text, words.shape[-1]
        self.far.add(name)
        shape = f"[{words.shape[0]}][{words.shape[1]}][{words.shape[3]}]"
        self.held += [f"uint32_t {name}{shape};", f"hold({name}, {text}, lane);"]
        return name, words.shape[-1]

    def _holds(self, steps: Sequence[Nest | int]) -> bool:
        """All weights together fit the registers of a lane, and no loop over chunks reads them."""
        if any(isinstance(s, Nest) and s.tiles > WHOLE for s in steps):
            return False
        words = 0
        for i in self.graph.find(Op.MATMUL):
            if self.multiplies(i):
                per_step, each = (32, 2) if self.graph.is_fixed else (16, 4)
                k = self.graph[self.graph[i].inputs[0]].type.shape[0]
                words += -(-k // per_step) * self._tiles(i) * each
        return 0 < words <= HELD

    def _sum(self, i: int) -> str:
        return "int32_t" if self.graph.is_fixed else "float"

    def _finish_sums(self, i: int) -> None:
        if not self.graph.is_fixed:
            self.step("", [f"add_residuals({self._name(i)}, {self._name(i)}_e);"])

    def _signed(self, i: int) -> bool:
        elem = self.graph[i].type.elem
        return isinstance(elem, FixedType) and elem.signed

    def _quad_sum(self, i: int) -> None:
        name = self._name(i)
        line = f"    {name}[r] = quad_sum({name}[r]);"
        self.step("", ["#pragma unroll", "for (int r = 0; r < 2; ++r)", line])

    def packs(self, x: int) -> bool:
        """Whether vector ``x`` is an operand of tensor cores in registers."""
        if self.graph[x].op in (Op.INPUT, Op.CONST) or self._is_long(x):
            return False
        return any(self.graph[u].inputs[0] == x for u in self._multiplied(x))

    def _multiplied(self, x: int) -> list[int]:
        """Products on tensor cores that read ``x``."""
        users = self.graph.users(x)
        return [u for u in users if self.graph[u].op is Op.MATMUL and self.multiplies(u)]

    def pack(self, x: int) -> None:
        """Operand fragments of a vector in registers, made once."""
        if x in self.packed or not self.packs(x):
            return
        self.packed.add(x)
        size = self.schedule.size(x)
        fixed = self.graph.is_fixed
        kind, span = ("Bytes", 32) if fixed else ("Split", 16)
        form = f"<{self._sign(x)}, {size}>" if fixed else f"<{size}>"
        lines = [
            f"{kind} a{x:04d}[{-(-size // span)}];",
            f"fragments_of{form}(a{x:04d}, {self._name(x)}, t);",
        ]
        self.step(f"n{x:04d} as an operand", lines)

    def _sign(self, x: int) -> str:
        return "true" if self._signed(x) else "false"

    def sumsq(self, i: int, node: Node) -> None:
        """SUMSQ, of bytes from their fragments."""
        x, acc = node.inputs[0], sum_type(self.graph, i)
        if not self.graph.is_fixed or acc != "int32_t" or not self.packs(x):
            self.sum_of(i, node)
            return
        self.pack(x)
        lines = [f"int32_t {self._name(i)}[2] = {{0, 0}};"]
        lines.append(f"add_squares<{self._sign(x)}>({self._name(i)}, a{x:04d});")
        self.step(f"n{i:04d} sumsq of n{x:04d}", lines)
        self._quad_sum(i)

    def saturates_later(self, i: int) -> bool:
        """Whether all who read ``i`` take it as bytes, and limit it as its type does."""
        elem = self.graph[i].type.elem
        if not isinstance(elem, FixedType) or elem.width != 8 or self.schedule.size(i) == 1:
            return False
        users = set(self.graph.users(i)) - {*self._multiplied(i)}
        squares = {u for u in users if self.graph[u].op is Op.SUMSQ and self.packs(i)}
        return users == {u for u in squares if sum_type(self.graph, u) == "int32_t"}

    def begins_with(self, i: int) -> int | None:
        """The ADD of a constant with which the sums of MATMUL ``i`` can begin."""
        users = self.graph.users(i)
        if not self.graph.is_fixed or self.graph[i].op is not Op.MATMUL or len(users) != 1:
            return None
        if self.graph[users[0]].op is not Op.ADD or not self.multiplies(i):
            return None
        add = self.graph[users[0]]
        other = self.graph[next((j for j in add.inputs if j != i), i)]
        if not other.is_frozen_const or other.data().shape != add.type.shape:
            return None
        top = bound(self.graph, i) + int(np.abs(other.data()).max())
        return users[0] if top < INT32 else None

    def _declare_sums(self, i: int, tiles: int, base: str) -> list[str]:
        """The sums of MATMUL ``i``, from zero or from what is added to them."""
        name = self._name(i)
        if self.begins_with(i) is not None:
            return [f"int32_t {name}[{tiles}][4];", self._begin(i, name, base)]
        more = "" if self.graph.is_fixed else f", {name}_e[{tiles}][4] = {{}}"
        return [f"{self._sum(i)} {name}[{tiles}][4] = {{}}{more};"]

    def _begin(self, i: int, sums: str, base: str) -> str:
        add = self.begins_with(i)
        assert add is not None
        w = next(j for j in self.graph[add].inputs if j != i)
        whole = np.zeros(TILE * self._tiles(i), dtype=np.int64)
        whole[: self.schedule.size(i)] = self.graph[w].data()
        lanes = np.tile(whole.reshape(-1, 1, 2), (1, 2, 1))
        text = self.memory.add(f"n{w:04d}_d", "int32_t", lanes, f"{self.memory.note(w)} of lanes")
        return f"begin({sums}, {text}, {base}, t);"

    def _product(self, i: int, x: int, base: str) -> str:
        name, (weights, words) = self._name(i), self._weights(i)
        fixed = self.graph.is_fixed
        sums = name if fixed else f"{name}, {name}_e"
        kind = ("true" if self._signed(x) else "false") if fixed else str(words)
        if self.hold:
            kind = f"<{kind}>" if fixed else ""
            return f"multiply_all{kind}({sums}, a{x:04d}, {weights});"
        tiles, size = self._tiles(i), self.schedule.size(x)
        place = f"{weights} + {32 * words} * {base}, {32 * words * tiles}"
        if self._is_long(x):
            return f"multiply_long<{kind}, {size}>({sums}, m{x:04d}, {place}, t, lane);"
        return f"multiply_all<{kind}>({sums}, a{x:04d}, {place}, lane);"

    def _consume(self, i: int) -> None:
        """Add what this chunk of the operand contributes to every column."""
        x = self.graph[i].inputs[0]
        weights, words = self._weights(i)
        fixed, name = self.graph.is_fixed, self._name(i)
        sums = name if fixed else f"{name}, {name}_e"
        kind = ("true" if self._signed(x) else "false") if fixed else str(words)
        place = f"{weights}, {32 * words * self.schedule.tiles(i)}"
        size = self.schedule.size(x)
        call = f"multiply_chunk<{kind}, {size}>({sums}, {self._name(x)}, {place}, base, t, lane);"
        self.step(f"n{i:04d} matmul: {self.memory.note(self.graph[i].inputs[1])}", [call])

    def _dot_tiles(self, i: int, node: Node, nest: Nest) -> None:
        """Any numbers: every lane multiplies its own columns of x, four lanes add up."""
        x, w = node.inputs[:2]
        k, acc = self.schedule.size(x), sum_type(self.graph, i)
        tile = "base + j" if nest.tiles > WHOLE else "j"
        lines = [f"{self._type(i)} {self._name(i)}[{nest.chunk}][4];", "#pragma unroll"]
        lines += [f"for (int j = 0; j < {nest.chunk}; ++j) {{", f"    {acc} part[2][8] = {{}};"]
        lines += [f"    {line}" for line in self._unrolled(x)]
        lines += [f"    for (int i = 0; i < {self.schedule.tiles(x)}; ++i)"]
        lines += ["        #pragma unroll", "        for (int e = 0; e < 2; ++e) {"]
        body = ["const int k = 8 * i + 2 * t + e;"]
        if k % TILE:
            body += [f"if (k >= {k})", "    continue;"]
        body += [f"const {self._type(x)} x0 = {self.at(x, 'i', 'e', 'k')};"]
        body += [f"const {self._type(x)} x1 = {self.at(x, 'i', '2 + e', 'k')};"]
        body += ["#pragma unroll", "for (int o = 0; o < 8; ++o) {"]
        body += [f"    const int target = limited<{nest.length}>(8 * ({tile}) + o);"]
        args, weight = self._weight(i, w)
        body += [f"    const {weight};"]
        body += [f"    part[{r}][o] += {self._term(i, [f'x{r}', *args])};" for r in "01"]
        lines += [f"            {line}" for line in [*body, "}"]]
        lines += ["        }"]
        lines += [f"    scatter(part[{r}], t, &{self._name(i)}[j][{2 * r}]);" for r in (0, 1)]
        self.step(f"n{i:04d} {node.op.value}: {self.memory.note(w)}", [*lines, "}"])

    def _weight(self, i: int, w: int) -> tuple[list[str], str]:
        """Arguments of the term, and the declaration of the weight of row ``row`` and ``k``."""
        node = self.graph[i]
        rows = node.op is Op.DISTANCE or bool(node.attrs.get("transposed"))
        index = ("target", "k") if rows else ("k", "target")
        args = ["weight"]
        if len(node.inputs) == 3:
            args.append(self.memory.element(node.inputs[2], "target"))
        return args, f"{self._type(w)} weight = {self.memory.element(w, *index)}"
