"""Integer networks of known accuracy on the 8x8 digits, as fixed graphs: what every tool gets.

Trained with rounding in the loop (straight through), so that the integers are the network:
64 inputs of 5 bits, 10 raw sums out, 1347 training and 450 test samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph, Loc, Op, TensorType
from crystalc.passes.sized import SizedBuilder
from crystalc.ranges import smallest_type

Array = NDArray[Any]

NEURONS, CLASSES, PIXEL = 32, 10, FixedType(False, 5)
WEIGHT_BITS, VALUE_BITS, INDEX_BITS, INDEX_SHIFT = 6, 6, 7, 5
GAIN = 4.0


@dataclass(frozen=True)
class Digits:
    """Integer pixels [n, 64] of 0..16 and classes [n]."""

    x: Array
    y: Array
    test_x: Array
    test_y: Array


def digits() -> Digits:
    """The split that the peers' numbers are given for."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    x, tx, y, ty = train_test_split(
        data.data, data.target, test_size=0.25, random_state=0, stratify=data.target
    )
    return Digits(x.astype(np.int64), y, tx.astype(np.int64), ty)


def accuracy(graph: Graph, data: Digits) -> float:
    """Share of the test samples whose largest output is the right one."""
    found = interpret(graph, inputs(graph, data)).argmax(-1)
    return float((found == data.test_y).mean())


def inputs(graph: Graph, data: Digits) -> Array:
    """The test samples as ``graph`` takes them: 16 is 15 for an input of four bits."""
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    return np.minimum(data.test_x, elem.high)


def rounded(x: Tensor) -> Tensor:
    """round(x) whose gradient is that of x."""
    return x + (torch.floor(x + 0.5) - x).detach()


def crystal(data: Digits, neurons: int = NEURONS, seed: int = 0) -> Graph:
    """64 -> 32 points with an exponential of the distance -> 10. A table per neuron."""
    from sklearn.cluster import KMeans

    torch.manual_seed(seed)
    centres = KMeans(neurons, n_init=3, random_state=seed).fit(data.x).cluster_centers_
    points = torch.nn.Parameter(torch.tensor(centres, dtype=torch.float32))
    width = torch.nn.Parameter(torch.full((neurons,), 4.4))
    values = torch.nn.Parameter(torch.zeros(neurons, CLASSES))
    groups = [(points, 0.05), (width, 0.02), (values, 0.05)]

    def logits(x: Tensor) -> Tensor:
        apart = x[:, None] - rounded(points).clamp(0, 16)
        distance = (apart.square().sum(-1) + 1e-6).sqrt()
        return torch.exp((11.0 - distance) / (width.abs() + 0.1)) @ values

    train(logits, groups, data, epochs=150)
    p, t, v = (a.detach().double().numpy() for a in (points, width, values))
    return field_graph(np.clip(np.floor(p + 0.5), 0, 16).astype(int), np.abs(t) + 0.1, v, data.x)


def train(
    logits: Callable[[Tensor], Tensor],
    groups: list[tuple[Tensor, float]],
    data: Digits,
    epochs: int,
) -> None:
    """Adam with a cosine of ``epochs``, batches of 64."""
    torch.set_num_threads(1)
    adam = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in groups])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    x, y = torch.tensor(data.x, dtype=torch.float32), torch.tensor(data.y)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            loss = torch.nn.functional.cross_entropy(GAIN * logits(x[part]), y[part])
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        cosine.step()


def field_graph(points: Array, width: Array, values: Array, x: Array) -> Graph:
    """Tables over d^2, rescaled so that each neuron's largest weight on ``x`` is all ones."""
    squared = np.square(x[:, None] - points).sum(-1)
    nearest = squared.min(0)
    index = np.arange(1 << INDEX_BITS)
    centre = nearest[:, None] + (index + 0.5) * 2.0**INDEX_SHIFT - 0.5
    near = np.sqrt(nearest)
    most = (1 << WEIGHT_BITS) - 1
    table = np.floor(most * np.exp((near[:, None] - np.sqrt(centre)) / width[:, None]) + 0.5)
    scaled = values * np.exp((11.0 - near) / width)[:, None]
    limit = (1 << (VALUE_BITS - 1)) - 1
    matrix = np.floor(scaled * limit / np.abs(scaled).max() + 0.5)
    build = SizedBuilder()
    last = lookups(build, points, nearest, table)
    return finish(build, product(build, last, matrix))


