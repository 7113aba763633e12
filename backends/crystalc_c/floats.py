"""Lowering of a float graph: matrix kernels, and fused loops over lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crystalc.ir import ELEMENTWISE, FixedType, Node, Op
from crystalc_c.constants import panel
from crystalc_c.numbers import storage
from crystalc_c.plan import Plan, as_columns, bias_of
from crystalc_c.walk import Walk

OPS = ELEMENTWISE | {
    Op.INPUT, Op.CONST, Op.OUTPUT, Op.MATMUL, Op.DISTANCE, Op.SUMSQ, Op.SOFTMAX, Op.ARGMAX,
}  # fmt: skip

BINARY = {Op.ADD: "vadd", Op.SUB: "vsub", Op.MUL: "vmul", Op.DIV: "vdiv"}
UNARY = {Op.SQRT: "vsqrt", Op.EXP: "vexp", Op.RELU: "vrelu", Op.GELU: "vgelu"}
PARTS: Mapping[Op, tuple[str, ...]] = {Op.EXP: ("exp.h",), Op.GELU: ("exp.h", "gelu.h")}


def lower(plan: Plan) -> None:
    """Fill ``plan`` from its float graph."""
    _Floats(plan).run()


class _Floats(Walk):
    """Elementwise nodes become loops over lanes."""

    gathered = ELEMENTWISE

    def step(self, i: int, node: Node) -> None:
        STEPS[node.op](self, i, node)

    def loop(self, group: list[int]) -> None:
        elementwise(self.plan, group)

    def readable(self, i: int) -> None:
        """Whole vectors of value ``i`` may be loaded: copy the input, bind a constant."""
        readable(self.plan, i)

    def matmul(self, i: int, node: Node) -> None:
        weight = self.graph[node.inputs[1]]
        if weight.is_state:
            self.rows(i, node)
            return
        bias = bias_of(self.graph, i)
        target, start = (i, "0") if bias is None else (bias[0], self.bias(bias[1]))
        if bias is not None:
            self.fused.add(bias[0])
        s8 = isinstance(weight.type.elem, FixedType)
        self.panel_call("matmul_s8" if s8 else "matmul_f32", target, node, start)

    def bias(self, i: int) -> str:
        self.readable(i)
        return self.plan.place[i]

    def panel_call(self, kernel: str, target: int, node: Node, start: str) -> None:
        """``target`` = kernel(x, weights) + start, lanes over outputs."""
        plan, (x, w) = self.plan, node.inputs[:2]
        if self.graph[x].op is Op.CONST:
            self.readable(x)
        columns = as_columns(node, self.graph[w])
        k, n = columns.shape[0], plan.padded(columns.shape[1])
        name = plan.constant(
            w, panel(columns, plan.padded(1)), storage(self.graph[w].type.elem), "_panel"
        )
        y = plan.buffer(target, "float")
        first = self.graph[x].op is Op.INPUT
        call = plan.kernel_call(
            kernel, (plan.place[x], plan.stride(x)), (name, start, y), (k, n), first
        )
        plan.add_step(f"n{target:04d} {node.op.value}: {plan.note(w)}", [call], tiled=True)

    def distance(self, i: int, node: Node) -> None:
        p = node.inputs[1]
        metric = str(node.attrs["metric"])
        if self.graph[p].is_state:
            self.rows(i, node)
        elif len(node.inputs) == 3:
            self.scaled_distance(i, node)
        else:
            self.panel_call(f"{metric}_f32", i, node, "0")

    def scaled_distance(self, i: int, node: Node) -> None:
        """Positions q * scale with int8 q."""
        plan, (x, p, scale) = self.plan, node.inputs
        columns = as_columns(node, self.graph[p])
        name = plan.constant(p, panel(columns, plan.padded(1)), "int8_t", "_panel")
        self.readable(scale)
        plan.buffer(i, "float")
        plan.need("lanes_s8.h", "distance_s8.h")
        call = (
            f"{node.attrs['metric']}_s8({plan.at(x)}, {name}, {plan.place[scale]}, {plan.at(i)}, "
            f"{len(columns)}, {plan.padded(plan.size(i))});"
        )
        plan.add_step(f"n{i:04d} distance: {plan.note(p)}", [call])

    def rows(self, i: int, node: Node) -> None:
        """Against the caller's state, whose rows keep their natural order."""
        plan, (x, w) = self.plan, node.inputs[:2]
        if self.graph[x].op is Op.CONST:
            self.readable(x)
        plan.need("rows_f32.h")
        n, k = plan.size(i), plan.size(x)
        plan.buffer(i, "float")
        metric = f"row_{node.attrs['metric']}" if node.op is Op.DISTANCE else "row_dot"
        y = plan.element(i)
        loop = f"for (int i = 0; i < {n}; i++)"
        if node.op is Op.DISTANCE or node.attrs.get("transposed"):
            lines = [loop, f"    {y} = {metric}({plan.at(x)}, {plan.place[w]}[i], {k});"]
        else:
            add = f"row_add({plan.at(i)}, {plan.element(x)}, {plan.place[w]}[i], {n});"
            lines = [loop, f"    {y} = 0.0f;", f"for (int i = 0; i < {k}; i++)", f"    {add}"]
        plan.add_step(f"n{i:04d} {node.op.value}: active {plan.note(w)}", lines)

    def sumsq(self, i: int, node: Node) -> None:
        (x,) = node.inputs
        if self.graph[x].op is Op.CONST:
            self.readable(x)
        self.plan.need("sumsq.h")
        self.plan.buffer(i, "float")
        line = f"{self.plan.element(i)} = sumsq({self.plan.at(x)}, {self.plan.size(x)});"
        self.plan.add_step(f"n{i:04d} sum of squares of n{x:04d}", [line])

    def softmax(self, i: int, node: Node) -> None:
        (x,) = node.inputs
        self.readable(x)
        self.plan.need("exp.h", "softmax.h")
        self.plan.buffer(i, "float")
        line = f"softmax({self.plan.at(x)}, {self.plan.at(i)}, {self.plan.size(x)});"
        self.plan.add_step(f"n{i:04d} softmax of n{x:04d}", [line])

    def argmax(self, i: int, node: Node) -> None:
        (x,) = node.inputs
        if self.graph[x].op is Op.CONST:
            self.readable(x)
        self.plan.need("argmax.h")
        ctype = storage(node.type.elem)
        self.plan.buffer(i, ctype)
        line = f"{self.plan.element(i)} = ({ctype})argmax({self.plan.at(x)}, {self.plan.size(x)});"
        self.plan.add_step(f"n{i:04d} argmax of n{x:04d}", [line])

    def output(self, i: int, node: Node) -> None:
        output(self.plan, i, node)


