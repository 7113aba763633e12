"""``prove``: every statement about a build with its verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crystalc.diagnostics import refuse
from crystalc_verilog.engine import Engine, engine
from crystalc_verilog.proof import handshake, sat, steps
from crystalc_verilog.proof.build import Build
from crystalc_verilog.proof.certificate import (
    ALGEBRA,
    CEC,
    PDR,
    Certificate,
    Item,
    Limits,
    Progress,
)
from crystalc_verilog.proof.lemma import Goal
from crystalc_verilog.proof.matching import Match
from crystalc_verilog.proof.netlist import Instance, read
from crystalc_verilog.proof.run import Plan, Sum, batches, goals, loads, plan, table_lemmas
from crystalc_verilog.proof.sat import OPEN, PROVED, REFUTED, Verdict
from crystalc_verilog.proof.words import CellLemma, TableLemma

PARALLEL_ONLY = ("memories and banks of active neurons, and writing them (simulated)",)


def prove(build: Build, limits: Limits, progress: Progress) -> Certificate:
    """Try everything. Raises ToolError for a missing tool."""
    yosys, abc = engine(), sat.abc_program()
    started = time.perf_counter()
    made = Certificate(build, {yosys.name: yosys.version, "abc": Path(abc).name})
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        folder = Path(place)
        progress("reading the design", 0, 1)
        netlist = read(yosys, build.folder, build.top, folder)
        if not loads(netlist):
            made.items += steps.items(build, yosys, abc, folder, limits, progress)
            made.not_proved = steps.NOT_PROVED
            made.seconds = time.perf_counter() - started
            return made
        made.not_proved = PARALLEL_ONLY
        found = plan(build, netlist)
        made.items += _data(found, yosys, abc, folder, limits, progress)
        if limits.only is None:
            made.items += _control(found, yosys, abc, folder, limits, progress)
    made.seconds = time.perf_counter() - started
    return made


def _data(
    found: Plan, yosys: Engine, abc: str, folder: Path, limits: Limits, progress: Progress
) -> Iterator[Item]:
    """Functions, sums and the cells they rest on."""
    rows = found.build.neuron_nodes()
    kept = [m for m in found.matches if limits.only in (None, _neuron(m, rows))]
    if not kept:
        raise refuse(f"there is no neuron {limits.only} in this build")
    wanted = _needed(found, kept if limits.only is not None else None)
    progress("making gates of both sides", 0, 1)
    models = sat.gates(wanted, yosys, found.build.folder, folder)
    verdicts: dict[str, Verdict] = {}
    for name, verdict in sat.prove(wanted, models, abc, folder, limits.jobs, limits.seconds):
        verdicts[name] = verdict
        progress("proving", len(verdicts), len(wanted))
    wrong = _wrong_cells(found, verdicts)
    for k, match in enumerate(found.matches):
        if match in kept:
            yield _function(found, match, verdicts.get(f"f{k}"), wrong, _neuron(match, rows))
    yield from _cells(found, verdicts, wrong)
    if limits.only is None:
        yield from (_sum(found, s, wrong) for s in found.sums)


def _neuron(match: Match, rows: Mapping[int, list[int]]) -> int | None:
    held = rows.get(match.function.node)
    return held[match.function.element] if held else None


def _needed(found: Plan, kept: list[Match] | None) -> dict[str, Goal]:
    """All goals, or those of some functions."""
    every = goals(found)
    if kept is None:
        return every
    cells = {(c.kind, c.params) for m in kept for c in found.cells_of(m)}
    names = {f"f{k}" for k, m in enumerate(found.matches) if m in kept}
    for name, batch in batches(found.words.lemmas).items():
        if any((x.kind, x.params) in cells for x in batch):
            names.add(name)
    for name, lemma in table_lemmas(found.words.lemmas).items():
        if any(kind == lemma.kind for kind, _ in cells):
            names.add(name)
    return {name: goal for name, goal in every.items() if name in names}


def _wrong_cells(found: Plan, verdicts: Mapping[str, Verdict]) -> dict[Instance, str]:
    """Cells whose lemma does not hold, with the verdict of its group."""
    wrong: dict[Instance, str] = {}
    for name, batch in batches(found.words.lemmas).items():
        verdict = verdicts.get(name)
        if verdict is not None and verdict.status != PROVED:
            for lemma in batch:
                if verdict.status == OPEN or _differs(lemma, batch, verdict):
                    wrong.update(dict.fromkeys(found.words.lemmas[lemma], verdict.status))
    for name, table in table_lemmas(found.words.lemmas).items():
        verdict = verdicts.get(name)
        if verdict is not None and verdict.status != PROVED:
            wrong.update(dict.fromkeys(found.words.lemmas[table], verdict.status))
    return wrong


def _differs(lemma: CellLemma, batch: list[CellLemma], verdict: Verdict) -> bool:
    """Does the counterexample of a group show this primitive wrong?"""
    at = 0
    for other in batch:
        width = _width(other)
        if other == lemma:
            return (verdict.got ^ verdict.wanted) >> at & ((1 << width) - 1) != 0
        at += width
    return False


def _width(lemma: CellLemma) -> int:
    return lemma.params[-1]


def _function(
    found: Plan,
    match: Match,
    verdict: Verdict | None,
    wrong: Mapping[Instance, str],
    row: int | None,
) -> Item:
    f = match.function
    name = f"n{f.node:04d}[{f.element}]"
    what = f"{f.kind} {name} at {found.words.netlist.name(match.bits)}"
    group = "function" if row is None else "neuron"
    if f.kind == "memory" and match.exact:
        return Item(
            group,
            what,
            PROVED,
            ALGEBRA,
            0.0,
            row,
            "address and index; the memory itself is simulated",
        )
    if verdict is None:
        status, detail = _missing(found, match)
        return Item(group, what, status, ALGEBRA, 0.0, row, detail)
    status, detail = verdict.status, ""
    if status == REFUTED:
        detail = _decoded(match, verdict)
    if status == REFUTED and not match.exact and not _differs_on_samples(found):
        status, detail = OPEN, f"not found in the design: {match.why}"
    bad = [c for c in found.cells_of(match) if c in wrong]
    if status == PROVED and bad:
        status, detail = (
            wrong[bad[0]],
            f"its sum rests on {bad[0].name}, which is not what it is called",
        )
    return Item(group, what, status, CEC, verdict.seconds, row, detail)


def _differs_on_samples(found: Plan) -> bool:
    """Does any output of the design differ from the oracle's on a sample?"""
    outputs = found.wanted[-1]
    return any(
        (found.signals.word(s.bits) != outputs[:, s.element] & ((1 << len(s.bits)) - 1)).any()
        for s in found.sums
    )


