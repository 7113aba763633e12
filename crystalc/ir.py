"""The frozen-neuron IR: flat SSA over small tensors, at two levels and no third.

*float graph*: what the model means, real arithmetic.
*fixed graph*: integers only, one exact meaning.

A value's id is its position in ``Graph.nodes``; operands come earlier. Shapes are per sample:
the oracle adds one leading batch axis. A sample is a vector, or the rows of a sequence.
``docs/ir.md`` states what each op computes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Op(enum.Enum):
    """Operation of a node. ``docs/ir.md`` is the table of their meanings."""

    # structure
    INPUT = "input"
    CONST = "const"
    OUTPUT = "output"
    # linear
    MATMUL = "matmul"
    DISTANCE = "distance"
    SUMSQ = "sumsq"
    # elementwise, operands broadcast
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    SQRT = "sqrt"
    EXP = "exp"
    RELU = "relu"
    GELU = "gelu"
    # over the whole vector
    SOFTMAX = "softmax"
    ARGMAX = "argmax"
    # over a sequence of tokens, float graph only
    EMBED = "embed"
    NORM = "norm"
    ATTENTION = "attention"
    # fixed graph only
    SHIFT = "shift"
    REQUANT = "requant"
    LOOKUP = "lookup"
    MIN = "min"


ELEMENTWISE = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.SQRT, Op.EXP, Op.RELU, Op.GELU})
UNARY = frozenset({Op.SQRT, Op.EXP, Op.RELU, Op.GELU})


@dataclass(frozen=True)
class FloatType:
    """IEEE binary number; the oracle always computes in binary64."""

    width: int = 32

    def __str__(self) -> str:
        return f"f{self.width}"


@dataclass(frozen=True)
class FixedType:
    """Integer ``q`` of ``width`` bits that stands for ``q * 2**-frac``."""

    signed: bool
    width: int
    frac: int = 0

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}q{self.frac}"

    @property
    def low(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.width - int(self.signed))) - 1


Element = FloatType | FixedType


@dataclass(frozen=True)
class TensorType:
    """Shape of one sample's value and its number format."""

    shape: tuple[int, ...]
    elem: Element

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.shape))}] {self.elem}"


@dataclass(frozen=True)
class Loc:
    """Where a value comes from: checkpoint key and, where it matters, the element."""

    key: str
    index: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.key + (f"[{', '.join(map(str, self.index))}]" if self.index else "")


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. Attributes are ``int``, ``str`` or ``bool``.

    ``value`` (CONST only): the parameter, shape ``type.shape``; float64 or int64.
    ``active`` (CONST only): one flag per row, True where the neuron may be rewritten after
    deployment; None means every row is frozen.
    """

    op: Op
    inputs: tuple[int, ...]
    type: TensorType
    loc: Loc
    attrs: Mapping[str, int | str | bool] = field(default_factory=dict)
    value: NDArray[Any] | None = None
    active: NDArray[np.bool_] | None = None

    @property
    def is_frozen_const(self) -> bool:
        """True for a CONST that no row of which can change after deployment."""
        return self.op is Op.CONST and (self.active is None or not bool(self.active.any()))

    @property
    def is_state(self) -> bool:
        """True for a CONST with at least one active row."""
        return self.op is Op.CONST and not self.is_frozen_const

    def data(self) -> NDArray[Any]:
        """The value of a CONST; raises TypeError for any other node."""
        if self.value is None:
            raise TypeError(f"{self.op.value} at {self.loc} has no value")
        return self.value


@dataclass(frozen=True)
class Graph:
    """A model: ``nodes`` in SSA order and the sha256 of the checkpoint it came from."""

    nodes: tuple[Node, ...]
    source: str = ""

    def __str__(self) -> str:
        from crystalc.text import render  # text.py imports this module

        return render(self)

    def __iter__(self) -> Iterator[tuple[int, Node]]:
        return iter(enumerate(self.nodes))

    def __getitem__(self, index: int) -> Node:
        return self.nodes[index]

    def find(self, op: Op) -> list[int]:
        """Ids of every node with this op, in order."""
        return [i for i, node in self if node.op is op]

    def users(self, index: int) -> list[int]:
        """Ids of the nodes that read value ``index``."""
        return [i for i, node in self if index in node.inputs]

    @property
    def is_fixed(self) -> bool:
        """True when the graph computes in integers only (its input is an integer)."""
        return isinstance(self.input.type.elem, FixedType)

    @property
    def input(self) -> Node:
        """The one INPUT node."""
        return self.nodes[self.find(Op.INPUT)[0]]

    @property
    def output(self) -> Node:
        """The one OUTPUT node."""
        return self.nodes[self.find(Op.OUTPUT)[0]]


class Builder:
    """Appends nodes and hands out their ids; passes rebuild graphs through it."""

    def __init__(self, source: str = "") -> None:
        self.nodes: list[Node] = []
        self.source = source

    def add(self, node: Node) -> int:
        """Append ``node`` as it is and return its id."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def op(
        self,
        op: Op,
        inputs: tuple[int, ...],
        type_: TensorType,
        loc: Loc,
        **attrs: int | str | bool,
    ) -> int:
        """Append an operation and return its id."""
        return self.add(Node(op, inputs, type_, loc, attrs))

    def const(
        self,
        value: NDArray[Any],
        elem: Element,
        loc: Loc,
        active: NDArray[np.bool_] | None = None,
        role: str = "other",
    ) -> int:
        """Append a constant (stored as float64 or int64) and return its id."""
        dtype = np.float64 if isinstance(elem, FloatType) else np.int64
        array = np.array(value, dtype=dtype, order="C")
        array.setflags(write=False)
        mask = active if active is not None and bool(active.any()) else None
        type_ = TensorType(array.shape, elem)
        return self.add(Node(Op.CONST, (), type_, loc, {"role": role}, array, mask))

    def graph(self) -> Graph:
        """The finished graph."""
        return Graph(tuple(self.nodes), self.source)


def without_dead_nodes(graph: Graph) -> Graph:
    """The same graph less the nodes that the output does not need (the input stays)."""
    live = {i for i, node in graph if node.op in (Op.INPUT, Op.OUTPUT)}
    for i in range(len(graph.nodes) - 1, -1, -1):
        if i in live:
            live.update(graph[i].inputs)
    new_id = {old: new for new, old in enumerate(sorted(live))}
    nodes = tuple(
        replace(graph[old], inputs=tuple(new_id[j] for j in graph[old].inputs))
        for old in sorted(live)
    )
    return replace(graph, nodes=nodes)
