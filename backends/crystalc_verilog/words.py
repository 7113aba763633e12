"""The weights of a folded design: a word a step, in a ROM, or in memories if some are active."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalc.ranges import smallest_type
from crystalc.render import render
from crystalc_verilog.area import Features, rom_features
from crystalc_verilog.element import index_bits
from crystalc_verilog.parts import Bus, ram, rom
from crystalc_verilog.passes import Integers, elem
from crystalc_verilog.program import PIECES, Program
from crystalc_verilog.wires import table

PORT = 36
"""Bits of a word up to which a block of memory has a second port."""

BLOCK = 4096
"""Bits of weights from which on they take blocks of memory."""


@dataclass(frozen=True)
class Words:
    """``key`` is the Verilog of the word's address, of ``key_bits``; ``grid`` [words, lanes]:
    weights of ``width`` bits; ``routes``: node of an active constant -> where each number is,
    (lane, word, how far shifted left).
    """

    start_width: int
    key: str
    key_bits: int
    width: int
    grid: Integers
    bus: Bus
    counter: bool
    routes: dict[int, list[tuple[int, int]]]
    lifts: dict[int, int]

    @property
    def bits(self) -> int:
        """Bits of all words."""
        return int(self.grid.size) * self.width

    @property
    def shared(self) -> bool:
        """Is there room beside the weights, at a second port, for what the sums start with?"""
        lanes = self.grid.shape[1]
        word = self.width * lanes
        most = PIECES if lanes == 1 else 1
        return not self.routes and word <= PORT and word * most >= self.start_width

    def place_of_starts(self, region: int) -> tuple[int, int]:
        """The first word of a region of so many words behind the weights, and wires of all."""
        base = -(-len(self.grid) // region) * region
        return base, index_bits(base + region)

    def beside(self, name: str, starts: Sequence[int]) -> str:
        """The memory of weights and, behind them, ``starts`` (a power of two of words)."""
        lanes = self.grid.shape[1]
        return rom(f"{name}_weights", [*self.before(len(starts)), *starts], lanes * self.width)

    def before(self, region: int) -> list[int]:
        """The words of weights, filled up to where a region of so many words begins."""
        base, _ = self.place_of_starts(region)
        return [*self.packed(), *[0] * (base - len(self.grid))]

    def packed(self) -> list[int]:
        """One integer a word, lane 0 lowest."""
        mask = (1 << self.width) - 1
        return [
            sum((int(v) & mask) << (p * self.width) for p, v in enumerate(row)) for row in self.grid
        ]

    def modules(self, name: str) -> list[str]:
        """The ROM, or the ROMs that say where a written number belongs."""
        if self.shared:
            return []
        if not self.routes:
            wide = self.width * self.grid.shape[1]
            if self.bits >= BLOCK:
                return [rom(f"{name}_weights", self.packed(), wide, ports=1)]
            made = table(f"{name}_weights", self.packed(), wide, "<=")
            return [render("verilog/rom.v.j2", made)]
        lanes = self.grid.shape[1]
        rows = 1 << self.key_bits
        found = []
        for p in range(lanes):
            mine = [*map(int, self.grid[:, p]), *[0] * (rows - len(self.grid))]
            found.append(ram(f"{name}_weights_{p}", mine, self.width))
        for node, places in self.routes.items():
            bits = index_bits(lanes) + self.key_bits
            entries = [lane << self.key_bits | word for lane, word in places]
            found.append(
                render("verilog/rom.v.j2", table(f"{name}_route{node}", entries, bits, "<="))
            )
        return found

    def area(self) -> Features:
        """Features of these modules."""
        lanes = self.grid.shape[1]
        if self.shared:
            return Counter()
        if not self.routes and self.bits >= BLOCK:
            return Counter(block_bits=self.bits)
        if not self.routes:
            return rom_features(self.packed(), width=self.width * lanes)
        total: Features = Counter(block_bits=(lanes * self.width) << self.key_bits)
        for node, places in self.routes.items():
            bits = index_bits(lanes) + self.key_bits
            entries = [lane << self.key_bits | word for lane, word in places]
            total += rom_features(entries, width=bits, kind="route")
            state = self.bus.states[node].type.width
            total += Counter(less_bits=self.bus.address_bits, choose_bits=state + bits)
        return total

    def lines(self, name: str, lanes: int) -> list[str]:
        """The word of each step, as w."""
        bits = self.key_bits
        lines = [f"wire [{lanes * self.width - 1}:0] w;"]
        if self.counter:
            lines += [
                f"reg [{bits - 1}:0] t;",
                "always @(posedge clk)",
                f"    if (restart) t <= 0; else if (advance) t <= t + {bits}'d1;",
            ]
        lines.append(f"wire [{bits - 1}:0] key = {self.key};")
        if self.shared:
            return lines
        if not self.routes:
            need = max(1, (len(self.grid) - 1).bit_length())
            which = f"key[{need - 1}:0]" if need < bits else "key"
            return [*lines, f"{name}_weights weights (clk, advance, {which}, w);"]
        return [*lines, *self.writing(name, lanes)]

    def writing(self, name: str, lanes: int) -> list[str]:
        """Two clocks: where does the number belong, then write it there."""
        have, lane_bits = self.bus.address_bits, index_bits(lanes)
        wide = lane_bits + self.key_bits
        lines = [
            f"reg [{self.bus.data_bits - 1}:0] written;",
            "always @(posedge clk) written <= cfg_data;",
            "wire unused_written = &{1'b0, written};",
        ]
        hits, places, values = [], f"{wide}'d0", f"{self.width}'d0"
        for node, found in self.routes.items():
            state = self.bus.states[node]
            need = index_bits(len(found))
            lines += [
                f"wire [{have - 1}:0] from_{node} = cfg_address - {have}'d{state.address};",
                f"reg hit_{node};",
                f"always @(posedge clk) hit_{node} <= cfg_write & "
                f"{{1'b0, from_{node}}} < {have + 1}'d{len(found)};",
                f"wire [{wide - 1}:0] route_{node};",
                f"{name}_route{node} to_{node} (clk, cfg_write, from_{node}[{need - 1}:0], "
                f"route_{node});",
            ]
            hits.append(f"hit_{node}")
            places = f"hit_{node} ? route_{node} : {places}"
            values = f"hit_{node} ? {self.lifted(node)} : {values}"
        lines += [
            f"wire [{wide - 1}:0] place = {places};",
            f"wire [{self.width - 1}:0] number = {values};",
            f"wire hit = {' | '.join(hits)};",
        ]
        for p in range(lanes):
            lines += [
                f"{name}_weights_{p} weights_{p} (",
                f"    clk, advance, hit & place[{wide - 1}:{self.key_bits}] == {lane_bits}'d{p},",
                f"    place[{self.key_bits - 1}:0], number, key,",
                f"    w[{(p + 1) * self.width - 1}:{p * self.width}]",
                ");",
            ]
        return lines

    def lifted(self, node: int) -> str:
        """The number on the bus as a weight."""
        kind, lift = self.bus.states[node].type, self.lifts[node]
        low = f"written[{kind.width - 1}:0]" if kind.width < self.bus.data_bits else "written"
        more = self.width - kind.width - lift
        top = f"written[{kind.width - 1}]" if kind.signed else "1'b0"
        head = f"{{{more}{{{top}}}}}, " if more else ""
        tail = f", {lift}'d0" if lift else ""
        return f"{{{head}{low}{tail}}}"


def words(made: Program, bus: Bus, start_width: int) -> Words:
    """The words of ``made``, addressed by group and step where that wastes no memory."""
    weight, node, place = made.weights()
    lifts = {
        int(n): w.head.lift
        for w in made.works
        if w.made.product and w.head
        for n in np.unique(w.made.product.nodes)
        if n >= 0
    }
    low = min([0, -1, *map(int, weight.reshape(-1))])
    high = max([0, *map(int, weight.reshape(-1))])
    for n, lift in lifts.items():
        kind = elem(made.graph, n)
        low, high = min(low, kind.low << lift), max(high, kind.high << lift)
    width = smallest_type(low, high, 0).width
    lead, behind = made.groups[0].steps, made.groups[-1].last + made.lanes
    weight, node, place = (m[lead:behind] for m in (weight, node, place))
    keys, key, bits, counter = _keys(made, weight, node)
    grid = np.zeros((max(keys) + 1, made.lanes), dtype=object)
    routes: dict[int, list[tuple[int, int]]] = {
        n: [(0, 0)] * len(bus.states[n].initial) for n in lifts
    }
    for at, row, owners, spots in zip(keys, weight, node, place, strict=True):
        for p in range(made.lanes):
            if row[p] or owners[p] >= 0:
                grid[at, p] = row[p]
            if owners[p] >= 0:
                routes[int(owners[p])][int(spots[p])] = (p, at)
    return Words(start_width, key, bits, width, grid, bus, counter, routes, lifts)


def _keys(made: Program, weight: Integers, node: Integers) -> tuple[Sequence[int], str, int, bool]:
    """The address of the word of each step with a weight, its Verilog and width, and
    whether it needs a counter. What other steps read is no part of a sum.
    """
    every = made.steps()
    plain, lead = index_bits(len(every)), made.groups[0].steps
    steps = every[lead : made.groups[-1].last + made.lanes]
    for low in range(1, made.address_bits + 1):
        mask = (1 << low) - 1
        keys = [g << low | a & mask for g, a in steps]
        bits = index_bits(max(keys) + 1)
        if bits <= max(plain, 9) and _distinct(keys, weight, node):
            name = f"a[{low - 1}:0]" if low < made.address_bits else "a"
            have = bits - low
            group = f"g[{have - 1}:0]" if 0 < have < made.group_bits else "g"
            if have > 0:
                return keys, f"{{{group}, {name}}}", bits, False
    return range(lead, lead + len(steps)), "t", plain, True


def _distinct(keys: Sequence[int], weight: Integers, node: Integers) -> bool:
    """Does no word stand for two steps that differ?"""
    known: dict[int, tuple[tuple[int, ...], bool]] = {}
    for k, row, owners in zip(keys, weight, node, strict=True):
        mine = tuple(map(int, row)), bool((owners >= 0).any())
        if known.setdefault(k, mine) != mine or (mine[1] and known[k] is not mine):
            return False
    return True
