"""What every piece of a folded design asks of the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from crystalc.ir import FixedType, Graph, Op
from crystalc_verilog.area import Features
from crystalc_verilog.element import Segment
from crystalc_verilog.files import address_bits, fixed
from crystalc_verilog.lower import State
from crystalc_verilog.parts import Bus
from crystalc_verilog.passes import elem, hull
from crystalc_verilog.program import Program
from crystalc_verilog.words import Words, words


def states_of(graph: Graph) -> list[State]:
    """Active constants and their addresses on the bus: those of every architecture."""
    found, address = [], 0
    for i, node in graph:
        if not node.is_state:
            continue
        flat = tuple(int(v) for v in node.data().reshape(-1))
        shape = tuple(int(n) for n in node.type.shape)
        memory = any(graph[u].op is Op.LOOKUP for u in graph.users(i))
        found.append(State(i, address, shape, fixed(node.type.elem), flat, memory))
        address += len(flat)
    return found


class Shared:
    """The program, widths, and conditions on where the design is."""

    def __init__(self, made: Program, name: str) -> None:
        self.made, self.name, self.graph = made, name, made.graph
        self.states = states_of(made.graph)
        data = max((s.type.width for s in self.states), default=0)
        self.bus = Bus({s.node: s for s in self.states}, address_bits(self.states), data)
        self.lanes = made.lanes
        self.modules: list[str] = []
        self.parts: list[str] = ["lane.v"]
        self.lines: list[str] = []
        self.input_type = elem(self.graph, self.graph.find(Op.INPUT)[0])
        results = [elem(self.graph, w.made.target) for w in made.works[:-1] if not w.made.scalar]
        self.result_type = hull([v for k in results for v in (k.low, k.high)]) if results else None
        self.store_type = self.stored_type()
        heads = [w.head for w in made.works if w.head]
        self.sum = hull([v for h in heads for v in (h.low, h.high)])
        self.words: Words = words(made, self.bus, self.sum.width)
        self.term = hull([v for h in heads for v in h.term])
        self.delay = 0
        self.area: Features = Counter()
        """Features of the memories emitted so far."""

    def stored_type(self) -> FixedType:
        """A type for every number that the lanes read."""
        kinds = [k for k in (self.input_type, self.result_type) if k]
        return hull([v for k in kinds for v in (k.low, k.high)])

    def at(self, depth: int) -> str:
        """The address of the element that is ``depth`` steps behind the sums."""
        return f"e_{depth}" if depth else "e"

    def kinds(self, mode: Sequence[str]) -> list[int]:
        """Which works have one of these modes."""
        return [q for q, w in enumerate(self.made.works) if w.head and w.head.mode in mode]

    def uses(self, port: str) -> bool:
        """Does any segment read this?"""
        chains = [c for w in self.made.works for c in w.chain]
        return any(port in c.ports for c in chains if isinstance(c, Segment))

    def during(self, works: list[int], later: int = 0) -> str:
        """Is g a group of one of ``works`` (``later`` groups before)?"""
        bits, groups = self.made.group_bits, self.made.groups[1:]
        found = []
        for q in works:
            mine = [k + later for k, g in enumerate(groups) if g.work == q]
            low = [f"g >= {bits}'d{mine[0]}"] if mine[0] else []
            high = [f"g < {bits}'d{mine[-1] + 1}"] if mine[-1] + 1 < 1 << bits else []
            found.append(f"({' & '.join([*low, *high])})")
        return " | ".join(found)

    def counted(self, works: list[int]) -> str:
        """Is this a step that reads a number of one of ``works``?"""
        bits = self.made.address_bits
        found = []
        for q in works:
            work = self.made.works[q]
            low = f" & a >= {bits}'d{work.read}" if work.read else ""
            high = f" & a < {bits}'d{work.read + work.count}"
            found.append(f"({self.during([q])}{low}{high})")
        return " | ".join(found)
