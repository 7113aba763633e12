"""Lowering of a fixed graph: exact in every layer, nothing wider than it must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import FixedType, Node, Op
from crystalc_c.constants import pad_last, quads
from crystalc_c.floats import output, readable
from crystalc_c.numbers import largest, literal, register, storage
from crystalc_c.plan import Plan, as_columns, bias_of
from crystalc_c.walk import Walk

Array = NDArray[Any]

POINTWISE = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.RELU, Op.SHIFT, Op.REQUANT, Op.DIV})
OPS = POINTWISE | {
    Op.INPUT, Op.CONST, Op.OUTPUT, Op.MATMUL, Op.DISTANCE, Op.SUMSQ, Op.ARGMAX, Op.LOOKUP, Op.MIN,
}  # fmt: skip

INT32 = 1 << 31


def lower(plan: Plan) -> None:
    """Fill ``plan`` from its fixed graph."""
    _Integers(plan).run()


class _Integers(Walk):
    """Pointwise nodes become plain loops."""

    gathered = POINTWISE

    def step(self, i: int, node: Node) -> None:
        STEPS[node.op](self, i, node)

    def loop(self, group: list[int]) -> None:
        pointwise(self.plan, group)

    def elem(self, i: int) -> FixedType:
        elem = self.graph[i].type.elem
        assert isinstance(elem, FixedType)
        return elem

    def bind(self, *ids: int) -> None:
        """Give frozen constants a plain array."""
        for i in ids:
            if self.graph[i].op is Op.CONST and not self.graph[i].is_state:
                self.plan.vector(i)

    # matrix products

    def matmul(self, i: int, node: Node) -> None:
        x, w = node.inputs
        self.bind(x)
        if self.graph[w].is_state or not self.quads_fit(i, node):
            self.sum_of(i, node)
            return
        bias = bias_of(self.graph, i)
        if bias is not None and self.bound(node) + largest(self.elem(bias[1])) < INT32:
            self.fused.add(bias[0])
            self.quad_call(bias[0], node, bias[1])
        else:
            self.quad_call(i, node, None)

    def bound(self, node: Node) -> int:
        """No partial sum of this MATMUL, in any order, is larger."""
        x, w = node.inputs
        top = largest(self.elem(x))
        if self.graph[w].is_state:
            return top * largest(self.elem(w)) * self.plan.size(x)
        columns = as_columns(node, self.graph[w])
        return top * int(np.abs(columns).sum(0).max())

    def quads_fit(self, i: int, node: Node) -> bool:
        """8-bit x, 8-bit frozen weights, 32-bit sums."""
        x, w = node.inputs
        data = self.graph[w].data()
        small = bool(np.all((data >= -128) & (data <= 127)))
        bytes_ = self.plan.ctype[x] in ("int8_t", "uint8_t") and self.graph[x].op is not Op.CONST
        return small and bytes_ and self.bound(node) < INT32 // 2

    def quad_call(self, target: int, node: Node, bias: int | None) -> None:
        plan, (x, w) = self.plan, node.inputs
        self.whole_quads(x)
        columns = as_columns(node, self.graph[w])
        k, n = -(-len(columns) // 4), plan.padded(columns.shape[1])
        weights = plan.constant(w, quads(columns, plan.padded(1)), "int8_t", "_quads")
        signed = plan.ctype[x] == "int8_t"
        start = self.start(target, columns, bias, signed)
        y = plan.buffer(target, "int32_t")
        plan.need("quads.h")
        call = plan.kernel_call(
            "dot_s8" if signed else "dot_u8",
            (f"as_quads({plan.place[x]})", plan.stride(x) // 4),
            (f"as_quads({weights})", start, y),
            (k, n),
            self.graph[x].op is Op.INPUT,
        )
        plan.add_step(f"n{target:04d} matmul: {plan.note(w)}", [call], tiled=True)

    def start(self, target: int, columns: Array, bias: int | None, signed: bool) -> str:
        """Where the sums begin: the bias, and a second row for the layer that adds 128 to x."""
        base = np.zeros(columns.shape[1], dtype=np.int64)
        if bias is not None:
            base = base + self.graph[bias].data()
        twice = self.plan.simd and signed
        rows = np.stack([base, base - 128 * columns.sum(0)] if twice else [base])
        if not rows.any():
            return "0"
        rows = pad_last(rows, self.plan.padded(1))
        name = self.plan.constant(target, rows, "int32_t", "_start")
        return f"{name} + {rows.shape[1]} * VNNI" if twice else name

    def whole_quads(self, x: int) -> None:
        """Copy an input whose length is no multiple of four."""
        if self.plan.place[x] == "in" and self.plan.size(x) % 4:
            readable(self.plan, x)

    def sum_of(self, i: int, node: Node) -> None:
        """Any widths: one plain loop per output."""
        plan, (x, w) = self.plan, node.inputs
        k, n = plan.size(x), plan.size(i)
        acc = "int32_t" if self.bound(node) < INT32 else "int64_t"
        rows = bool(node.attrs.get("transposed"))
        weight = self.matrix(w, rows, "i", _row(n))
        term = f"({acc}){plan.element(x)} * {weight}"
        self.reduce(i, node, k, n, acc, [f"sum += {term};"])

    def matrix(self, w: int, rows: bool, inner: str, outer: str) -> str:
        """Element of a matrix stored as [outer, inner] (rows) or [inner, outer]."""
        plan, node = self.plan, self.graph[w]
        a, b = (outer, inner) if rows else (inner, outer)
        if node.is_state:
            return f"{plan.place[w]}[{a}][{b}]"
        name = plan.constant(w, node.data(), storage(node.type.elem), "_matrix")
        return f"{name}[{node.type.shape[1]} * {a} + {b}]"

    def reduce(self, i: int, node: Node, k: int, n: int, acc: str, body: list[str]) -> None:
        """y[o] = sum over i < k of what ``body`` adds to ``sum``."""
        plan = self.plan
        ctype = storage(node.type.elem)
        plan.buffer(i, ctype)
        value = "sum" if ctype == acc else f"({ctype})sum"
        inner = [
            f"{acc} sum = 0;",
            f"for (int i = 0; i < {k}; i++) {{",
            *(f"    {line}" for line in body),
            "}",
            f"{plan.element(i, 'o')} = {value};",
        ]
        head = f"for (int o = 0; o < {n}; o++) {{" if n > 1 else "{"
        lines = [head, *(f"    {line}" for line in inner), "}"]
        plan.add_step(f"n{i:04d} {node.op.value}", lines)

    def distance(self, i: int, node: Node) -> None:
        plan, (x, p) = self.plan, node.inputs
        self.bind(x)
        a, b = self.elem(x), self.elem(p)
        frac = max(a.frac, b.frac)
        left = (1 << (frac - a.frac), 1 << (frac - b.frac))
        k, reach = plan.size(x), largest(a) * left[0] + largest(b) * left[1]
        squared = node.attrs["metric"] == "l2"
        acc = "int32_t" if k * (reach * reach if squared else reach) < INT32 else "int64_t"
        point = self.matrix(p, True, "i", _row(plan.size(i)))
        one = f"({acc}){plan.element(x)} * {literal(left[0])}"
        two = f"({acc}){point} * {literal(left[1])}"
        add = "sum += d * d;" if squared else "sum += d < 0 ? -d : d;"
        body = [f"const {acc} d = {one} - {two};", add]
        self.reduce(i, node, k, plan.size(i), acc, body)

    # reductions and tables

    def sumsq(self, i: int, node: Node) -> None:
        (x,) = node.inputs
        self.bind(x)
        acc = register(node.type.elem)
        term = f"({acc}){self.plan.element(x)} * {self.plan.element(x)}"
        self.reduce(i, node, self.plan.size(x), 1, acc, [f"sum += {term};"])

    def least(self, i: int, node: Node) -> None:
        (x,) = node.inputs
        self.bind(x)
        plan, ctype = self.plan, storage(node.type.elem)
        plan.buffer(i, ctype)
        value, wide = plan.element(x), plan.ctype[x]  # the least may have a narrower type
        lines = [
            "{",
            f"    {wide} best = {plan.element(x, '0')};",
            f"    for (int i = 1; i < {plan.size(x)}; i++)",
            f"        if ({value} < best)",
            f"            best = {value};",
            f"    {plan.element(i)} = {'' if wide == ctype else f'({ctype})'}best;",
            "}",
        ]
        plan.add_step(f"n{i:04d} least of n{x:04d}", lines)

    def argmax(self, i: int, node: Node) -> None:
        (x,) = node.inputs
        self.bind(x)
        plan, ctype = self.plan, storage(node.type.elem)
        plan.buffer(i, ctype)
        if plan.size(x) == 1:  # gcc warns of the comparison with itself
            plan.add_step(f"n{i:04d} first maximum of one", [f"{plan.element(i)} = 0;"])
            return
        lines = [
            "int best = 0;",
            f"for (int i = 1; i < {plan.size(x)}; i++)",
            f"    if ({plan.element(x)} > {plan.element(x, 'best')})",
            "        best = i;",
            f"{plan.element(i)} = ({ctype})best;",
        ]
        plan.add_step(
            f"n{i:04d} first maximum of n{x:04d}", ["{", *("    " + s for s in lines), "}"]
        )

    def lookup(self, i: int, node: Node) -> None:
        plan, (index, table) = self.plan, node.inputs
        self.bind(index)
        rows, length = self.graph[table].type.shape
        row = "0" if rows == 1 else "i"
        n, ctype = plan.size(i), storage(node.type.elem)
        plan.buffer(i, ctype)
        value = plan.element(index)
        if self.graph[table].is_state:
            entry = f"{plan.place[table]}[{row}][{value}]"
        else:
            source = self.graph[table].data()
            name = plan.constant(table, source, storage(self.graph[table].type.elem), "_table")
            entry = f"{name}[{value}]" if rows == 1 else f"{name}[{length} * i + {value}]"
        cast = "" if storage(self.graph[table].type.elem) == ctype else f"({ctype})"
        lines = [f"for (int i = 0; i < {n}; i++)", f"    {plan.element(i)} = {cast}{entry};"]
        plan.add_step(f"n{i:04d} table of n{index:04d}: {plan.note(table)}", lines)

    def output(self, i: int, node: Node) -> None:
        output(self.plan, i, node)


def _row(n: int) -> str:
    """The loop variable over ``n`` outputs: none for a single one."""
    return "o" if n > 1 else "0"


def pointwise(plan: Plan, group: list[int]) -> None:
    """One loop for the whole group; each value is a local of 32 or 64 bits."""
    graph, inside = plan.graph, set(group)
    body: list[str] = []
    known: set[int] = set()
    for i in group:
        for j in graph[i].inputs:
            if j not in inside and j not in known:
                known.add(j)
                body.append(_load(plan, j))
        body.append(f"const {register(graph[i].type.elem)} v{i:04d} = {_expression(plan, i)};")
        if not set(graph.users(i)) <= inside:
            plan.buffer(i, storage(graph[i].type.elem))
            body.append(f"{plan.element(i)} = {_cast(plan, i)}v{i:04d};")
    n = plan.size(group[0])
    ops = ", ".join(graph[i].op.value for i in group)
    lines = [f"for (int i = 0; i < {n}; i++) {{", *("    " + line for line in body), "}"]
    plan.add_step(f"n{group[0]:04d}..n{group[-1]:04d} [{n}]: {ops}", lines)


def _load(plan: Plan, j: int) -> str:
    if plan.graph[j].op is Op.CONST and not plan.graph[j].is_state:
        plan.vector(j)
    type_ = register(plan.graph[j].type.elem)
    cast = "" if plan.ctype[j] == type_ else f"({type_})"
    return f"const {type_} v{j:04d} = {cast}{plan.element(j)};"


def _cast(plan: Plan, i: int) -> str:
    return "" if plan.ctype[i] == register(plan.graph[i].type.elem) else f"({plan.ctype[i]})"


def _expression(plan: Plan, i: int) -> str:
    """The value of pointwise node ``i``, computed wide enough for operands and result."""
    node = plan.graph[i]
    args = [f"v{j:04d}" for j in node.inputs]
    out = register(node.type.elem)
    wide = register(node.type.elem, *(plan.graph[j].type.elem for j in node.inputs))
    if node.op is Op.RELU:
        return f"{_narrow(out, wide)}({args[0]} > 0 ? {args[0]} : 0)"
    if node.op is Op.SHIFT:
        return f"({out}){args[0]} * {literal(1 << int(node.attrs['left']))}"
    if node.op is Op.REQUANT:
        return _requant(plan, node, args)
    if node.op is Op.DIV:
        plan.need("divide.h")
        return f"({out})divide_round({args[0]}, {args[1]}, {node.attrs['shift']})"
    sign = {Op.ADD: "+", Op.SUB: "-", Op.MUL: "*"}[node.op]
    return f"{_narrow(out, wide)}(({wide}){args[0]} {sign} ({wide}){args[1]})"


def _narrow(out: str, wide: str) -> str:
    return "" if out == wide else f"({out})"


def _requant(plan: Plan, node: Node, args: list[str]) -> str:
    """Products below 2^31 stay in 32 bits."""
    elem = node.type.elem
    assert isinstance(elem, FixedType)
    x, mul = (plan.graph[j] for j in node.inputs)
    top = int(np.abs(mul.data()).max()) if mul.is_frozen_const else largest(mul.type.elem)
    shift = int(node.attrs["shift"])
    small = largest(x.type.elem) * top + (1 << (shift - 1)) < INT32
    narrow = register(elem, x.type.elem, mul.type.elem) == "int32_t"
    width = 32 if small and narrow else 64
    plan.need("requant.h")
    out = register(elem)
    call = (
        f"requant{width}({args[0]}, {args[1]}, {shift}, {literal(elem.low)}, {literal(elem.high)})"
    )
    return call if out == f"int{width}_t" else f"({out}){call}"


STEPS: Mapping[Op, Callable[[_Integers, int, Node], None]] = {
    Op.MATMUL: _Integers.matmul,
    Op.DISTANCE: _Integers.distance,
    Op.SUMSQ: _Integers.sumsq,
    Op.MIN: _Integers.least,
    Op.ARGMAX: _Integers.argmax,
    Op.LOOKUP: _Integers.lookup,
    Op.OUTPUT: _Integers.output,
}
