"""The proof of a folded design: one vector followed from reset to reset, its sums and functions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import FixedType, Op
from crystalc_verilog.engine import Engine
from crystalc_verilog.proof import build as builds
from crystalc_verilog.proof.atoms import Atoms
from crystalc_verilog.proof.build import Build
from crystalc_verilog.proof.certificate import Progress
from crystalc_verilog.proof.machine import Broken, Machine, Way, follow
from crystalc_verilog.proof.meaning import Meaning
from crystalc_verilog.proof.places import Finder, Place
from crystalc_verilog.proof.poly import Poly, plus
from crystalc_verilog.proof.rtl import read
from crystalc_verilog.proof.symbols import Symbols, Word
from crystalc_verilog.proof.unit import UNIT, unit_ports, without_argmax

ACTIVE = (
    "active neurons of a folded build stand in memories that a bus writes: such a build is only "
    "simulated (crystalc check), a parallel one is proved"
)

DEPTH = 100_000
"""Definitions may hang on each other in a long chain."""


@dataclass(frozen=True)
class Result:
    """Output ``element`` as the design has it and as the graph says."""

    element: int
    word: Word
    wanted: Poly
    equal: bool


@dataclass
class Followed:
    """A design that was followed to its end, or to the unit of --argmax, the module ``unit``."""

    build: Build
    symbols: Symbols
    way: Way
    places: list[Place]
    results: list[Result]
    inputs: NDArray[np.int64]
    wanted: list[NDArray[np.int64]]
    unit: str = ""

    def differs(self, result: Result) -> str:
        """A sample on which the output is not the oracle's."""
        mask = (1 << len(result.word)) - 1
        wanted = self.wanted[-1][:, result.element]
        got = self.symbols.sampled(result.word)
        wrong = np.flatnonzero(got != wanted & mask)
        if not len(wrong):
            return ""
        k = int(wrong[0])
        vector = " ".join(map(str, self.inputs[k].tolist()))
        return f"for the input {vector} it is {got[k]}, the oracle says {wanted[k] & mask}"


def followed(build: Build, yosys: Engine, folder: Path, progress: Progress) -> Followed:
    """Follow one vector and find the graph in what it meets. Raises Broken, ToolError."""
    sys.setrecursionlimit(DEPTH)
    _fit(build)
    behind = build.graph.find(Op.ARGMAX)
    flat = read(yosys, build.folder, build.top, folder, [UNIT] if behind else [])
    names = unit_ports(flat) if behind else {}
    build = without_argmax(build) if behind else build
    x = builds.samples(build.graph)
    wanted = builds.oracle(build.graph, x)
    symbols = Symbols(Atoms(), count=len(x))
    kept = bool(build.graph.find(Op.MIN) or build.graph.find(Op.DIV))
    machine = Machine(flat, symbols, names=names, registers=kept)
    inputs = _inputs(build, symbols, x)
    width, beats = build.facts["input"]["width"], int(build.graph.output.type.shape[0])
    total = build.facts["interval"]
    words = [symbols.word(p, width) for p in inputs]
    way = follow(machine, words, beats, lambda k: progress("following the control", k, total))
    if way.clocks != total:
        raise Broken(f"a vector takes {way.clocks} clocks, not {total}")
    finder = Finder(symbols, lambda i: wanted[i], [*machine.words, *way.outputs])
    meaning = Meaning(build.graph, symbols.atoms, finder.resolve)
    meaning.given = {build.graph.find(Op.INPUT)[0]: inputs}
    outputs = meaning.run()
    results = [
        Result(k, word, p, _equal(symbols, word, p))
        for k, (word, p) in enumerate(zip(way.outputs, outputs, strict=True))
    ]
    unit = flat.apart[0][0] if behind else ""
    return Followed(build, symbols, way, finder.places, results, x, wanted, unit)


def _fit(build: Build) -> None:
    """Raises Broken, uncertain, for what the argument does not cover."""
    if build.facts["state"]:
        raise Broken(ACTIVE, certain=False)


def _inputs(build: Build, symbols: Symbols, x: NDArray[np.int64]) -> list[Poly]:
    elem = build.graph.input.type.elem
    assert isinstance(elem, FixedType)
    made = [symbols.fresh(elem.low, elem.high, x[:, k]) for k in range(x.shape[1])]
    for poly in made:
        symbols.take(poly)
    return made


def _equal(symbols: Symbols, word: Word, wanted: Poly) -> bool:
    if symbols.word(wanted, len(word)) == word:
        return True
    apart = plus(symbols.modulo(word), wanted, -1)
    return not any(w % (1 << len(word)) for w in apart.values())


def promises(made: Followed) -> Iterator[tuple[str, str]]:
    """What following the control has shown, and a number for it."""
    way = made.way
    yield "reset from any state leaves one state of the control", ""
    yield "no data decide about the control", f"{way.clocks} clocks from vector to vector"
    yield "in each of these clocks an end that waits holds everything", f"{way.held} can wait"
    yield "after its last number the design is as reset leaves it", ""
