"""The schedule of a folded design: which step reads what, and when each result is there.

A step is a clock in which the design advances. At step t the store is read at address ``a``; the
number reaches lane p at t + 1 + p, and its product the sum at t + 3 + p. So lanes finish one after
another, and one element a clock goes on. Words of weights are skewed in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crystalc.ir import Graph, Op
from crystalc_verilog.element import Segment, index_bits, segment
from crystalc_verilog.head import Head, head
from crystalc_verilog.passes import Integers, Pass, elem, final, passes, unfit
from crystalc_verilog.schedule import Schedule, schedule

FILL = 3
"""Steps from reading the last number of a sum to having lane 0's sum."""

PIECES = 4
"""Words, at most, in which one lane reads what a sum starts with."""

PRESQUARE_LANES = 8
"""Up to so many lanes add x^2 on their own; more share one sum of squares."""


@dataclass(frozen=True)
class Unit:
    """A look-up or division between two segments: node of the graph."""

    node: int


@dataclass(frozen=True)
class Work:
    """A pass with its place: ``address`` of its first result, ``read`` and ``count`` of its
    operands, ``columns`` of the weights in them; ``chain`` of segments with units between.
    """

    made: Pass
    head: Head | None
    address: int
    read: int
    count: int
    columns: tuple[int, ...]
    chain: tuple[Segment | Unit, ...]
    plans: tuple[Schedule, ...]

    @property
    def latency(self) -> int:
        """Steps from a sum (or a number read) to its result in a register, before a division."""
        total = 1
        plans = iter(self.plans)
        for item in self.chain:
            if isinstance(item, Segment):
                total += len(next(plans).ranks) - 2
            elif self.made.spine and item.node in self.lookups:
                total += 1
            else:
                return total
        return total

    @property
    def lookups(self) -> frozenset[int]:
        """Units that are tables."""
        return frozenset(u.node for u in self.chain if isinstance(u, Unit)) - self.divisions

    divisions: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Group:
    """Steps in a row with one number for each lane: ``first`` address, ``steps``, the pass and its
    first output; ``lead`` steps come before the first number that counts.
    """

    work: int
    output: int
    first: int
    steps: int
    lead: int
    begin: int

    @property
    def last(self) -> int:
        """The step that reads the last number."""
        return self.begin + self.steps - 1


@dataclass(frozen=True)
class Program:
    """All groups of a vector. The first does nothing: the first number is on its way in."""

    graph: Graph
    lanes: int
    works: tuple[Work, ...]
    groups: tuple[Group, ...]
    latency: int
    end: int
    total: int

    @property
    def base(self) -> int:
        """The address behind the inputs, a power of two."""
        return self.works[0].address

    @property
    def entry(self) -> int:
        """The address of the first input."""
        return self.base - int(self.graph.input.type.shape[0])

    @cached_property
    def address_bits(self) -> int:
        """Wires of an address of the store; wide enough that the last steps meet no end again, and
        that no address of an input follows those of the results, of idle lanes too, that are made
        until the last one is taken.
        """
        longest = max(g.steps for g in self.groups) + self.end + 1 - self.groups[-1].last
        idle = min(-self.works[-1].made.size % self.lanes, self.latency - 1)
        return index_bits(max(self.total + idle + 1, longest, 4))

    @cached_property
    def group_bits(self) -> int:
        """Wires of a group's number, which is that of ``groups`` less 1, modulo a power of two."""
        return index_bits(len(self.groups) + 1)

    @cached_property
    def begins(self) -> list[int]:
        """The first address of each group, and of the steps behind the last one."""
        full, last = 1 << self.address_bits, self.groups[-1]
        room = self.lanes == 1 and self.end - last.last < last.steps
        behind = last.first if room else last.first + last.steps
        return [g % full for g in [*(g.first for g in self.groups), behind]]

    def steps(self) -> list[tuple[int, int]]:
        """(group's number, address) of every step."""
        full, every, found = 1 << self.address_bits, 1 << self.group_bits, []
        counts = [*(g.steps for g in self.groups), self.end - self.groups[-1].last]
        for k, (first, count) in enumerate(zip(self.begins, counts, strict=True)):
            found += [((k - 1) % every, (first + s) % full) for s in range(count)]
        return found

    def weights(self) -> tuple[Integers, Integers, Integers]:
        """[steps, lanes]: the weight, and the node and place of an active one (-1: frozen)."""
        shape = (self.end + 1, self.lanes)
        weight = np.zeros(shape, dtype=object)
        node, place = np.full(shape, -1), np.full(shape, -1)
        for g in self.groups[1:]:
            work = self.works[g.work]
            product = work.made.product
            if work.head is None or product is None:
                continue
            for p in range(min(self.lanes, work.made.size - g.output)):
                at = g.begin + g.lead + p + np.array(work.columns)
                weight[at, p] = work.head.rows[g.output + p]
                node[at, p] = product.nodes[g.output + p]
                place[at, p] = product.places[g.output + p]
        return weight, node, place


