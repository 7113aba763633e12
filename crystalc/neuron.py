"""A neuron's real parameters as the integers that a compiled artefact keeps for it.

The artefact's own fixed graph says on which grid its active neurons lie: types, shifts and the
size of one step of each output. A retrained neuron is brought onto that grid with the formulas of
``quantize``, so that an unchanged neuron gives the integers that are there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError, Diagnostic, refuse
from crystalc.frontend.lower import lower
from crystalc.interpret import values
from crystalc.ir import FixedType, Graph, Loc, Node, Op
from crystalc.passes import quantize_field
from crystalc.passes.fold import Fold
from crystalc.passes.rows import fields
from crystalc.passes.sized import SizedBuilder
from crystalc.vectors import samples_of

Array = NDArray[Any]

AGAIN = "compile the model again"


def converted(
    graph: Graph, checkpoint: Checkpoint, neuron: int, width: int, power_of_two: bool
) -> dict[int, Array]:
    """New integers of one row of each active constant of ``graph``, by node.

    ``neuron`` of ``checkpoint`` gives the real numbers; its samples show which distances it
    meets. Raises CompileError, located, for what does not fit.
    """
    active = _active(graph)
    float_graph = Fold().run(lower(checkpoint))
    found = fields(float_graph)
    if len(found) != 1:
        raise refuse("only a model of one field has neurons to convert", "config")
    field = found[0]
    distance = _reader(graph, active["positions"], Op.DISTANCE)
    source, point = graph[distance.inputs[0]], float_graph[float_graph[field.distance].inputs[1]]
    _same_shape(graph, active["positions"], point)
    build = SizedBuilder()
    read = float_graph[field.distance].inputs[0]
    ids = {read: build.op(Op.INPUT, (), source.type, Loc("input"))}
    real = values(float_graph, samples_of(checkpoint))
    pins = _pins(graph, active)
    quantize_field.build(build, float_graph, field, ids, real, width, power_of_two, pins)
    made = {str(n.attrs["role"]): n.data() for n in build.nodes if n.op is Op.CONST}
    numbers = {i: made[role][neuron] for role, i in active.items()}
    _fit(graph, active, numbers, neuron)
    return {i: np.asarray(v).reshape(-1) for i, v in numbers.items()}


def _active(graph: Graph) -> dict[str, int]:
    """Active constants by role."""
    found = {str(node.attrs["role"]): i for i, node in graph if node.is_state}
    if "positions" not in found or "values" not in found:
        raise refuse("the artefact has no active neurons")
    return found


def _reader(graph: Graph, const: int, op: Op) -> Node:
    """The node of this op that reads a constant."""
    for user in graph.users(const):
        if graph[user].op is op:
            return graph[user]
    raise refuse(f"no '{op.value}' reads the active neurons", hint=AGAIN)


def _same_shape(graph: Graph, positions: int, point: Node) -> None:
    size, other = (int(n.type.shape[1]) for n in (graph[positions], point))
    if size != other:
        text = f"{other} coordinates, the artefact's neurons have {size}"
        raise refuse(text, "field.positions")


def _pins(graph: Graph, active: Mapping[str, int]) -> quantize_field.Pins:
    slope = active.get("temperature", active.get("scale"))
    if slope is None:
        raise refuse("the active neurons have no slope that may be rewritten", hint=AGAIN)
    table = graph[active["table"]].type.elem if "table" in active else None
    return quantize_field.Pins(
        positions=_fixed(graph[active["positions"]]),
        table=table if isinstance(table, FixedType) else None,
        shift=int(_reader(graph, slope, Op.REQUANT).attrs["shift"]),
        scale=_step_of_outputs(graph, active["values"]),
    )


def _step_of_outputs(graph: Graph, weights: int) -> Array:
    """What one step of the weighted sums is worth, [O]: the REQUANT after them says it."""
    i = graph.users(weights)[0]
    while graph[i].op is not Op.REQUANT:
        users = graph.users(i)
        if len(users) != 1 or graph[i].op not in (Op.MATMUL, Op.ADD, Op.DIV):
            raise refuse("the sum over neurons is not rescaled in one place", hint=AGAIN)
        i = users[0]
    operand, factor = (graph[j] for j in graph[i].inputs)
    binary = _fixed(operand).frac - _fixed(graph[i]).frac - int(graph[i].attrs["shift"])
    size = graph[i].type.shape[0]
    return np.broadcast_to(factor.data() * 2.0**binary, (size,)).astype(np.float64)


def _fit(
    graph: Graph, active: Mapping[str, int], numbers: Mapping[int, Array], neuron: int
) -> None:
    """Raise for every number that its type in the artefact does not hold."""
    wrong = []
    for role, i in active.items():
        elem, value = _fixed(graph[i]), np.asarray(numbers[i])
        bad = np.argwhere((value < elem.low) | (value > elem.high))
        if len(bad):
            at = tuple(int(k) for k in bad[0])
            text = f"{int(value[at])} does not fit {elem} [{elem.low}, {elem.high}]"
            wrong.append(Diagnostic(text, Loc(f"field.{role}", (neuron, *at)), AGAIN))
    if wrong:
        raise CompileError(*wrong)


def _fixed(node: Node) -> FixedType:
    assert isinstance(node.type.elem, FixedType)
    return node.type.elem
