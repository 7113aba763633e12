"""One broken graph per rule of the verifier, and the sentence it gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_graphs import random_graph

from crystalc.diagnostics import CompileError
from crystalc.ir import (
    Builder,
    Element,
    FixedType,
    FloatType,
    Graph,
    Loc,
    Node,
    Op,
    TensorType,
)
from crystalc.text import parse
from crystalc.verify import ATTRS, INSIDE, OPERANDS, SHAPES, VALUES, check, verify

F32 = FloatType(32)
S8 = FixedType(True, 8, 4)


class Draft:
    """A graph under construction: an input of the given type, constants, ops."""

    def __init__(self, elem: Element, size: int = 4) -> None:
        self.build = Builder()
        self.elem = elem
        self.x = self.build.op(Op.INPUT, (), TensorType((size,), elem), Loc("input"))

    def const(self, value: Any, elem: Element | None = None, **more: Any) -> int:
        return self.build.const(np.array(value), elem or self.elem, Loc("c"), **more)

    def op(
        self, op: Op, *inputs: int, size: int = 4, elem: Element | None = None, **attrs: Any
    ) -> int:
        type_ = TensorType((size,), elem or self.elem)
        return self.build.op(op, inputs, type_, Loc("key"), **attrs)

    def done(self, last: int) -> Graph:
        node = self.build.nodes[last]
        self.build.op(Op.OUTPUT, (last,), node.type, Loc("output"))
        return self.build.graph()


def unary(elem: Element, op: Op, size: int = 4, out: Element | None = None, **attrs: Any) -> Graph:
    draft = Draft(elem)
    return draft.done(draft.op(op, draft.x, size=size, elem=out, **attrs))


def binary(
    op: Op, value: Any, *, elem: Element = F32, of: Element | None = None, size: int = 4,
    out: Element | None = None, **attrs: Any,
) -> Graph:  # fmt: skip
    draft = Draft(elem)
    c = draft.const(value, of)
    return draft.done(draft.op(op, draft.x, c, size=size, elem=out, **attrs))


def constant(node: Callable[[Node], Node], elem: Element = F32) -> Graph:
    """x + c where ``node`` has spoilt the constant."""
    draft = Draft(elem)
    c = draft.const([1, 2, 3, 4])
    draft.build.nodes[c] = node(draft.build.nodes[c])
    wide = elem if elem is F32 else FixedType(True, 12, 4)
    return draft.done(draft.op(Op.ADD, draft.x, c, elem=wide))


def two_inputs() -> Graph:
    draft = Draft(F32)
    draft.op(Op.INPUT)
    return draft.done(draft.x)


def two_outputs() -> Graph:
    draft = Draft(F32)
    draft.op(Op.OUTPUT, draft.x)
    return draft.done(draft.x)


def after_the_output() -> Graph:
    draft = Draft(F32)
    draft.op(Op.OUTPUT, draft.x)
    draft.op(Op.RELU, draft.x)
    return draft.build.graph()


def third_operand() -> Graph:
    draft = Draft(S8)
    p, s = draft.const([[1, 2, 3, 4]]), draft.const([1])
    wide = FixedType(False, 20, 8)
    return draft.done(draft.op(Op.DISTANCE, draft.x, p, s, size=1, elem=wide, metric="l2"))


def scale_rows() -> Graph:
    draft = Draft(F32)
    p, s = draft.const([[1, 2, 3, 4]]), draft.const([1, 2])
    return draft.done(draft.op(Op.DISTANCE, draft.x, p, s, size=1, metric="l2"))


def of_index(index: FixedType, length: int) -> Graph:
    draft = Draft(index)
    table = draft.const(np.zeros((1, length)), S8)
    return draft.done(draft.op(Op.LOOKUP, draft.x, table, elem=S8))


U4 = FixedType(False, 4)
S9 = FixedType(True, 9, 4)
S40 = FixedType(True, 40)
BIG = FixedType(True, 62)
ROW = [1, 2, 3, 4]
SQUARE = np.ones((4, 4))

BROKEN: list[tuple[Graph, str]] = [
    # structure
    (two_inputs(), "error: a graph has one input node, this one has 2"),
    (two_outputs(), "error: a graph has one output node, this one has 2"),
    (after_the_output(), "error: the last node of a graph is its output"),
    (Graph(()), "error: a graph has one input node, this one has 0"),
    (unary(F32, Op.ADD), "error: key: %1 = add has 1 operands"),
    (binary(Op.RELU, ROW), "error: key: %2 = relu has 2 operands"),
    (Draft(F32).done(0), ""),
    # levels
    (unary(S8, Op.EXP), "error: key: %1: exp does not exist in a fixed graph"),
    (unary(F32, Op.SHIFT, left=1), "error: key: %1: shift does not exist in a float graph"),
    (third_operand(), "error: key: %3: distance with scale does not exist in a fixed graph"),
    (unary(F32, Op.RELU, out=S8), "error: key: %1: s8q4 in a float graph"),
    (unary(S8, Op.RELU, out=F32), "error: key: %1: f32 in a fixed graph"),
    (binary(Op.ADD, ROW, elem=S8, of=F32, out=S9), "error: c: %1: f32 in a fixed graph"),
    # attributes
    (binary(Op.DISTANCE, SQUARE), "error: key: %2: distance needs attribute metric (str)"),
    (binary(Op.DISTANCE, SQUARE, metric="l3"),
     "error: key: %2: distance metric must be l2 or l1, not l3"),
    (unary(S8, Op.SHIFT), "error: key: %1: shift needs attribute left (int)"),
    (unary(S8, Op.SHIFT, left=True), "error: key: %1: shift needs attribute left (int)"),
    (unary(S8, Op.SHIFT, left=-1), "error: key: %1: shift left must be 0..61, not -1"),
    (binary(Op.REQUANT, ROW, elem=S8, shift="1"),
     "error: key: %2: requant needs attribute shift (int)"),
    (binary(Op.REQUANT, ROW, elem=S8, shift=0),
     "error: key: %2: requant shift must be 1..61, not 0"),
    (binary(Op.REQUANT, ROW, elem=S8, shift=62),
     "error: key: %2: requant shift must be 1..61, not 62"),
    (binary(Op.DIV, [3], elem=S8), "error: key: %2: div needs attribute shift (int)"),
    (binary(Op.DIV, [3], elem=S8, shift=-1), "error: key: %2: div shift must be 0..61, not -1"),
    # shapes
    (binary(Op.MATMUL, ROW),
     "error: key: %2: matmul needs a vector and a matrix, got (4,) and (4,)"),
    (binary(Op.MATMUL, np.ones((3, 2))), "error: key: %2: matmul of (4,) with (3, 2): 4 is not 3"),
    (binary(Op.MATMUL, np.ones((4, 2)), transposed=True),
     "error: key: %2: matmul of (4,) with (4, 2): 4 is not 2"),
    (binary(Op.MATMUL, np.ones((4, 2)), size=3),
     "error: key: %2: matmul gives (2,), its type says (3,)"),
    (binary(Op.DISTANCE, np.ones((2, 3)), metric="l2"),
     "error: key: %2: distance of (4,) to points (2, 3): dimensions differ"),
    (scale_rows(),
     "error: key: %3: distance to points (1, 4) with scale (2,): one scale per point"),
    (binary(Op.ADD, [1, 2]), "error: key: %2: shapes (4,) and (2,) do not broadcast"),
    (binary(Op.MUL, [1], size=1), "error: key: %2: mul gives (4,), its type says (1,)"),
    (binary(Op.REQUANT, [1, 2], elem=S8, shift=4),
     "error: key: %2: requant of (4,) needs multipliers (4,) or (1,), got (2,)"),
    (binary(Op.LOOKUP, np.zeros((3, 16)), elem=U4, of=S8, out=S8),
     "error: key: %2: lookup of (4,) needs a table of 1 or 4 rows, got (3, 16)"),
    (unary(F32, Op.SUMSQ), "error: key: %1: sumsq gives (1,), its type says (4,)"),
    (unary(F32, Op.SOFTMAX, size=2), "error: key: %1: softmax gives (4,), its type says (2,)"),
    # number formats
    (unary(S8, Op.RELU, out=FixedType(True, 63, 4)),
     "error: key: %1: s63q4 is outside the widths 1..62\n  hint: compile with --arithmetic float"),
    (unary(FixedType(True, 0), Op.RELU), "error: input: %0: s0q0 is outside the widths 1..62\n"
     "  hint: compile with --arithmetic float"),
    (binary(Op.ADD, ROW, elem=S8, of=FixedType(True, 8, 3), out=S9),
     "error: key: %2: add of different binary points: s8q4 and s8q3\n"
     "  hint: insert a shift or a requant"),
    (of_index(FixedType(True, 4), 16),
     "error: key: %2: a table of 16 entries needs an unsigned index of log2 bits, not s4q0"),
    (of_index(U4, 8),
     "error: key: %2: a table of 8 entries needs an unsigned index of log2 bits, not u4q0"),
    # constants
    (constant(lambda n: replace(n, value=np.ones(3))), "error: c: value has shape (3,), type (4,)"),
    (constant(lambda n: replace(n, attrs={"role": "boss"})), "error: c: unknown role 'boss'"),
    (constant(lambda n: replace(n, active=np.ones(3, bool))),
     "error: c: one active flag per row is needed"),
    (constant(lambda n: replace(n, value=np.array([1, np.nan, np.inf, 0]))),
     "error: c[1]: nan is not finite (and 1 more)"),
    (constant(lambda n: replace(n, value=np.array([0, 1, 300, 2])), S8),
     "error: c[2]: 300 does not fit s8q4 [-128, 127]"),
    (constant(lambda n: replace(n, value=np.array([-129, 1, 128, 2])), S8),
     "error: c[0]: -129 does not fit s8q4 [-128, 127] (and 1 more)"),
    # ranges
    (binary(Op.ADD, ROW, elem=S8), "error: key: %2: add reaches -127..131, beyond s8q4"),
    (binary(Op.SUB, ROW, elem=FixedType(False, 8), out=FixedType(False, 9)),
     "error: key: %2: sub reaches -4..254, beyond u9q0"),
    (unary(FixedType(False, 8), Op.RELU, out=FixedType(False, 7)),
     "error: key: %1: relu reaches 0..255, beyond u7q0"),
    (binary(Op.REQUANT, [2**22 - 1], elem=S40, of=FixedType(True, 24), out=S8, shift=8), ""),
    (binary(Op.REQUANT, [-2**23], elem=S40, of=FixedType(True, 24), out=S8, shift=8),
     "error: key: %2: requant leaves 62 bits inside"),
    (binary(Op.DIV, [1], elem=S40, out=BIG, shift=22),
     "error: key: %2: div leaves 62 bits inside"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "message"), BROKEN, ids=[m[7:40] or "valid" for _, m in BROKEN])
def test_every_rule(graph: Graph, message: str) -> None:
    found = verify(graph)
    assert (str(found[0]) if found else "") == message


def test_a_value_is_defined_before_it_is_read() -> None:
    draft = Draft(F32)
    graph = draft.done(draft.op(Op.RELU, 2))
    assert str(verify(graph)[0]) == "error: key: %1 reads %2, which is not defined before it"
    draft = Draft(F32)
    graph = draft.done(draft.op(Op.RELU, 1))
    assert str(verify(graph)[0]) == "error: key: %1 reads %1, which is not defined before it"
    draft = Draft(F32)
    graph = draft.done(draft.op(Op.RELU, -1))
    assert "reads %-1" in str(verify(graph)[-1])


def test_all_violations_come_at_once() -> None:
    draft = Draft(S8)
    a = draft.op(Op.SHIFT, draft.x, left=-1)
    b = draft.op(Op.SHIFT, a, left=99)
    graph = draft.done(b)
    assert len(verify(graph)) == 2
    with pytest.raises(CompileError) as caught:
        check(graph)
    assert len(caught.value.diagnostics) == 2


def test_check_returns_a_valid_graph_itself() -> None:
    graph = Draft(F32).done(0)
    assert check(graph) is graph


def test_every_op_has_its_rules() -> None:
    structure = {Op.INPUT, Op.CONST}
    assert set(OPERANDS) == set(Op)
    assert set(SHAPES) == set(Op) - structure
    assert {(op, key) for op, keys in ATTRS.items() for key in keys} <= set(VALUES)
    assert set(INSIDE) == {Op.REQUANT, Op.DIV}


def test_random_graphs_are_valid() -> None:
    for seed in range(100):
        graph = random_graph(np.random.default_rng(seed))
        assert not verify(graph), seed


def test_names_of_a_model_are_printed_harmlessly() -> None:
    text = (
        'graph source="" {\n  %0 = input : [1] f32  @"input"\n'
        '  %1 = add(%0) : [1] f32  @"\\u001b[31m\\n\\u202e"\n  %2 = output(%1) : [1] f32  @"o"\n}'
    )
    assert str(verify(parse(text))[0]) == "error: \\x1b[31m\\n\\u202e: %1 = add has 1 operands"