def lookups(build: SizedBuilder, points: Array, nearest: Array, table: Array) -> int:
    """Weights [N] of the input; an index is floor((d^2 - nearest) / 2**INDEX_SHIFT), clipped."""
    n, loc = len(points), Loc("field")
    pixels = build.op(Op.INPUT, (), TensorType((64,), PIXEL), loc)
    p = build.const(points, smallest_type(0, int(points.max()), 0), loc, role="positions")
    distance = build.sized(Op.DISTANCE, (pixels, p), n, 0, loc, metric="l2")
    low = nearest + (1 << INDEX_SHIFT >> 1)  # REQUANT rounds; the index rounds down
    offset = build.const(low, smallest_type(0, int(low.max()), 0), loc, role="offset")
    above = build.sized(Op.SUB, (distance, offset), n, 0, loc)
    index = clip(build, above, INDEX_SHIFT, FixedType(False, INDEX_BITS))
    tables = build.const(table, FixedType(False, WEIGHT_BITS), loc, role="table")
    elem = TensorType((n,), FixedType(False, WEIGHT_BITS))
    return build.op(Op.LOOKUP, (index, tables), elem, loc)


def clip(build: SizedBuilder, value: int, shift: int, out: FixedType) -> int:
    """value / 2**shift, rounded half up, in the range of ``out``."""
    one = build.const(np.ones(1), FixedType(False, 1), Loc("scale"))
    shape = build.nodes[value].type.shape
    return build.op(Op.REQUANT, (value, one), TensorType(shape, out), Loc("scale"), shift=shift)


def product(build: SizedBuilder, value: int, matrix: Array) -> int:
    """value @ matrix."""
    elem = smallest_type(int(matrix.min()), int(matrix.max()), 0)
    weight = build.const(matrix, elem, Loc("values"), role="values")
    return build.sized(Op.MATMUL, (value, weight), matrix.shape[1], 0, Loc("values"))


def finish(build: SizedBuilder, value: int) -> Graph:
    """The graph that gives ``value``."""
    build.op(Op.OUTPUT, (value,), build.nodes[value].type, Loc("output"))
    return build.graph()


MLP_BITS = 6


def mlp(data: Digits) -> Graph:
    """Dense 64 -> 32 -> 10, 6-bit weights and activations, powers of two as scales."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(64, NEURONS), torch.nn.Linear(NEURONS, CLASSES)
    fracs = (MLP_BITS, MLP_BITS - 1)
    units = (fracs[0] + 4, fracs[1] + MLP_BITS - 2)  # of a sum: pixels are /16, h is below 4
    shift = units[0] - (MLP_BITS - 2)

    def whole(k: int) -> tuple[Tensor, Tensor]:
        most = (1 << (MLP_BITS - 1)) - 1
        weight = rounded(layers[k].weight * 2 ** fracs[k]).clamp(-most, most)
        return weight, rounded(layers[k].bias * 2 ** units[k])

    def logits(x: Tensor) -> Tensor:
        (w1, b1), (w2, b2) = whole(0), whole(1)
        scaled = (x @ w1.t() + b1) / 2**shift
        hidden = (scaled + (scaled.floor() - scaled).detach()).clamp(0, (1 << MLP_BITS) - 1)
        return (hidden @ w2.t() + b2) / 2 ** units[1]

    train(logits, [(p, 4e-3) for layer in layers for p in layer.parameters()], data, epochs=400)
    (w1, b1), (w2, b2) = ([a.detach().numpy().astype(np.int64) for a in whole(k)] for k in range(2))
    build = SizedBuilder()
    pixels = build.op(Op.INPUT, (), TensorType((64,), PIXEL), Loc("input"))
    hidden = biased(build, product(build, pixels, w1.T), b1 - (1 << shift >> 1))
    hidden = clip(build, hidden, shift, FixedType(False, MLP_BITS))
    return finish(build, biased(build, product(build, hidden, w2.T), b2))


def biased(build: SizedBuilder, value: int, bias: Array) -> int:
    """value + bias."""
    elem = smallest_type(int(bias.min()), int(bias.max()), 0)
    const = build.const(bias, elem, Loc("bias"), role="bias")
    return build.sized(Op.ADD, (value, const), len(bias), 0, Loc("bias"))


NETWORKS: dict[str, Callable[[Digits], Graph]] = {
    "crystal-4": lambda data: crystal(data, 4),
    "crystal-8": lambda data: crystal(data, 8),
    "crystal": crystal,
    "mlp": mlp,
}
