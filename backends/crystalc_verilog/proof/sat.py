"""Proves goals: Yosys makes gates of both sides, ABC's ``cec`` decides whether they are equal."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from crystalc.diagnostics import ToolError
from crystalc_verilog.engine import Engine
from crystalc_verilog.proof import blif
from crystalc_verilog.proof.lemma import Goal, verilog

PROVED, REFUTED, OPEN = "proved", "refuted", "simulated only"


@dataclass(frozen=True)
class Verdict:
    """What became of a goal. ``inputs``: a counterexample; ``got`` and ``wanted``: both sides of
    it, as unsigned numbers of the whole output.
    """

    status: str
    seconds: float
    inputs: Mapping[str, int] = field(default_factory=dict)
    got: int = 0
    wanted: int = 0


def abc_program() -> str:
    """ABC as it comes with Yosys. Raises ToolError when there is none."""
    spec = find_spec("pyosys")
    inside = Path(spec.origin).with_name("yosys-abc") if spec and spec.origin else None
    if inside is not None and inside.exists():
        return str(inside)
    path = shutil.which("yosys-abc") or shutil.which("berkeley-abc")
    if path is None:
        raise ToolError("ABC is missing", "pip install 'crystalc[synth]', or put yosys-abc on PATH")
    return path


def gates(goals: Mapping[str, Goal], engine: Engine, build: Path, folder: Path) -> dict[str, str]:
    """Both sides of every goal as BLIF models imp_NAME and ref_NAME. Raises ToolError."""
    if not goals:
        return {}
    (folder / "goals.v").write_text(verilog(goals), encoding="utf-8")
    (folder / "cells.v").write_bytes((build / "crystal_cells.v").read_bytes())
    script = [
        "read_verilog -defer cells.v design.v",
        "read_verilog -icells goals.v",
        "hierarchy -top all",
        "delete all",
        "proc -norom",
        "flatten",
        "delete imp_* ref_* %u %n",
        "opt_expr; opt_clean; wreduce; opt_clean",
        "techmap",
        "opt_clean -purge",
        "write_blif goals.blif",
    ]
    engine.run(script, folder)
    return blif.models((folder / "goals.blif").read_text(encoding="utf-8"))


def prove(
    goals: Mapping[str, Goal],
    models: Mapping[str, str],
    abc: str,
    folder: Path,
    jobs: int,
    limit: float,
) -> Iterator[tuple[str, Verdict]]:
    """Verdicts as they come. Raises ToolError when ABC does not answer as expected."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=jobs))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        tasks = [
            (name, pool.submit(_decide, name, goal, models, abc, folder, limit))
            for name, goal in goals.items()
        ]
        for name, task in tasks:
            yield name, task.result()


def _decide(
    name: str, goal: Goal, models: Mapping[str, str], abc: str, folder: Path, limit: float
) -> Verdict:
    started = time.perf_counter()
    sides = [models[f"{side}_{name}"] for side in ("imp", "ref")]
    files = [f"{side}_{name}.blif" for side in ("imp", "ref")]
    for file, text in zip(files, sides, strict=True):
        (folder / file).write_text(text, encoding="utf-8")
    said = call(abc, f"cec {' '.join(files)}", folder, limit)
    seconds = time.perf_counter() - started
    if said is None:
        return Verdict(OPEN, seconds)
    if "Networks are equivalent" in said:
        return Verdict(PROVED, seconds)
    if "NOT EQUIVALENT" not in said:
        raise ToolError("yosys-abc gave no verdict", details=said)
    bits = _pattern(said)
    got, wanted = (_output(side, bits, goal.output) for side in sides)
    values = {p: blif.word(bits, p, w, s) for p, w, s in goal.inputs}
    return Verdict(REFUTED, seconds, values, got, wanted)


def _pattern(said: str) -> dict[str, int]:
    """The inputs of a counterexample: ABC lists those that one side depends on bit by bit, and
    words of all of them before that.
    """
    bits = {n: int(v) for n, v in re.findall(r"(\S+?)=([01])(?=\s|$)", said)}
    given = said.partition("INPUT:")[2].partition("OUTPUT:")[0]
    for name, width, value in re.findall(r"(\w+) = (\d+)'h([0-9a-fA-F]+)", given):
        bits[name] = int(value, 16) & 1
        bits.update((f"{name}[{k}]", int(value, 16) >> k & 1) for k in range(int(width)))
    return bits


def _output(model: str, bits: Mapping[str, int], width: int) -> int:
    return blif.word(blif.run(model, bits), "y", width, False)


def call(abc: str, script: str, folder: Path, limit: float) -> str | None:
    """What ABC prints for a script; None when it takes longer than ``limit`` seconds."""
    try:
        done = subprocess.run(
            [abc, "-c", script],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return None
    except OSError as error:
        raise ToolError(f"yosys-abc does not start: {error.strerror}") from error
    return done.stdout.decode(errors="replace")
