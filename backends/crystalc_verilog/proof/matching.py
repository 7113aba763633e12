"""Finds the word of the design that computes a function, and cuts its cone at proved words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc_verilog.proof.meaning import Function
from crystalc_verilog.proof.netlist import CLOCKED, Bits, Instance, Register
from crystalc_verilog.proof.poly import Poly, affine, key
from crystalc_verilog.proof.signals import Signals
from crystalc_verilog.proof.words import LINEAR, Unproved, Word, Words

TRIED = 12
"""How many of the nearest words are looked at before a function counts as missing."""


@dataclass(frozen=True)
class Leaf:
    """A word of the design: factor * argument + offset."""

    bits: Bits
    argument: int
    factor: int
    offset: int


@dataclass(frozen=True)
class Cone:
    """The cells between ``leaves`` and ``out``, operands first."""

    out: Bits
    cells: tuple[Instance, ...]
    leaves: tuple[Leaf, ...]


@dataclass
class Match:
    """A function and where it stands; ``exact``: on every sample its values are right."""

    function: Function
    cone: Cone | None
    exact: bool
    why: str = ""
    bits: Bits = ()


@dataclass
class Matcher:
    """``wanted``: values of a node on the samples, [n, elements]."""

    words: Words
    signals: Signals
    wanted: Callable[[int], NDArray[np.int64]]
    addresses: Mapping[int, int]
    matches: list[Match] = field(default_factory=list)
    _seen: dict[tuple[object, ...], Poly] = field(default_factory=dict)
    _free: dict[int, list[Instance]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_width: dict[int, list[Instance]] = defaultdict(list)
        clipped = {c.args[0] for c in self.words.netlist.instances if c.kind == "$mux"}
        for cell in self.words.netlist.instances:
            if cell.out in clipped:
                continue
            if cell.kind not in {*LINEAR, *CLOCKED} or cell.kind == "crystal_memory":
                by_width[len(cell.out)].append(cell)
        self._free = by_width
        self._found = {
            (w, self.signals.word(c.out).tobytes()): c for w, cs in by_width.items() for c in cs
        }

    def resolve(self, f: Function) -> Poly:
        """The variable of ``f``; equal functions are one."""
        if f.content not in self._seen:
            self._seen[f.content] = self._resolve(f)
        return self._seen[f.content]

    def _resolve(self, f: Function) -> Poly:
        match = self._search(f)
        self.matches.append(match)
        poly = self.words.atoms.fresh(*f.range)
        if match.bits and match.bits not in self.words.given:
            self.words.given[match.bits] = Word(poly, *f.range)
        elif match.bits:
            return self.words.given[match.bits].poly
        return poly

    def _search(self, f: Function) -> Match:
        values = self.wanted(f.node)[:, f.element]
        if f.kind == "memory":
            try:
                return self._memory(f)
            except Unproved as error:
                return Match(f, None, False, str(error))
        why = "no word of the design computes it"
        for cell in self._candidates(values):
            try:
                cone = self.cone(cell.out, f)
            except Unproved as error:
                why = str(error)
                continue
            if cone is not None and len(cell.out) >= _least_width(f):
                return Match(f, cone, True, bits=cell.out)
        return self._nearest(f, values, why)

    def _memory(self, f: Function) -> Match:
        """A table that can be rewritten: the read port with this address and this index."""
        table, first = f.params
        base = self.addresses[table] + first
        for cells in self._free.values():
            for cell in cells:
                if cell.kind != "crystal_memory" or cell.params[4] != base:
                    continue
                index = self.words.read(cell.args[4], signed=False)
                self.words.stage(cell.out)
                if key(index.poly) == key(f.args[0]):
                    return Match(f, None, True, bits=cell.out)
        return Match(f, None, False, "no memory has this address and this index")

    def _candidates(self, values: NDArray[np.int64]) -> Iterable[Instance]:
        for width, cells in sorted(self._free.items()):
            bits = (values & ((1 << width) - 1)).tobytes()
            if (width, bits) in self._found:
                yield from (c for c in cells if self.signals.word(c.out).tobytes() == bits)

    def _nearest(self, f: Function, values: NDArray[np.int64], why: str) -> Match:
        """The word that is right most often: for the report, and for what comes after it."""
        ranked = sorted(
            (
                (int((self.signals.word(c.out) == values & ((1 << w) - 1)).sum()), c)
                for w, cells in self._free.items()
                if w >= _least_width(f)
                for c in cells
                if c.out not in self.words.given
            ),
            key=lambda pair: -pair[0],
        )
        for _, cell in ranked:
            try:
                cone = self.cone(cell.out, f)
            except Unproved:
                continue
            if cone is not None:
                return Match(f, cone, False, bits=cell.out)
        bits = ranked[0][1].out if ranked and ranked[0][0] > len(values) // 4 else ()
        return Match(f, None, False, why, bits)

    def cone(self, out: Bits, f: Function) -> Cone | None:
        """The cells from the arguments of ``f`` to ``out``; None when ``out`` needs others."""
        cells: dict[Bits, Instance] = {}
        leaves: dict[Bits, Leaf] = {}
        todo, seen = [out], set[Bits]()
        while todo:
            bits = todo.pop()
            if bits in seen:
                continue
            seen.add(bits)
            if bits != out:
                leaf = self._leaf(bits, f)
                if leaf is not None:
                    leaves[bits] = leaf
                    continue
            driver, _ = self.words.netlist.driver.get(bits[0], (None, 0))
            if isinstance(driver, Instance) and driver.out == bits:
                if driver.kind in CLOCKED:
                    return None
                cells[bits] = driver
                todo += driver.args
            elif not self._spread(bits, todo):
                return None
        self.words.stage(out)
        return Cone(out, tuple(reversed(cells.values())), tuple(leaves.values()))

    def _leaf(self, bits: Bits, f: Function) -> Leaf | None:
        try:
            word = self.words.word(bits)
        except Unproved:
            return None
        if word.right < len(bits):
            return None
        for k, argument in enumerate(f.args):
            found = affine(word.poly, argument)
            if found is not None:
                return Leaf(bits, k, *found)
        if not [m for m in word.poly if m]:
            return Leaf(bits, 0, 0, word.poly.get((), 0))
        return None

    def _spread(self, bits: Bits, todo: list[Bits]) -> bool:
        """Add the words that the wires of ``bits`` come from; False where one has no driver."""
        netlist = self.words.netlist
        for bit in bits:
            if bit in ("0", "1"):
                continue
            driver, _ = netlist.driver.get(bit, (None, 0))
            if bit in netlist.inverted:
                todo.append((netlist.inverted[bit],))
            elif isinstance(driver, Register):
                todo.append(driver.d)
            elif isinstance(driver, Instance) and driver.out != bits:
                todo.append(driver.out)
            else:
                return False
        return True


def _least_width(f: Function) -> int:
    low, high = f.range
    return max(1, high.bit_length()) if low >= 0 else max(1, (~low).bit_length(), high.bit_length())