def useful_lanes(found: Sequence[Pass]) -> int:
    """The most lanes that have work at once: the outputs of the largest product."""
    return max(p.size for p in found if p.product)


def program(graph: Graph, lanes: int, levels: int) -> Program:
    """The schedule of ``graph``. Raises CompileError for a graph that does not fold."""
    found = passes(graph)
    lanes = min(lanes, useful_lanes(found))
    inputs = int(graph.input.type.shape[0])
    total = 1 << index_bits(inputs)
    works, address = [], {graph.find(Op.INPUT)[0]: total - inputs}
    for made in found:
        works.append(_work(graph, made, lanes, levels, total, address))
        address[made.target] = total
        total += made.size
    return _timed(graph, lanes, works, total)


def _work(
    graph: Graph, made: Pass, lanes: int, levels: int, at: int, address: dict[int, int]
) -> Work:
    product = made.product
    parts = product.parts if product else ((made.spine[0], made.size),)
    if any(i not in address for i, _ in parts):
        raise unfit(graph[made.spine[0]])
    read = min(address[i] for i, _ in parts)
    columns = [address[i] - read + k for i, n in parts for k in range(n)]
    top = head(graph, made, lanes <= PRESQUARE_LANES) if product else None
    chain = _chain(graph, made, top, at)
    _check_sides(graph, made, chain, address.keys() - graph.find(Op.INPUT))
    plans = [schedule(s.lowered, levels) for s in chain if isinstance(s, Segment)]
    divisions = frozenset(
        u.node for u in chain if isinstance(u, Unit) and graph[u.node].op is Op.DIV
    )
    count = max(columns) + 1
    columns_, plans_ = tuple(columns), tuple(plans)
    return Work(made, top, at, read, count, columns_, tuple(chain), plans_, divisions)


def _check_sides(
    graph: Graph, made: Pass, chain: list[Segment | Unit], results: Collection[int]
) -> None:
    """One sum of squares, of the vector at hand; one least element, of an earlier pass's results;
    division at the very end.
    """
    ports = {p for item in chain if isinstance(item, Segment) for p in item.ports}
    squares, least = graph.find(Op.SUMSQ), graph.find(Op.MIN)
    mine = made.product.parts if made.product else ()
    if "square" in ports:
        other = [i for i in squares if [graph[i].inputs[0]] != [j for j, _ in mine]]
        if other:
            raise unfit(graph[other[0]])
    if "least" in ports and (len(least) > 1 or graph[least[0]].inputs[0] not in results):
        raise unfit(graph[least[-1]])
    divisions = [u for u in chain if isinstance(u, Unit) and graph[u.node].op is Op.DIV]
    if divisions and (made.target != final(graph) or len(divisions) > 1):
        raise unfit(graph[divisions[0].node])
    if divisions and chain[-2] is not divisions[0]:
        raise unfit(graph[divisions[0].node])


def _chain(graph: Graph, made: Pass, top: Head | None, at: int) -> list[Segment | Unit]:
    """Segments from the sum to the result, cut at look-ups and divisions."""
    start = top.node if top else made.spine[0]
    source = top or elem(graph, start)
    found: list[Segment | Unit] = []
    for i in made.spine[made.spine.index(start) + 1 :]:
        node = graph[i]
        if node.op in (Op.LOOKUP, Op.DIV):
            found.append(segment(graph, node.inputs[0], start, source, made.size, at))
            found.append(Unit(i))
            start, source = i, elem(graph, i)
    return [*found, segment(graph, made.target, start, source, made.size, at)]


def _timed(graph: Graph, lanes: int, works: list[Work], total: int) -> Program:
    latency = max(w.latency for w in works)
    base = works[0].address
    entry = base - int(graph.input.type.shape[0])
    ready = {entry + k: k + 1 for k in range(base - entry)}
    lead = PIECES - 2 if lanes == 1 else 1
    groups = [Group(-1, 0, entry - lead, lead, 0, 0)]
    for q, work in enumerate(works):
        begin = groups[-1].last + 1
        wait = max(0, max(ready[work.read + k] - k for k in range(work.count)) - begin)
        if work.head is None:
            wait = max(0, ready[work.read + work.count - 1] - begin)
            groups.append(Group(q, 0, work.read - wait, work.count + wait, wait, begin))
            done = [begin + wait + 1 + k for k in range(work.made.size)]
        else:
            done = []
            for output in range(0, work.made.size, lanes):
                begin = groups[-1].last + 1
                steps = max(work.count, lanes + 2, PIECES if lanes == 1 else 0) + wait
                groups.append(Group(q, output, work.read - wait, steps, wait, begin))
                after = groups[-1].last + FILL + int(lanes > 1)
                done += [after + p for p in range(min(lanes, work.made.size - output))]
                wait = 0
        ready |= {work.address + k: t + latency + 1 for k, t in enumerate(done)}
    return Program(graph, lanes, tuple(works), tuple(groups), latency, done[-1] + latency, total)
