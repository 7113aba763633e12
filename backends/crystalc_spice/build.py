"""What stands in a folder that ``--target spice`` made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import CompileError, refuse
from crystalc.vectors import read_vectors
from crystalc_spice.opamps import opamp

VECTORS = "vectors.npy"

OFFSET = 0.1e-3
"""Volts, of an amplifier that is no part of the presets."""


@dataclass(frozen=True)
class Build:
    """``facts`` is NAME.json; ``netlist`` the path of NAME.cir."""

    folder: Path
    netlist: Path
    facts: Mapping[str, Any]

    @property
    def level(self) -> str:
        """What the circuit is made of."""
        return str(self.facts["level"])

    @property
    def stages(self) -> Sequence[Mapping[str, Any]]:
        """Its parts in the order of signal flow."""
        found: Sequence[Mapping[str, Any]] = self.facts["stages"]
        return found

    @property
    def resistors(self) -> dict[str, float]:
        """Ohms by name, of the nominal parts."""
        found = (r for stage in self.stages for r in stage.get("resistors", ()))
        return {name: ohms for name, _, ohms in found}

    @property
    def offsets(self) -> list[str]:
        """Names of the sources that stand for offset voltages."""
        return [stage["offset"] for stage in self.stages if "offset" in stage]

    @property
    def offset(self) -> float:
        """Volts: standard deviation of an amplifier's offset where nothing else is said."""
        name = self.facts.get("opamp")
        return opamp(name).offset if name else OFFSET

    def vectors(self, path: Path | None) -> NDArray[np.float64]:
        """Inputs [n, I]: those of ``path``, else the ones that the compile was checked on."""
        chosen = path or self.folder / VECTORS
        if path is None and not chosen.exists():
            raise refuse(f"{chosen}: missing", hint="compile again, or add --vectors FILE.npy")
        return read_vectors(chosen, int(self.facts["inputs"]))


def read_build(folder: Path, need: Sequence[str] = ("crossbar",)) -> Build:
    """The build in ``folder``. Raises CompileError where there is none of a level in ``need``."""
    found = sorted(folder.glob("*.cir"))
    if len(found) != 1:
        raise refuse(f"{folder}: {len(found)} netlists, not one", hint="make it: --target spice")
    return load_build(found[0], need)


def load_build(netlist: Path, need: Sequence[str]) -> Build:
    """The build whose NAME.cir that is. Raises CompileError where its level is not in ``need``."""
    path = netlist.with_suffix(".json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        level = facts["level"]
    except (OSError, ValueError, KeyError, TypeError):
        raise refuse(f"{path}: missing or damaged") from None
    if level not in need:
        raise _other_level(netlist.parent, str(level), need)
    return Build(netlist.parent, netlist, facts)


def _other_level(folder: Path, level: str, need: Sequence[str]) -> CompileError:
    text = f"{folder}: the netlist is of level {level}; this command takes {' or '.join(need)}"
    return refuse(text, hint=f"compile it with --level {need[0]}")
