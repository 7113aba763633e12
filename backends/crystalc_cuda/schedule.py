"""In which order the values of a tile of samples are computed, and where they live.

A *nest* is one loop over the columns of vectors of one length: products that make columns, then
everything element by element, then products that take the columns as they come. What needs a whole
vector (a sum of squares, a product with another length) waits for the nest to end. Levels number
the nests in time; nodes of one level and length share a nest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from crystalc.ir import Graph, Op
from crystalc_cuda.fragments import TILE
from crystalc_cuda.pointwise import is_pointwise

WHOLE = 8
"""Tiles of eight columns that a vector may have to stay in registers as a whole."""

CHUNK = 4
"""Tiles that a nest of longer vectors computes at a time."""

FIRST = -1
"""The level of products that read the samples: before every nest."""


@dataclass
class Nest:
    """The nodes of one level and one length, in order."""

    level: int
    length: int
    producers: list[int] = field(default_factory=list)
    pointwise: list[int] = field(default_factory=list)
    consumers: list[int] = field(default_factory=list)

    @property
    def tiles(self) -> int:
        """Tiles, in whole chunks."""
        count = -(-self.length // TILE)
        return count if count <= WHOLE else -(-count // CHUNK) * CHUNK

    @property
    def chunk(self) -> int:
        """Tiles computed at a time."""
        return self.tiles if self.tiles <= WHOLE else CHUNK


@dataclass
class Schedule:
    """``first``: nodes of the pass over the samples; ``steps``: nests and reductions in time."""

    graph: Graph
    multiplies: Callable[[int], bool]
    """Whether tensor cores can do a MATMUL."""
    level: dict[int, int] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)
    streamed: set[int] = field(default_factory=set)
    """Products whose operand is taken as its nest makes it."""

    def size(self, i: int) -> int:
        """Length of node ``i``."""
        return int(self.graph[i].type.shape[0])

    def tiles(self, i: int) -> int:
        """Tiles of eight columns of node ``i``."""
        return -(-self.size(i) // TILE)

    def columnwise(self, i: int) -> bool:
        """Computed column by column in a nest."""
        node = self.graph[i]
        if node.op in (Op.INPUT, Op.CONST) or i in self.first or i in self.streamed:
            return False
        product = node.op in (Op.MATMUL, Op.DISTANCE) and self.size(i) > 1
        return product or is_pointwise(self.graph, i)

    def run(self) -> list[Nest | int]:
        """Nests, and ids of reductions, in the order in which they are computed."""
        self._choose_first()
        for i, node in self.graph:
            if node.op not in (Op.INPUT, Op.CONST):
                self._choose_streamed(i)
                self.level[i] = FIRST if i in self.first else self._earliest(i)
        for i in range(len(self.graph.nodes) - 1, -1, -1):
            self._sink(i)
        return list(self._steps())

    def _choose_first(self) -> None:
        room = WHOLE
        for i, node in self.graph:
            of_input = node.inputs and self.graph[node.inputs[0]].op is Op.INPUT
            if of_input and node.op is Op.MATMUL and self.multiplies(i) and self.tiles(i) <= room:
                room -= self.tiles(i)
                self.first.append(i)
        if self.first:
            squares = [i for i in self.graph.find(Op.SUMSQ) if self._of_input(i)]
            self.first += squares[:1]

    def _of_input(self, i: int) -> bool:
        return self.graph[self.graph[i].inputs[0]].op is Op.INPUT

    def _choose_streamed(self, i: int) -> None:
        """A product of a long vector with few columns, on tensor cores."""
        node = self.graph[i]
        if node.op is not Op.MATMUL or i in self.first or not self.multiplies(i):
            return
        x = node.inputs[0]
        if self.columnwise(x) and self.tiles(x) > WHOLE and 1 < self.size(i) <= TILE * WHOLE:
            self.streamed.add(i)

    def _earliest(self, i: int) -> int:
        return max((self._after(i, o) for o in self.graph[i].inputs), default=0)

    def _after(self, i: int, o: int) -> int:
        """The first level at which ``i`` can be, for its operand ``o``."""
        if self.graph[o].op in (Op.INPUT, Op.CONST):
            return 0
        if i in self.streamed and o == self.graph[i].inputs[0]:
            return self.level[o]
        together = is_pointwise(self.graph, i) and self.size(i) == self.size(o)
        return self.level[o] + (0 if together and self.columnwise(o) else 1)

    def _sink(self, i: int) -> None:
        """Compute columns in the nest that needs them, if only one does."""
        users = self.graph.users(i)
        if not self.columnwise(i) or not users:
            return
        beside = [
            is_pointwise(self.graph, u) and self.columnwise(u) and self.size(u) == self.size(i)
            for u in users
        ]
        if all(beside):
            self.level[i] = min(self.level[u] for u in users)

    def _steps(self) -> Iterator[Nest | int]:
        for level in sorted(set(self.level.values()) - {FIRST}):
            nests: dict[int, Nest] = {}
            for i in sorted(k for k, at in self.level.items() if at == level):
                if i in self.streamed:
                    nests[self.size(self.graph[i].inputs[0])].consumers.append(i)
                elif not self.columnwise(i):
                    yield i
                else:
                    nest = nests.setdefault(self.size(i), Nest(level, self.size(i)))
                    kind = nest.pointwise if is_pointwise(self.graph, i) else nest.producers
                    kind.append(i)
            yield from nests.values()
