"""The one walk over a graph that both arithmetics lower by: neighbours that work element by
element are gathered into one loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from crystalc.ir import Node, Op
from crystalc_c.plan import Plan


class Walk(ABC):
    """Nodes of ``gathered`` ops wait in ``group`` until something else, or another size, comes."""

    gathered: ClassVar[frozenset[Op]]

    def __init__(self, plan: Plan) -> None:
        self.plan, self.graph = plan, plan.graph
        self.group: list[int] = []
        self.fused: set[int] = set()

    def run(self) -> None:
        """Fill the plan."""
        self.plan.bind_structure()
        for i, node in self.graph:
            if node.op in (Op.INPUT, Op.CONST) or i in self.fused:
                continue
            if node.op in self.gathered:
                self.join(i)
                continue
            self.flush()
            self.step(i, node)

    def join(self, i: int) -> None:
        """Let node ``i`` wait with those of its size."""
        if self.group and self.plan.size(self.group[0]) != self.plan.size(i):
            self.flush()
        self.group.append(i)

    def flush(self) -> None:
        """Make one loop of the nodes that wait."""
        if self.group:
            self.loop(self.group)
        self.group = []

    @abstractmethod
    def step(self, i: int, node: Node) -> None:
        """Lower one node that is no part of a loop."""

    @abstractmethod
    def loop(self, group: list[int]) -> None:
        """Lower these nodes, all of one size, into one loop."""