def _missing(found: Plan, match: Match) -> tuple[str, str]:
    """Why a function was not found: a sample on which the nearest word differs, if there is one."""
    f = match.function
    if match.bits and _differs_on_samples(found):
        mask = (1 << len(match.bits)) - 1
        got, wanted = found.signals.word(match.bits), found.wanted[f.node][:, f.element] & mask
        wrong = np.flatnonzero(got != wanted)
        if len(wrong):
            k = int(wrong[0])
            vector = " ".join(map(str, found.inputs[k].tolist()))
            return REFUTED, f"for the input {vector} it is {got[k]}, the oracle says {wanted[k]}"
    return OPEN, match.why


def _decoded(match: Match, verdict: Verdict) -> str:
    """A counterexample of a function in numbers."""
    f = match.function
    given = ", ".join(f"{name[1:]}: {value}" for name, value in verdict.inputs.items())
    width = len(match.bits)
    low = f.range[0]

    def shown(value: int) -> int:
        return value - (1 << width) if low < 0 and value >> (width - 1) else value

    return (
        f"for the argument {given.removeprefix('0: ')} it is {shown(verdict.got)}, "
        f"the oracle says {shown(verdict.wanted)}"
    )


def _cells(
    found: Plan, verdicts: Mapping[str, Verdict], wrong: Mapping[Instance, str]
) -> Iterator[Item]:
    """The lemmas about cells, one item a group."""
    for name, batch in batches(found.words.lemmas).items():
        if name in verdicts:
            users = [c for lemma in batch for c in found.words.lemmas[lemma]]
            bad = sorted(c.name for c in users if c in wrong)
            detail = f"wrong: {', '.join(bad[:4])}" if bad else ""
            what = f"{len(batch)} forms of {batch[0].kind} in {len(users)} places"
            v = verdicts[name]
            yield Item("cells", what, v.status, CEC, v.seconds, None, detail)
    for name, table in table_lemmas(found.words.lemmas).items():
        if name in verdicts:
            yield _table(found, table, verdicts[name])


def _table(found: Plan, table: TableLemma, verdict: Verdict) -> Item:
    what = f"{table.kind} in {len(found.words.lemmas[table])} places"
    detail = ""
    if verdict.status == REFUTED:
        at = verdict.inputs["u"]
        detail = f"entry {at} is {verdict.got}, a number with these bits needs {verdict.wanted}"
    return Item("cells", what, verdict.status, CEC, verdict.seconds, None, detail)


def _sum(found: Plan, made: Sum, wrong: Mapping[Instance, str]) -> Item:
    what = f"output {made.element}"
    if made.equal:
        return Item("output", what, PROVED, ALGEBRA)
    wanted = found.wanted[-1][:, made.element] & ((1 << len(made.bits)) - 1)
    got = found.signals.word(made.bits)
    different = np.flatnonzero(got != wanted)
    if not len(different):
        return Item("output", what, OPEN, ALGEBRA, 0.0, None, made.why)
    k = int(different[0])
    vector = " ".join(map(str, found.inputs[k].tolist()))
    detail = f"for the input {vector} it is {got[k]}, the oracle says {wanted[k]}"
    return Item("output", what, REFUTED, ALGEBRA, 0.0, None, detail)


def _control(
    found: Plan, yosys: Engine, abc: str, folder: Path, limits: Limits, progress: Progress
) -> Iterator[Item]:
    """The promises of the ports."""
    progress("proving the handshake", 0, 1)
    netlist = found.words.netlist
    handshake.gates(netlist, loads(netlist), found.build.top, yosys, folder)
    for what, v in handshake.prove(abc, folder, "cfg_valid" in netlist.ports, limits.seconds):
        detail = f"broken {v.inputs['clock']} clocks after reset" if v.inputs else ""
        yield Item("handshake", what, v.status, PDR, v.seconds, None, detail)
