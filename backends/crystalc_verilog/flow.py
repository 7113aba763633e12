"""``crystalc synth``: counts, the share of frozen and active neurons, budget, netlist check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crystalc.check import Comparison, judge
from crystalc.diagnostics import refuse
from crystalc.vectors import kept
from crystalc_verilog.devices import Device
from crystalc_verilog.engine import Engine
from crystalc_verilog.estimate import estimate
from crystalc_verilog.netlist import lacking, simulate_netlist
from crystalc_verilog.progress import progress
from crystalc_verilog.synth import Counts, design_of, difference, synthesise


@dataclass(frozen=True)
class Budget:
    """Counts that a design had with one Yosys, and by how much of them it may grow."""

    yosys: str
    tolerance: float
    counts: Mapping[str, int]

    def exceeded(self, counts: Counts) -> list[str]:
        """A sentence for each resource beyond its budget. Raises CompileError, another Yosys."""
        used = f"{counts.engine} {counts.version}"
        if used != self.yosys:
            raise refuse(f"the budget is of {self.yosys}, this is {used}")
        return [
            f"{name}: {counts.resources.get(name, 0):,} is more than {limit:,} + "
            f"{self.tolerance:.0%}"
            for name, limit in self.counts.items()
            if counts.resources.get(name, 0) > limit * (1 + self.tolerance)
        ]


@dataclass(frozen=True)
class Synthesis:
    """``frozen``: the part that stays when the registers of active neurons are stuck at 0 (folded:
    never written), None where all neurons are frozen. ``estimates``: by resource, before synthesis.
    ``checked``: the netlist against the oracle, ``of`` that netlist.
    """

    whole: Counts
    frozen: Counts | None
    estimates: Mapping[str, int]
    checked: Comparison | None
    of: Counts | None

    @property
    def active(self) -> Counts | None:
        """What active neurons take beyond the frozen part."""
        return difference(self.whole, self.frozen) if self.frozen else None

    def to_dict(self) -> dict[str, Any]:
        """``synth.json``."""
        parts = {"frozen": self.frozen, "active": self.active}
        return {
            **self.whole.to_dict(),
            "estimates": dict(self.estimates),
            "parts": {k: dict(v.resources) for k, v in parts.items() if v},
            "check": self.checked.to_dict() if self.checked else None,
            "checked_netlist": self.of.to_dict() if self.of else None,
        }


def run_synthesis(
    build: Path, aim: Device, use: Engine, folder: Path, dsp: bool = True, check: int = 0
) -> Synthesis:
    """Synthesise the design in ``build``; ``check``: simulate the netlist on so many vectors.

    ``folder`` keeps every file of the runs. Raises CompileError and ToolError.
    """
    facts = design_of(build)
    vectors = kept(build, check) if check else None
    name = facts["top"]
    whole = _run(build, name, aim, use, folder, dsp=dsp)
    frozen = None
    if facts["state"]:
        frozen = _run(build, name, aim, use, folder / "frozen", dsp=dsp, frozen_only=True)
    guesses = estimate(facts["area"], aim.name) if dsp else {}
    counts = {k: v.count for k, v in guesses.items()}
    if vectors is None:
        return Synthesis(whole, frozen, counts, None, None)
    of = whole
    if lacking(use, aim, whole.cells):
        folder = folder / "check"
        of = _run(build, name, aim, use, folder, hard=False)
    x, wanted = vectors
    got = simulate_netlist(build, facts, folder, use, aim, of.cells, x)
    judged = judge(wanted, got, np.zeros(wanted.shape))
    return Synthesis(whole, frozen, counts, judged, of)


def _run(build: Path, name: str, aim: Device, use: Engine, folder: Path, **how: bool) -> Counts:
    with progress(f"{use.name} {use.version} for {aim.name}", folder / "yosys.log"):
        return synthesise(build, name, aim, use=use, folder=folder, **how)  # type: ignore[arg-type]


def read_budget(path: Path, device: str) -> Budget:
    """The budget of a device: {"yosys", "tolerance", "devices": {device: {resource: count}}}.

    Raises CompileError.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        counts = {str(k): int(v) for k, v in found["devices"][device].items()}
        return Budget(str(found["yosys"]), float(found["tolerance"]), counts)
    except OSError as error:
        raise refuse(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise refuse(f"{path}: not a budget: {error}") from None
    except KeyError as error:
        raise refuse(f"{path}: not a budget for {device}: it lacks {error}") from None
