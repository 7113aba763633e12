"""The fixed form of one geometric field: distance -> table or clamp -> weighted sum.

    D_n   = distance(x, p_n)                                 exact
    i_n   = requant(D_n - low_n, slope_n)                    index, saturating
    w_n   = table_n[i_n]                                     kernel / step_n
    acc_k = sum_n w_n V_nk,  V_nk = values_nk * step_n / scale_k

``low_n`` and the index range are the distances that neuron n meets in the calibration samples,
less the tail where its kernel no longer moves by half a step. ``step_n`` lets a neuron use its
weight's range and its values' range alike, however small exp(-d) is at its distances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.interpret import FLOAT
from crystalc.ir import FixedType, Graph, Loc, Node, Op, TensorType
from crystalc.passes.calibrate import (
    covering_type,
    multipliers,
    power_below,
    round_half_up,
    row_scale,
    shifts,
    to_fixed,
)
from crystalc.passes.rows import Field
from crystalc.passes.sized import SizedBuilder
from crystalc.ranges import smallest_type

Array = NDArray[Any]

INDEX_BITS = 8
SOFT_INDEX_BITS = 10
SOFT_BITS = 16
SOFT_RANGE = 8.0
"""exp(-8) is 1/11 of an 8-bit step: farther neurons have weight 0."""

LEAST_REACH = 8
"""Steps that even the faintest neuron's weight may use."""

PROBES = 1025
FAINTEST = 1e-200
"""A kernel that never exceeds this counts as 0."""


@dataclass(frozen=True)
class Pins:
    """The grid of a field that is compiled already, for neurons that shall fit into it.

    ``positions`` and ``table`` (None without one) are types, ``shift`` is that of the REQUANT of
    the distances, ``scale`` the real size of one step of each output's sum.
    """

    positions: FixedType
    table: FixedType | None
    shift: int
    scale: Array


@dataclass(frozen=True)
class _Context:
    build: SizedBuilder
    graph: Graph
    field: Field
    real: list[Array]
    width: int
    active: NDArray[np.bool_]
    power_of_two: bool
    pins: Pins | None

    @property
    def loc(self) -> Loc:
        return self.graph[self.field.distance].loc

    @property
    def n(self) -> int:
        return self.field.neurons

    def const(self, value: Array, role: str, elem: FixedType | None = None) -> int:
        """A per-neuron constant; its type is the narrowest that holds it unless given."""
        fit = elem or smallest_type(int(value.min()), int(value.max()), 0)
        return self.build.const(value, fit, self.loc, self.active, role)


def build(
    builder: SizedBuilder,
    graph: Graph,
    field: Field,
    ids: dict[int, int],
    real: list[Array],
    width: int,
    power_of_two: bool = False,
    pins: Pins | None = None,
) -> tuple[int, Array]:
    """Append the field; returns the accumulator's id and its real scale per output.

    With ``pins`` every neuron is brought onto that grid; nothing says that it fits.
    """
    active = field.active(graph)
    if field.coupled:
        active = np.full(field.neurons, bool(active.any()))
    c = _Context(builder, graph, field, real, width, active, power_of_two, pins)
    distance = _distance(c, ids)
    if any(graph[i].op is Op.SOFTMAX for i in field.chain):
        return _softmax(c, distance)
    if _is_clamp(c):
        w, step = _clamp(c, distance)
    else:
        w, step = _table(c, distance)
    return _join(c, w, step)


def _distance(c: _Context, ids: dict[int, int]) -> int:
    node = c.graph[c.field.distance]
    x = ids[node.inputs[0]]
    points = c.graph[node.inputs[1]].data()
    elem = covering_type(points, c.width)
    elem = replace(elem, frac=min(elem.frac, c.build.frac(x) + c.width))
    if c.pins:
        elem = c.pins.positions
    p = c.const(_points(c, points, elem), "positions", elem)
    squared = 2 if node.attrs["metric"] == "l2" else 1
    frac = squared * max(c.build.frac(x), elem.frac)
    return c.build.sized(Op.DISTANCE, (x, p), c.n, frac, c.loc, **node.attrs)


def _points(c: _Context, points: Array, elem: FixedType) -> Array:
    """Positions as integers; those for a given grid are not clipped, so that a misfit shows."""
    return round_half_up(points * 2.0**elem.frac) if c.pins else to_fixed(points, elem)


def kernel(c: _Context, distance: Array, last: int | None = None) -> Array:
    """The chain of the field as a function of its distance; [batch, N] -> [batch, N]."""
    known: dict[int, Array] = {c.field.distance: distance}
    for i in c.field.chain[1:]:
        node = c.graph[i]
        args = [known[j] if j in known else c.graph[j].data() for j in node.inputs]
        known[i] = FLOAT[node.op](node, *args)
        if i == last:
            break
    return known[c.field.chain[-1] if last is None else last]


