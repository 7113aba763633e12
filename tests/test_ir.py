"""The node types: ids, users, constants, dead code."""

from __future__ import annotations

import numpy as np
import pytest

from crystalc.ir import (
    Builder,
    FixedType,
    FloatType,
    Graph,
    Loc,
    Node,
    Op,
    TensorType,
    without_dead_nodes,
)

F32 = FloatType(32)
S8 = FixedType(True, 8, 4)
X = TensorType((2,), F32)
AT = Loc("here")


def chain() -> Graph:
    """input -> relu -> output, with a constant that nobody reads in between."""
    build = Builder("ab")
    x = build.op(Op.INPUT, (), X, AT)
    build.const(np.ones(2), F32, AT)
    y = build.op(Op.RELU, (x,), X, AT)
    build.op(Op.OUTPUT, (y,), X, AT)
    return build.graph()


@pytest.mark.parametrize(
    ("elem", "low", "high", "text"),
    [
        (FixedType(True, 8, 4), -128, 127, "s8q4"),
        (FixedType(False, 8, 0), 0, 255, "u8q0"),
        (FixedType(True, 1, -3), -1, 0, "s1q-3"),
        (FixedType(False, 62, 0), 0, 2**62 - 1, "u62q0"),
    ],
)
def test_fixed_types(elem: FixedType, low: int, high: int, text: str) -> None:
    assert (elem.low, elem.high, str(elem)) == (low, high, text)


def test_types_and_places_print() -> None:
    assert str(TensorType((3, 4), S8)) == "[3, 4] s8q4"
    assert str(TensorType((3,), FloatType(64))) == "[3] f64"
    assert str(Loc("field.values", (417, 3))) == "field.values[417, 3]"
    assert str(Loc("bias")) == "bias"


def test_find_users_input_output() -> None:
    graph = chain()
    assert graph.find(Op.RELU) == [2]
    assert graph.users(0) == [2]
    assert graph.users(1) == []
    assert graph.input is graph[0]
    assert graph.output is graph[3]
    assert not graph.is_fixed


def test_dead_nodes_go_and_the_input_stays() -> None:
    graph = without_dead_nodes(chain())
    assert [n.op for n in graph.nodes] == [Op.INPUT, Op.RELU, Op.OUTPUT]
    assert graph[1].inputs == (0,)
    assert graph[2].inputs == (1,)
    assert graph.source == "ab"
    alone = Graph((graph[0], Node(Op.CONST, (), X, AT, {}, np.ones(2)), graph[2]))
    assert [n.op for n in without_dead_nodes(alone).nodes] == [Op.INPUT, Op.CONST, Op.OUTPUT]


def test_constants_are_copied_and_sealed() -> None:
    build = Builder()
    value = np.array([1, 2], dtype=np.int8)
    node = build.nodes[build.const(value, S8, AT, role="bias")]
    assert node.data().dtype == np.int64
    assert node.attrs == {"role": "bias"}
    assert not node.data().flags.writeable
    value[0] = 9
    assert node.data()[0] == 1


def test_frozen_active_and_mixed_constants() -> None:
    build = Builder()
    masks = (None, np.zeros(2, bool), np.array([False, True]), np.ones(2, bool))
    nodes = [build.nodes[build.const(np.ones(2), F32, AT, mask)] for mask in masks]
    assert [n.is_frozen_const for n in nodes] == [True, True, False, False]
    assert [n.is_state for n in nodes] == [False, False, True, True]
    assert nodes[1].active is None  # no active row is the same as no mask


def test_only_constants_have_data() -> None:
    with pytest.raises(TypeError, match="relu at here has no value"):
        chain()[2].data()


def test_the_callers_array_stays_its_own() -> None:
    build = Builder()
    value = np.ones(2)
    node = build.nodes[build.const(value, F32, AT)]
    value[0] = 5
    assert node.data()[0] == 1
