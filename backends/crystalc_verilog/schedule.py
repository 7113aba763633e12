"""Cuts a circuit into pipeline stages of a bounded depth and says which values each cut carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crystalc_verilog.circuit import DEPTH, Circuit
from crystalc_verilog.lower import Lowered

EVERYWHERE = frozenset({"const", "state"})
"""Kinds whose value does not change while a vector is on its way: never registered."""


@dataclass(frozen=True)
class Schedule:
    """``stage[c]``: where a live cell computes; ``ranks[r]``: the cells that the registers before
    stage r hold. The last rank holds the outputs.
    """

    stage: Mapping[int, int]
    ranks: tuple[tuple[int, ...], ...]

    @property
    def latency(self) -> int:
        """Clock edges from the one that takes a vector to the one that may take its result."""
        return len(self.ranks)


def live_cells(lowered: Lowered) -> list[int]:
    """The cells that an output needs, in order of definition, and every input."""
    live = {*lowered.outputs, *lowered.inputs}
    for c in range(len(lowered.circuit.cells) - 1, -1, -1):
        if c in live:
            live.update(lowered.circuit.cells[c].args)
    return sorted(live)


def schedule(lowered: Lowered, levels: int) -> Schedule:
    """As soon as possible, at most ``levels`` adders between two ranks of registers."""
    live = live_cells(lowered)
    stage = _stages(lowered.circuit, live, levels)
    last = max((stage[c] for c in live), default=0)
    until = _last_use(lowered, live, stage, last)
    ranks: list[list[int]] = [[] for _ in range(last + 2)]
    for c in live:
        if lowered.circuit.cells[c].kind not in EVERYWHERE:
            first = 0 if lowered.circuit.cells[c].kind == "input" else stage[c] + 1
            for r in range(first, until[c] + 1):
                ranks[r].append(c)
    return Schedule(stage, tuple(map(tuple, ranks)))


def _stages(circuit: Circuit, live: list[int], levels: int) -> dict[int, int]:
    stage: dict[int, int] = {}
    depth: dict[int, int] = {}
    for c in live:
        cell = circuit.cells[c]
        at = max((stage[a] for a in cell.args), default=0)
        before = max((depth[a] for a in cell.args if stage[a] == at), default=0)
        after = before + DEPTH[cell.kind]
        if after > levels and before:
            at, after = at + 1, DEPTH[cell.kind]
        stage[c], depth[c] = at, after
    return stage


def _last_use(
    lowered: Lowered, live: list[int], stage: Mapping[int, int], last: int
) -> dict[int, int]:
    """The rank up to which each cell must be carried; outputs go into the rank after ``last``."""
    until = dict.fromkeys(live, -1)
    for c in live:
        for a in lowered.circuit.cells[c].args:
            until[a] = max(until[a], stage[c])
    for c in lowered.outputs:
        until[c] = last + 1
    return until
