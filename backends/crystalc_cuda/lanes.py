"""The kernel for tiny networks: one thread computes one sample, frozen weights are immediates.

``n0005_3`` is element 3 of value 5; the text has neither loops nor arrays, so everything stays in
registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crystalc.ir import Graph, Node, Op
from crystalc_cuda.memory import Long, Memory, Step
from crystalc_cuda.numbers import number, sample, storage, working
from crystalc_cuda.pointwise import (
    expression,
    fixed_term,
    is_pointwise,
    sum_type,
    term,
)

LIMIT = 512
"""Frozen weights up to which their places in the code are cheaper than tensor cores."""

VECTORS = ("float", "int8_t", "uint8_t", "int16_t", "uint16_t")
"""Types of which one load brings four."""

TEXT_LIMIT = 4096
"""Elements and products that a kernel of this kind may have: the instruction cache is small."""


def fits(graph: Graph) -> bool:
    """Whether ``graph`` is tiny."""
    weights = work = 0
    for _, node in graph:
        if node.op in (Op.MATMUL, Op.DISTANCE):
            w = graph[node.inputs[1]]
            work += w.data().size
            weights += 0 if w.is_state else w.data().size
        elif node.op is not Op.CONST:
            work += node.type.shape[0]
    return weights <= LIMIT and work <= TEXT_LIMIT


@dataclass
class Lanes:
    """The text of the kernel of ``graph``, which has no SOFTMAX."""

    graph: Graph
    memory: Memory
    steps: list[Step] = field(default_factory=list)
    longs: tuple[Long, ...] = ()
    held: tuple[str, ...] = ()
    far: frozenset[str] = frozenset()
    before: tuple[str, ...] = ()
    reading: tuple[Step, ...] = ()
    parts: int = 1
    divided: None = None

    def __post_init__(self) -> None:
        for i, node in self.graph:
            if node.op is not Op.CONST:
                self.steps.append(Step(self._comment(i, node), tuple(self._lines(i, node))))

    def _comment(self, i: int, node: Node) -> str:
        weights = [j for j in node.inputs[1:] if self.graph[j].op is Op.CONST]
        notes = "".join(f", {self.memory.note(j)}" for j in weights)
        return f"n{i:04d} {node.op.value}{notes}"

    def _size(self, i: int) -> int:
        return int(self.graph[i].type.shape[0])

    def _type(self, i: int) -> str:
        return working(self.graph[i].type.elem)

    def _lines(self, i: int, node: Node) -> list[str]:
        if node.op is Op.OUTPUT:
            return self._output(i, node)
        if node.op is Op.ARGMAX:
            return self._argmax(i, node)
        if node.op is Op.INPUT:
            return self._input(i, node)
        if node.op is Op.MIN:
            return [self._let(i, 0, self._least(node.inputs[0]))]
        if is_pointwise(self.graph, i):
            return [self._let(i, k, self._pointwise(i, node, k)) for k in range(self._size(i))]
        return [line for o in range(self._size(i)) for line in self._sum(i, node, o)]

    def _let(self, i: int, k: int, value: str) -> str:
        return f"const {self._type(i)} n{i:04d}_{k} = {value};"

    def _input(self, i: int, node: Node) -> list[str]:
        """Four elements at a time where rows are whole vectors of four."""
        size = self._size(i)
        if size % 4 or storage(node.type.elem) not in VECTORS:
            return [self._let(i, k, sample(node, f"x[{k}]")) for k in range(size)]
        lines = [f"const auto n{i:04d}_v{k} = four(x, {k});" for k in range(size // 4)]
        parts = [f"n{i:04d}_v{k // 4}.{'xyzw'[k % 4]}" for k in range(size)]
        return lines + [self._let(i, k, sample(node, part)) for k, part in enumerate(parts)]

    def at(self, i: int, k: int) -> str:
        """Element ``k`` of value ``i``; a vector of one stands for every element."""
        node = self.graph[i]
        k = k if self._size(i) > 1 else 0
        if node.is_state:
            return self._flat(i, k)
        if node.op is Op.CONST:
            return number(node.data().reshape(-1)[k], self._type(i))
        return f"n{i:04d}_{k}"

    def _pointwise(self, i: int, node: Node, k: int) -> str:
        if node.op is Op.LOOKUP:
            index, table = node.inputs
            row = str(k) if self.graph[table].type.shape[0] > 1 else "0"
            return self.memory.element(table, row, self.at(index, k))
        if node.op in (Op.MATMUL, Op.DISTANCE):
            args = [self.at(node.inputs[0], 0), *(self._flat(j, k) for j in node.inputs[1:])]
        else:
            args = [self.at(j, k) for j in node.inputs]
        return expression(self.graph, i, args)

    def _flat(self, w: int, k: int) -> str:
        node = self.graph[w]
        if node.is_state:
            index = np.unravel_index(k, node.type.shape)
            return self.memory.element(w, *(str(v) for v in index))
        return number(node.data().reshape(-1)[k], self._type(w))

    def _least(self, x: int) -> str:
        value = self.at(x, 0)
        for k in range(1, self._size(x)):
            value = f"min({value}, {self.at(x, k)})"
        return value

    def _sum(self, i: int, node: Node, o: int) -> list[str]:
        """A MATMUL, DISTANCE or SUMSQ: one term after another; products with zero are left out."""
        name, acc = f"n{i:04d}_{o}", sum_type(self.graph, i)
        whole = acc == self._type(i)
        local = name if whole else f"{name}_s"
        lines = [f"{acc} {local} = {number(0, acc)};"]
        lines += [f"{local} += {t};" for t in self._terms(i, node, o)]
        return lines if whole else [*lines, self._let(i, o, f"({self._type(i)}){local}")]

    def _terms(self, i: int, node: Node, o: int) -> list[str]:
        x = node.inputs[0]
        size = self._size(x)
        if node.op is Op.SUMSQ:
            kind = f"({sum_type(self.graph, i)})" if self.graph.is_fixed else ""
            return [f"square({kind}{self.at(x, k)})" for k in range(size)]
        w = node.inputs[1]
        rows = node.op is Op.DISTANCE or bool(node.attrs.get("transposed"))
        indices = [o * size + k if rows else k * self._size(i) + o for k in range(size)]
        frozen = None if self.graph[w].is_state else self.graph[w].data().reshape(-1)
        make = fixed_term if self.graph.is_fixed else term
        scale = [self.at(j, o) for j in node.inputs[2:]]
        return [
            make(self.graph, i, [self.at(x, k), self._flat(w, at), *scale])
            for k, at in enumerate(indices)
            if node.op is Op.DISTANCE or frozen is None or frozen[at]
        ]

    def _argmax(self, i: int, node: Node) -> list[str]:
        (x,) = node.inputs
        kind, name = self._type(x), f"n{i:04d}"
        if self._size(x) == 1:
            return [self._let(i, 0, "0")]
        lines = [f"int {name}_k = 0;", f"{kind} {name}_v = {self.at(x, 0)};"]
        for k in range(1, self._size(x)):
            value = self.at(x, k)
            lines.append(f"if ({value} > {name}_v) {{ {name}_v = {value}; {name}_k = {k}; }}")
        return [*lines, self._let(i, 0, f"({self._type(i)}){name}_k")]

    def _output(self, i: int, node: Node) -> list[str]:
        ctype = storage(node.type.elem)
        return [f"y[{k}] = ({ctype}){self.at(node.inputs[0], k)};" for k in range(self._size(i))]
