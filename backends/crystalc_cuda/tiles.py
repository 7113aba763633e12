"""The kernel for networks of more than a few hundred weights: a warp computes sixteen samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crystalc.ir import Op
from crystalc_cuda.memory import Long
from crystalc_cuda.pointwise import expression, requantized
from crystalc_cuda.samples import Samples
from crystalc_cuda.schedule import WHOLE, Nest, Schedule


@dataclass
class Tiles(Samples):
    """The text of the kernel of ``graph``, written when it is made."""

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.graph, self.multiplies)
        steps = self.schedule.run()
        self.hold = self._holds(steps)
        self._first()
        for step in steps:
            if isinstance(step, Nest):
                self._nest(step)
            else:
                REDUCTIONS[self.graph[step].op](self, step, self.graph[step])

    def _nest(self, nest: Nest) -> None:
        for i in nest.consumers:
            self.step("", self._declare_sums(i, self.schedule.tiles(i), "0"))
        for i in nest.producers:
            if self.graph[i].op is Op.MATMUL and self.multiplies(i):
                self.pack(self.graph[i].inputs[0])
        if nest.length == 1:
            self._scalars(nest)
        elif nest.tiles > WHOLE:
            self._chunks(nest)
        else:
            self._columns(nest)
        for i in nest.consumers:
            self._finish_sums(i)

    def _columns(self, nest: Nest) -> None:
        """What is computed of a vector, or of a chunk of a long one."""
        for i in nest.producers:
            self._produce(i, nest)
        kept = self._kept(nest)
        if nest.pointwise or kept:
            self._pointwise(nest, kept)
        for i in nest.consumers:
            self._consume(i)

    def _kept(self, nest: Nest) -> list[int]:
        """Values of a nest of long vectors that somebody reads after it."""
        if nest.tiles <= WHOLE:
            return []
        inside = {*nest.pointwise, *nest.consumers}
        every = [*nest.producers, *nest.pointwise]
        return [i for i in every if not set(self.graph.users(i)) <= inside]

    def _chunks(self, nest: Nest) -> None:
        """A loop over the columns; what is kept goes to shared memory."""
        for i in self._kept(nest):
            before = sum(m.size for m in self.longs)
            self.longs.append(Long(f"m{i:04d}", self._type(i), 4 * 32 * nest.tiles, before))
        outside, self.steps = self.steps, []
        self.local = {*nest.producers, *nest.pointwise}
        self._columns(nest)
        body, self.steps, self.local = self.steps, outside, set()
        lines = [
            "#pragma unroll 1",
            f"for (int base = 0; base < {nest.tiles}; base += {nest.chunk}) {{",
        ]
        for step in body:
            lines += [f"    /* {step.comment} */"] if step.comment else []
            lines += [f"    {line}" for line in step.lines]
        self.step(f"vectors of {nest.length}, {8 * nest.chunk} columns at a time", [*lines, "}"])

    def _scalars(self, nest: Nest) -> None:
        lines = [f"{self._type(i)} {self._name(i)}[2];" for i in nest.pointwise]
        lines += ["#pragma unroll", "for (int c = 0; c < 4; c += 2) {"]
        for i in nest.pointwise:
            lines.append(f"    {self.at(i)} = {self._value(i)};")
        self.step(self._ops(nest.pointwise), [*lines, "}"])

    def _ops(self, ids: Sequence[int]) -> str:
        ops = ", ".join(self.graph[i].op.value for i in ids)
        return f"n{ids[0]:04d}..n{ids[-1]:04d} [{self.schedule.size(ids[0])}]: {ops}"

    def _value(self, i: int, known: frozenset[int] = frozenset()) -> str:
        """The expression of pointwise node ``i``; values of ``known`` are locals."""
        node = self.graph[i]
        args = [f"v{j:04d}" if j in known else self.at(j) for j in node.inputs]
        if node.op is Op.LOOKUP:
            rows = self.graph[node.inputs[1]].type.shape[0]
            row = "column" if rows > 1 else "0"
            args[1] = self.memory.element(node.inputs[1], row, args[0])
        begun = [k for k, j in enumerate(node.inputs) if self.begins_with(j) == i]
        if begun:
            return args[begun[0]]
        if node.op is Op.REQUANT and self.saturates_later(i):
            return requantized(self.graph, node, args, limited=False)
        return expression(self.graph, i, args)

    def _pointwise(self, nest: Nest, kept: Sequence[int]) -> None:
        declared: list[str] = []
        body: list[str] = []
        for i in nest.pointwise:
            value = self._value(i, frozenset(nest.pointwise))
            body.append(f"const {self._type(i)} v{i:04d} = {value};")
            if self._stored(i, nest):
                declared.append(f"{self._type(i)} {self._name(i)}[{nest.chunk}][4];")
                body.append(f"{self._name(i)}[j][c] = v{i:04d};")
        for i in kept:
            value = f"v{i:04d}" if i in nest.pointwise else f"{self._name(i)}[j][c]"
            body.append(f"m{i:04d}[32 * (4 * (base + j) + c) + lane] = {value};")
        if any("column" in line for line in body):
            tile = "base + j" if nest.tiles > WHOLE else "j"
            body.insert(0, f"const int column = column_of<{nest.length}>({tile}, t, c);")
        lines = ["#pragma unroll", f"for (int j = 0; j < {nest.chunk}; ++j) {{"]
        lines += ["    #pragma unroll", "    for (int c = 0; c < 4; ++c) {"]
        lines += [*(f"        {line}" for line in body), "    }", "}"]
        comment = self._ops(nest.pointwise) if nest.pointwise else "kept for later"
        self.step(comment, [*declared, *lines])

    def _stored(self, i: int, nest: Nest) -> bool:
        """Value ``i`` is read by more than the loop that computes it, in registers."""
        users = set(self.graph.users(i))
        if nest.tiles > WHOLE:
            return bool(users & {*nest.consumers})
        return not users <= {*nest.pointwise}


REDUCTIONS = {
    Op.SUMSQ: Tiles.sumsq,
    Op.MATMUL: Tiles.sum_of,
    Op.DISTANCE: Tiles.sum_of,
    Op.MIN: Tiles.least,
    Op.ARGMAX: Tiles.argmax,
    Op.OUTPUT: Tiles.output,
}
