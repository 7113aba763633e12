"""A builder of fixed graphs that gives each value the narrowest type its exact interval allows."""

from __future__ import annotations

from dataclasses import replace

from crystalc.ir import Builder, FixedType, Graph, Loc, Node, Op, TensorType
from crystalc.passes.calibrate import too_wide
from crystalc.ranges import Interval, infer, smallest_type

DERIVED = frozenset(
    {Op.MATMUL, Op.DISTANCE, Op.SUMSQ, Op.ADD, Op.SUB, Op.MUL, Op.RELU, Op.SHIFT, Op.MIN}
)
"""Ops that neither round nor saturate: their width follows from their operands."""

WIDEST = 62


class SizedBuilder(Builder):
    """Keeps the interval of every node as it is appended."""

    def __init__(self, source: str = "") -> None:
        super().__init__(source)
        self.known: list[Interval] = []

    def add(self, node: Node) -> int:
        self.known.append(infer(Graph(tuple(self.nodes)), node, self.known))
        return super().add(node)

    def sized(
        self,
        op: Op,
        inputs: tuple[int, ...],
        size: int,
        frac: int,
        loc: Loc,
        **attrs: int | str | bool,
    ) -> int:
        """Append ``op``; its type holds every value it can take."""
        wide = TensorType((size,), FixedType(True, WIDEST, frac))
        return self.add(self.narrowed(Node(op, inputs, wide, loc, attrs)))

    def narrowed(self, node: Node) -> Node:
        """``node`` with the narrowest element type of the same binary point.

        Raises CompileError where that is wider than 62 bits.
        """
        elem = node.type.elem
        assert isinstance(elem, FixedType)
        hull = infer(Graph(tuple(self.nodes)), node, self.known).hull
        narrow = smallest_type(*hull, elem.frac)
        if narrow.width > WIDEST:
            raise too_wide()
        return replace(node, type=TensorType(node.type.shape, narrow))

    def frac(self, index: int) -> int:
        """Binary point of value ``index``."""
        elem = self.nodes[index].type.elem
        assert isinstance(elem, FixedType)
        return elem.frac