def _is_clamp(c: _Context) -> bool:
    """(radius - d) / T under a relu."""
    ops = [c.graph[i].op for i in c.field.chain]
    return ops == [Op.DISTANCE, Op.SUB, Op.DIV, Op.RELU]


def _clamp(c: _Context, distance: int) -> tuple[int, Array]:
    """w = saturate((radius - D) / (T alpha)): no table."""
    _, sub, div, _ = c.field.chain
    radius = c.graph[c.graph[sub].inputs[0]].data()
    temperature = c.graph[c.graph[div].inputs[1]].data()
    peak = c.real[c.field.chain[-1]].max(0)
    peak = np.where(peak > 0, peak, np.maximum(radius / temperature, 1e-6))
    out = FixedType(False, c.width)
    step = _step(c, peak, out)
    frac = c.build.frac(distance)
    bound = 2.0 ** (_bits(c, distance) + 1)
    r = round_half_up(np.clip(radius * 2.0**frac, -bound, bound))
    offset = c.const(r, "radius", smallest_type(int(r.min()), int(r.max()), frac))
    inside = c.build.sized(Op.SUB, (offset, distance), c.n, frac, c.loc)
    slope = 1.0 / (step * temperature) * 2.0**-frac
    if c.power_of_two:
        slope = power_below(slope)
        step = 1.0 / (slope * temperature) * 2.0**-frac
    return _requant(c, inside, slope, "temperature", out), step


def _step(c: _Context, peak: Array, out: FixedType) -> Array:
    """Real weight per integer step, [N], for weights that reach ``peak`` [N].

    A neuron's share of the largest contribution to an output is split evenly between the range
    its weight uses and the range its values use: the rounding error of their product is least
    where both are equally long. Small neurons so keep some digits of each.
    """
    peak = np.where(peak > FAINTEST, peak, 1.0)
    join = c.graph[c.field.joins[0]]
    contribution = peak[:, None] * np.abs(c.graph[join.inputs[1]].data())
    largest = np.maximum(contribution.max(0), FAINTEST)
    share = (contribution / largest).max(1)
    reach = np.maximum(out.high * np.sqrt(share), min(LEAST_REACH, out.high))
    return np.asarray(peak / reach)


def _bits(c: _Context, value: int) -> int:
    elem = c.build.nodes[value].type.elem
    assert isinstance(elem, FixedType)
    return elem.width


def _requant(c: _Context, x: int, ratio: Array, role: str, out: FixedType) -> int:
    m, shift = (shifts if c.power_of_two else multipliers)(ratio, _bits(c, x))
    if c.pins:
        shift = c.pins.shift
        m = round_half_up(ratio * 2.0**shift)
    mul = c.const(m, role)
    return c.build.op(Op.REQUANT, (x, mul), TensorType((c.n,), out), c.loc, shift=shift)


def _table(c: _Context, distance: int) -> tuple[int, Array]:
    low, high = _whole_steps(c, distance, *_index_range(c), INDEX_BITS)
    index = _index(c, distance, low, high, INDEX_BITS)
    f = kernel(c, _centres(low, high, INDEX_BITS))
    out = FixedType(bool(f.min() < 0), c.width)
    if c.pins and c.pins.table:
        out = c.pins.table
    step = _step(c, np.abs(f).max(0), out)
    table = c.const(round_half_up(f / step).T, "table", out)
    w = c.build.op(Op.LOOKUP, (index, table), TensorType((c.n,), out), c.loc)
    return w, step


def _index_range(c: _Context) -> tuple[Array, Array]:
    """Distances per neuron where the kernel moves, within those met in calibration."""
    low, high = _met(c)
    probe = low + np.linspace(0, 1, PROBES)[:, None] * (high - low)
    f = kernel(c, probe)
    still = np.abs(f - f[-1]) <= 0.5 / (1 << c.width) * np.abs(f).max(0)
    tail = np.logical_and.accumulate(still[::-1])[::-1]
    first = np.where(tail.any(0), tail.argmax(0), PROBES - 1)
    return low, probe[np.maximum(first, 1), np.arange(c.n)]


def _met(c: _Context) -> tuple[Array, Array]:
    """Least and largest distance of each neuron on the samples, never equal."""
    d = c.real[c.field.distance]
    low = d.min(0)
    return low, np.maximum(d.max(0), low + np.maximum(1e-6, 1e-3 * np.abs(low)))


def _whole_steps(
    c: _Context, distance: int, low: Array, high: Array, bits: int
) -> tuple[Array, Array]:
    """The range, made longer where an entry must stand for a power of two of distance units."""
    if not c.power_of_two:
        return low, high
    slope = power_below(_slope(c, distance, low, high, bits))
    return low, low + ((1 << bits) - 1) / slope * 2.0 ** -c.build.frac(distance)


