"""The textual form: printed graphs read back, damaged ones are refused in one sentence."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import random_graph

from crystalc.diagnostics import CompileError
from crystalc.ir import Builder, FixedType, FloatType, Graph, Loc, Op, TensorType
from crystalc.text import constants, digest, element, parse, render

SEEDS = st.integers(0, 2**32)


def same(a: Graph, b: Graph) -> bool:
    """Every field of every node, bit by bit."""
    return a.source == b.source and all(
        (m.op, m.inputs, m.type, m.loc, dict(m.attrs))
        == (n.op, n.inputs, n.type, n.loc, dict(n.attrs))
        and np.array_equal(m.value, n.value)  # type: ignore[arg-type]
        and np.array_equal(m.active, n.active)  # type: ignore[arg-type]
        for m, n in zip(a.nodes, b.nodes, strict=True)
    )


@given(SEEDS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_graphs_read_back(seed: int) -> None:
    graph = random_graph(np.random.default_rng(seed))
    again = parse(render(graph), constants(graph))
    assert same(graph, again)
    assert str(again) == str(graph)


@given(st.text(max_size=40), st.lists(st.integers(0, 2**40), max_size=3))
@settings(deadline=None, derandomize=True)
def test_any_key_reads_back(key: str, index: list[int]) -> None:
    graph = small(Loc(key, tuple(index)))
    assert same(graph, parse(str(graph)))
    assert str(graph).isascii()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=16))
@settings(deadline=None, derandomize=True)
def test_inline_numbers_read_back(numbers: list[float]) -> None:
    build = Builder()
    build.op(Op.INPUT, (), TensorType((1,), FloatType()), Loc("input"))
    build.const(np.array(numbers), FloatType(), Loc("c"))
    got = parse(str(build.graph()))[1].data()
    assert got.tobytes() == np.array(numbers).tobytes()


def small(loc: Loc) -> Graph:
    build = Builder("c0ffee")
    x = build.op(Op.INPUT, (), TensorType((2,), FixedType(True, 8, 4)), Loc("input"))
    mask = np.array([False, True])
    c = build.const(np.array([3, -4]), FixedType(True, 8, 4), loc, mask, "bias")
    y = build.op(Op.ADD, (x, c), TensorType((2,), FixedType(True, 9, 4)), loc)
    build.op(Op.OUTPUT, (y,), TensorType((2,), FixedType(True, 9, 4)), Loc("output"))
    return build.graph()


TEXT = """\
graph source="c0ffee" {
  %0 = input : [2] s8q4  @"input"
  %1 = const {"role": "bias"} : [2] s8q4 = [3, -4] active=01  @"a \\"key\\""[7, 1]
  %2 = add(%0, %1) : [2] s9q4  @"a \\"key\\""[7, 1]
  %3 = output(%2) : [2] s9q4  @"output"
}
"""


def test_the_form_itself() -> None:
    assert str(small(Loc('a "key"', (7, 1)))) == TEXT


def test_large_constants_stand_in_the_side_table() -> None:
    build = Builder()
    build.op(Op.INPUT, (), TensorType((1,), FloatType()), Loc("input"))
    build.const(np.arange(17.0), FloatType(), Loc("c"))
    build.const(np.arange(16.0), FloatType(), Loc("c"))
    graph = build.graph()
    assert list(constants(graph)) == [digest(np.arange(17.0))]
    assert f"= #{digest(np.arange(17.0))}  @" in str(graph)
    with pytest.raises(CompileError, match="is not in the side table"):
        parse(str(graph))


def test_a_digest_knows_shape_and_contents() -> None:
    a = np.arange(6.0)
    assert digest(a) != digest(a.reshape(2, 3))
    assert digest(a) != digest(a + 1)
    assert digest(a) == digest(a.astype(">f8"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("graph source", "grahp source", "error: not a graph: it starts with"),
        ("\n}\n", "\n", "error: not a graph: it starts with"),
        ("%2 = add", "%2 = plus", "error: line 4 of the graph: unknown op 'plus'"),
        ("%2 = add", "%7 = add", "error: line 4 of the graph does not read: %7 = add"),
        ("[2] s9q4", "[2] x9q4", "error: line 4 of the graph does not read: %2 = add"),
        ("[2] s8q4 =", "[2] s8 =", "error: line 3 of the graph does not read: %1 = const"),
        ("= [3, -4]", "= [3]", "error: line 3 of the graph does not read: cannot reshape"),
        ("= [3, -4]", "= [3, ]", "error: line 3 of the graph does not read: "),
        ('{"role": "bias"}', "{role}", "error: line 3 of the graph does not read: "),
    ],
)
def test_damaged_text_is_refused(old: str, new: str, message: str) -> None:
    assert TEXT.count(old)
    with pytest.raises(CompileError) as caught:
        parse(TEXT.replace(old, new, 1))
    assert str(caught.value).startswith(message)


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_one_wrong_character_never_gives_a_traceback(at: int, new: str) -> None:
    with suppress(CompileError):
        parse(TEXT[:at] + new + TEXT[at + 1 :])


def test_elements() -> None:
    assert element("f64") == FloatType(64)
    assert element("u12q-3") == FixedType(False, 12, -3)
    assert element("s8q4") == FixedType(True, 8, 4)
