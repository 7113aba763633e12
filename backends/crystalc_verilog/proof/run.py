"""The proof of a parallel design's data path, step by step."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import Op
from crystalc_verilog.proof import build as builds
from crystalc_verilog.proof.atoms import Atoms
from crystalc_verilog.proof.build import Build
from crystalc_verilog.proof.lemma import Goal, cells_goal, function_goal, table_goal
from crystalc_verilog.proof.matching import Match, Matcher
from crystalc_verilog.proof.meaning import Meaning
from crystalc_verilog.proof.netlist import Bit, Bits, Instance, Netlist, Register
from crystalc_verilog.proof.poly import Poly, plus
from crystalc_verilog.proof.signals import Signals
from crystalc_verilog.proof.words import CellLemma, Lemma, TableLemma, Unproved, Word, Words

BATCH = 32
"""Primitives of one kind that one call of ABC proves."""

DEPTH = 100_000
"""Words may hang on each other in a long chain."""


@dataclass(frozen=True)
class Sum:
    """Output ``element``: the design's polynomial and the graph's; ``why`` it could not be had."""

    element: int
    bits: Bits
    equal: bool
    why: str = ""


@dataclass
class Plan:
    """What is to be proved, and how the design was read for it."""

    build: Build
    words: Words
    signals: Signals
    wanted: list[NDArray[np.int64]]
    inputs: NDArray[np.int64]
    matches: list[Match] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)

    def cells_of(self, match: Match) -> set[Instance]:
        """The cells whose lemmas the place of a function rests on."""
        found: set[Instance] = set()
        for leaf in match.cone.leaves if match.cone else ():
            self._upstream(leaf.bits, found, set())
        return found

    def _upstream(self, bits: Bits, found: set[Instance], seen: set[Bits]) -> None:
        todo = [bits]
        while todo:
            word = todo.pop()
            if word in seen or word in self.words.given:
                continue
            seen.add(word)
            for made in {id(m): m for m in map(self._driver, word) if m}.values():
                if isinstance(made, Instance):
                    found.add(made)
                    todo += made.args
                else:
                    todo.append(made.d)

    def _driver(self, bit: Bit) -> Instance | Register | None:
        found = self.words.netlist.driver.get(bit)
        return found[0] if found else None


def plan(build: Build, netlist: Netlist) -> Plan:
    """Read both ends and find every function in the design; nothing is proved yet."""
    sys.setrecursionlimit(DEPTH)
    tables = builds.tables((build.folder / f"{build.top}.v").read_text("utf-8"), build.top)
    x = builds.samples(build.graph)
    wanted = builds.oracle(build.graph, x)
    words = Words(netlist, Atoms(), tables, loads=loads(netlist))
    signals = Signals(netlist, tables, len(x), _given(build, netlist, x))
    made = Plan(build, words, signals, wanted, x)
    matcher = Matcher(words, signals, lambda node: wanted[node], _addresses(build))
    meaning = Meaning(build.graph, words.atoms, matcher.resolve)
    meaning.placed = lambda i: _place(build, netlist, words, meaning, i)
    outputs = meaning.run()
    made.matches = matcher.matches
    made.sums = [
        _sum(words, bits, k, p) for k, (bits, p) in enumerate(_outputs(build, netlist, outputs))
    ]
    return made


def loads(netlist: Netlist) -> dict[Bit, int]:
    """The load wire of each rank, and the rank's place in the chain from input to output."""
    ranks = {c.ports[2]: c for c in netlist.instances if c.kind == "crystal_rank"}
    ends = {c.ports[5] for c in ranks.values()}
    at = next((c for start, c in ranks.items() if start not in ends), None)
    found: dict[Bit, int] = {}
    while at is not None and at.ports[4][0] not in found:
        found[at.ports[4][0]] = len(found)
        at = ranks.get(at.ports[5])
    return found