def _slope(c: _Context, distance: int, low: Array, high: Array, bits: int) -> Array:
    """Table entries per unit of the integer distance."""
    return np.asarray(((1 << bits) - 1) / (high - low) * 2.0 ** -c.build.frac(distance))


def _centres(low: Array, high: Array, bits: int) -> Array:
    """The distance each table entry stands for, [2**bits, N]."""
    steps = np.arange(1 << bits)[:, None] / ((1 << bits) - 1)
    return np.asarray(low + steps * (high - low))


def _index(c: _Context, distance: int, low: Array, high: Array, bits: int) -> int:
    frac = c.build.frac(distance)
    q = round_half_up(low * 2.0**frac)
    offset = c.const(q, "offset", smallest_type(int(q.min()), int(q.max()), frac))
    above = c.build.sized(Op.SUB, (distance, offset), c.n, frac, c.loc)
    slope = _slope(c, distance, low, high, bits)
    if c.power_of_two:
        slope = np.exp2(np.round(np.log2(slope)))  # high - low has rounded
    return _requant(c, above, slope, "scale", FixedType(False, bits))


def _join(c: _Context, w: int, step: Array) -> tuple[int, Array]:
    """Weighted sum with ``step`` absorbed by the values; one scale per output."""
    join = c.graph[c.field.joins[0]]
    scaled = c.graph[join.inputs[1]].data() * step[:, None]
    scale = c.pins.scale if c.pins else row_scale(scaled, 0, c.width, c.power_of_two)
    elem = FixedType(True, c.width)
    values = c.const(round_half_up(scaled / scale), "values", elem)
    return c.build.sized(Op.MATMUL, (w, values), scaled.shape[1], 0, c.loc), scale


def _softmax(c: _Context, distance: int) -> tuple[int, Array]:
    """Normalised weights: a table of -z, less its minimum, then one shared table of exp."""
    softmax = next(i for i in c.field.chain if c.graph[i].op is Op.SOFTMAX)
    z = c.graph[softmax].inputs[0]
    low, high = _whole_steps(c, distance, *_met(c), SOFT_INDEX_BITS)
    index = _index(c, distance, low, high, SOFT_INDEX_BITS)
    cost = -kernel(c, _centres(low, high, SOFT_INDEX_BITS), last=z)
    frac = SOFT_BITS - int(np.ceil(np.log2(max(1.0, float(cost.max())))))
    out = FixedType(False, SOFT_BITS, min(frac, SOFT_BITS - 4))
    if c.pins and c.pins.table:
        out = c.pins.table
    table = c.const(to_fixed(cost, out).T, "table", out)
    near = c.build.op(Op.LOOKUP, (index, table), TensorType((c.n,), out), c.loc)
    least = c.build.sized(Op.MIN, (near,), 1, out.frac, c.loc)
    above = c.build.sized(Op.SUB, (near, least), c.n, out.frac, c.loc)
    return _normalise(c, _exp(c, above))


def _exp(c: _Context, above: int) -> int:
    """exp(-a) of a >= 0 as ``width`` bits, by one table that every neuron shares.

    Role "other": where there is one neuron, its row must not pass for that neuron's.
    """
    bits = FixedType(False, INDEX_BITS)
    step = SOFT_RANGE / (bits.high + int(c.power_of_two))
    ratio = np.array([2.0 ** -c.build.frac(above) / step])
    m, shift = (shifts if c.power_of_two else multipliers)(ratio, _bits(c, above))
    mul = c.build.const(m, smallest_type(0, int(m.max()), 0), c.loc, role="other")
    shape = TensorType((c.n,), bits)
    index = c.build.op(Op.REQUANT, (above, mul), shape, c.loc, shift=shift)
    out = FixedType(False, c.width)
    table = round_half_up(np.exp(-np.arange(1 << INDEX_BITS) * step) * out.high)
    shared = c.build.const(table[None, :], out, c.loc, role="other")
    return c.build.op(Op.LOOKUP, (index, shared), TensorType((c.n,), out), c.loc)


def _normalise(c: _Context, w: int) -> tuple[int, Array]:
    """sum_n w_n V_n / sum_n w_n, with the quotient's fraction in its type."""
    acc, scale = _join(c, w, np.ones(c.n))
    ones = c.build.const(np.ones((c.n, 1)), FixedType(False, 1), c.loc, role="other")
    total = c.build.sized(Op.MATMUL, (w, ones), 1, 0, c.loc)
    frac = c.width
    quotient = Node(
        Op.DIV,
        (acc, total),
        TensorType(scale.shape, FixedType(True, 62, frac)),
        c.loc,
        {"shift": frac},
    )
    return c.build.add(c.build.narrowed(quotient)), scale
