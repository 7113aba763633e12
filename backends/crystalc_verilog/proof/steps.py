"""The statements about a folded design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from crystalc.diagnostics import refuse
from crystalc_verilog.engine import Engine
from crystalc_verilog.proof import sat, unit
from crystalc_verilog.proof.build import Build
from crystalc_verilog.proof.certificate import (
    ALGEBRA,
    CEC,
    EXECUTION,
    INDUCTION,
    Item,
    Limits,
    Progress,
)
from crystalc_verilog.proof.folded import Followed, Result, followed, promises
from crystalc_verilog.proof.machine import Broken
from crystalc_verilog.proof.places import Place
from crystalc_verilog.proof.sat import OPEN, PROVED, REFUTED, Verdict

NOT_PROVED = ("a reset while a bus write is on its way (simulated)",)
"""What no item speaks about."""


def items(
    build: Build, yosys: Engine, abc: str, folder: Path, limits: Limits, progress: Progress
) -> Iterator[Item]:
    """Everything that is tried. Raises CompileError for a neuron that is not there, ToolError."""
    try:
        made = followed(build, yosys, folder, progress)
    except Broken as error:
        status = REFUTED if error.certain else OPEN
        yield Item("control", "the way of a vector", status, EXECUTION, 0.0, None, str(error))
        return
    rows = build.neuron_nodes()
    kept = {k: p for k, p in enumerate(made.places) if limits.only in (None, _row(p, rows))}
    if not kept and limits.only is not None:
        raise refuse(f"there is no neuron {limits.only} in this build")
    verdicts = _decided(made, kept, yosys, abc, folder, limits, progress)
    for k, place in kept.items():
        yield _function(place, verdicts.get(f"f{k}"), _row(place, rows))
    if limits.only is None:
        yield from (_output(made, r) for r in made.results)
        for what, detail in promises(made):
            yield Item("control", what, PROVED, EXECUTION, 0.0, None, detail)
        if made.unit:
            progress("proving the unit of --argmax", 0, 1)
            verdict = unit.prove(build, made.unit, yosys, folder, limits.seconds)
            why = "" if verdict.status == PROVED else "a promise of watch_argmax.v"
            yield Item(
                "function", unit.CLAIM, verdict.status, INDUCTION, verdict.seconds, None, why
            )


def _row(place: Place, rows: Mapping[int, list[int]]) -> int | None:
    held = rows.get(place.function.node)
    return held[place.function.element] if held else None


def _decided(
    made: Followed,
    kept: Mapping[int, Place],
    yosys: Engine,
    abc: str,
    folder: Path,
    limits: Limits,
    progress: Progress,
) -> dict[str, Verdict]:
    goals = {f"f{k}": p.goal for k, p in kept.items() if p.goal is not None}
    progress("making gates of both sides", 0, 1)
    models = sat.gates(goals, yosys, made.build.folder, folder)
    verdicts = {}
    for name, verdict in sat.prove(goals, models, abc, folder, limits.jobs, limits.seconds):
        verdicts[name] = verdict
        progress("proving", len(verdicts), len(goals))
    return verdicts


def _function(place: Place, verdict: Verdict | None, row: int | None) -> Item:
    f = place.function
    what = f"{f.kind} n{f.node:04d}[{f.element}]"
    group = "function" if row is None else "neuron"
    if verdict is None:
        status = PROVED if place.exact else OPEN
        return Item(group, what, status, ALGEBRA, 0.0, row, place.why)
    detail = place.decoded(verdict) if verdict.status == REFUTED else ""
    return Item(group, what, verdict.status, CEC, verdict.seconds, row, detail)


def _output(made: Followed, result: Result) -> Item:
    what = f"output {result.element}"
    if result.equal:
        return Item("output", what, PROVED, ALGEBRA)
    wrong = made.differs(result)
    status = REFUTED if wrong else OPEN
    return Item("output", what, status, ALGEBRA, 0.0, None, wrong or "it is another sum")