def readable(plan: Plan, i: int) -> None:
    """Bind a constant; copy an input that whole vectors of lanes would overrun."""
    node = plan.graph[i]
    if node.op is Op.CONST and not node.is_state:
        plan.vector(i)
    elif plan.place[i] == "in" and plan.padded(plan.size(i), plan.ctype[i]) != plan.size(i):
        source = plan.element(i)
        plan.buffer(i, plan.ctype[i])
        line = f"    {plan.element(i)} = {source};"
        plan.add_step(
            "input with room for whole vectors", [f"for (int i = 0; i < {plan.size(i)}; i++)", line]
        )


def output(plan: Plan, i: int, node: Node) -> None:
    """Copy the result to the caller's memory."""
    (x,) = node.inputs
    if plan.graph[x].op is Op.CONST and not plan.graph[x].is_state:
        plan.vector(x)
    n, ctype = plan.size(i), storage(node.type.elem)
    target = f"out[{n} * t + i]" if plan.simd else "out[i]"
    value = plan.element(x)
    cast = value if plan.ctype[x] == ctype else f"({ctype}){value}"
    plan.ctype[i] = ctype
    plan.add_step("output", [f"for (int i = 0; i < {n}; i++)", f"    {target} = {cast};"])


def elementwise(plan: Plan, group: list[int]) -> None:
    """One loop over lanes for the whole group; only values that others read are stored."""
    graph, inside = plan.graph, set(group)
    outer: list[str] = []
    body: list[str] = []
    known: set[str] = set()
    for i in group:
        args = [
            f"v{j:04d}" if j in inside else _operand(plan, j, known, outer, body)
            for j in graph[i].inputs
        ]
        op = graph[i].op
        plan.need(*PARTS.get(op, ()))
        body.append(f"const vf v{i:04d} = {UNARY.get(op) or BINARY[op]}({', '.join(args)});")
        if not set(graph.users(i)) <= inside:
            plan.buffer(i, "float")
            body.append(f"vstore({plan.at(i)} + i, v{i:04d});")
    n = plan.size(group[0])
    ops = ", ".join(graph[i].op.value for i in group)
    loop = f"for (int i = 0; i < {plan.padded(n)}; i += LANES) {{"
    lines = [*outer, loop, *("    " + b for b in body), "}"]
    if outer and not plan.simd:  # the names of these locals are used again by later loops
        lines = ["{", *("    " + line for line in lines), "}"]
    plan.add_step(f"n{group[0]:04d}..n{group[-1]:04d} [{n}]: {ops}", lines)


def _operand(plan: Plan, j: int, known: set[str], outer: list[str], body: list[str]) -> str:
    """The name of operand ``j``, loaded at its first use."""
    name = f"v{j:04d}"
    if name in known:
        return name
    known.add(name)
    if plan.size(j) > 1 or plan.graph[j].op is Op.CONST:
        readable(plan, j)
    if plan.size(j) == 1:
        outer.append(f"const vf {name} = vset1({plan.element(j)});")
    else:
        body.append(f"const vf {name} = vload({plan.at(j)} + i);")
    return name


STEPS: Mapping[Op, Callable[[_Floats, int, Node], None]] = {
    Op.MATMUL: _Floats.matmul,
    Op.DISTANCE: _Floats.distance,
    Op.SUMSQ: _Floats.sumsq,
    Op.SOFTMAX: _Floats.softmax,
    Op.ARGMAX: _Floats.argmax,
    Op.OUTPUT: _Floats.output,
}