def _slices(bits: Bits, width: int) -> list[Bits]:
    return [bits[k : k + width] for k in range(0, len(bits), width)]


def _given(build: Build, netlist: Netlist, x: NDArray[np.int64]) -> dict[Bits, NDArray[np.int64]]:
    """The inputs and the states as they are at power-up, on the samples."""
    width = build.facts["input"]["width"]
    mask = (1 << width) - 1
    given = {
        bits: x[:, k] & mask for k, bits in enumerate(_slices(netlist.ports["in_data"], width))
    }
    for cell in netlist.instances:
        if cell.kind == "crystal_bank":
            _, width, _, _, initial = cell.params
            for k, bits in enumerate(_slices(cell.out, width)):
                value = initial >> (k * width) & ((1 << width) - 1)
                given[bits] = np.full(len(x), value, np.int64)
    return given


def _addresses(build: Build) -> dict[int, int]:
    """First address of each active constant, by node."""
    return {int(s["name"][1:]): int(s["address"]) for s in build.facts["state"]}


def _place(build: Build, netlist: Netlist, words: Words, meaning: Meaning, i: int) -> None:
    """Give the wires of the inputs and of the states their variables."""
    node = build.graph[i]
    if node.op is Op.INPUT:
        wires = _slices(netlist.ports["in_data"], build.facts["input"]["width"])
    elif node.is_state and i in _addresses(build):
        wires = _bank(netlist, _addresses(build)[i])
    else:
        return
    for k, bits in enumerate(wires):
        words.given[bits] = Word(meaning.elements[i][k], *meaning.span(i, k))


def _bank(netlist: Netlist, address: int) -> list[Bits]:
    for cell in netlist.instances:
        if cell.kind == "crystal_bank" and cell.params[3] == address:
            return _slices(cell.out, cell.params[1])
    return []


def _outputs(build: Build, netlist: Netlist, outputs: list[Poly]) -> Iterator[tuple[Bits, Poly]]:
    width = build.facts["output"]["width"]
    return zip(_slices(netlist.ports["out_data"], width), outputs, strict=True)


def _sum(words: Words, bits: Bits, element: int, wanted: Poly) -> Sum:
    try:
        word = words.word(bits)
        words.stage(bits)
    except Unproved as error:
        return Sum(element, bits, False, str(error))
    apart = plus(word.poly, wanted, -1)
    equal = word.right >= len(bits) and not any(w % (1 << len(bits)) for w in apart.values())
    return Sum(element, bits, equal, "" if equal else "it is another sum")


def goals(made: Plan) -> dict[str, Goal]:
    """Every function, and the lemmas that the sums rest on."""
    found = {
        f"f{k}": function_goal(m.function, m.cone, made.words.netlist)
        for k, m in enumerate(made.matches)
        if m.cone is not None
    }
    for name, batch in batches(made.words.lemmas).items():
        found[name] = cells_goal(batch)
    for name, lemma in table_lemmas(made.words.lemmas).items():
        found[name] = table_goal(lemma)
    return found


def batches(lemmas: Mapping[Lemma, list[Instance]]) -> dict[str, list[CellLemma]]:
    """Lemmas about primitives in groups, by name of the goal."""
    found: dict[str, list[CellLemma]] = {}
    for kind in sorted({x.kind for x in lemmas if isinstance(x, CellLemma)}):
        held = sorted(
            (x for x in lemmas if isinstance(x, CellLemma) and x.kind == kind),
            key=lambda x: x.params,
        )
        size = BATCH if kind != "crystal_mul" else 1
        for k in range(0, len(held), size):
            found[f"c{len(found)}"] = held[k : k + size]
    return found


def table_lemmas(lemmas: Mapping[Lemma, list[Instance]]) -> dict[str, TableLemma]:
    """Lemmas about tables, by name of the goal."""
    held = [x for x in lemmas if isinstance(x, TableLemma)]
    return {f"t{k}": x for k, x in enumerate(held)}
