"""A netlist of standard cells placed by graywolf and routed by qrouter, both driven by qflow."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crystalc import tools
from crystalc.diagnostics import ToolError
from crystalc_verilog.engine import Engine
from crystalc_verilog.progress import progress
from crystalc_verilog.synth import NETLIST

SECONDS = 7200.0
"""For placing, and for routing."""

PROGRAMS = ("qflow", "graywolf", "qrouter")
HINT = "apt install qflow qflow-tech-osu018 graywolf qrouter"
POWER_NETS = 'set vddnet="vdd"\nset gndnet="gnd"\n'
NO_TIE = "the netlist has constant outputs, and the library no cell for constants: no layout"

DIE = re.compile(r"^DIEAREA \( (-?\d+) (-?\d+) \) \( (-?\d+) (-?\d+) \)", re.M)
UNITS = re.compile(r"^UNITS DISTANCE MICRONS (\d+)", re.M)
NETS = re.compile(r"Processed (\d+) nets total")
ROUTED = re.compile(r"Final: No failed routes!")


@dataclass(frozen=True)
class Layout:
    """``width`` and ``height`` of the die in um; ``nets``: how many were routed, all of them."""

    width: float
    height: float
    nets: int

    @property
    def area(self) -> float:
        """um2."""
        return self.width * self.height

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "area": self.area}


def place_and_route(folder: Path, name: str, use: Engine, liberty: Path) -> Layout:
    """Place and route the netlist in ``folder``, which keeps layout.def, place.log and route.log.

    Raises ToolError, also where a net stays open.
    """
    missing = [p for p in PROGRAMS if not shutil.which(p)]
    if missing:
        raise ToolError(f"{missing[0]} is missing, without which there is no layout", HINT)
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        work = Path(place)
        _prepare(folder, work, name, use, liberty)
        for step in ("place", "route"):
            log = work / "log" / f"{step}.log"
            with progress(f"qflow {step}", log):
                command = ["qflow", "-T", "osu018", step, name]
                done = tools.launch(command, work, timeout=SECONDS)
            if not log.exists() or "error condition" in log.read_text(errors="replace"):
                raise ToolError(f"qflow {step} failed", details=_last(log) or tools.said(done))
            shutil.copyfile(log, folder / log.name)
        layout = work / "layout" / f"{name}.def"
        if not layout.exists():
            raise ToolError("qflow wrote no layout", details=_last(log))
        shutil.copyfile(layout, folder / "layout.def")
    return read_layout(
        (folder / "layout.def").read_text(encoding="utf-8"),
        (folder / "route.log").read_text(errors="replace"),
    )


def _prepare(folder: Path, work: Path, name: str, use: Engine, liberty: Path) -> None:
    """The folders of qflow as they are after its synthesis, with our netlist instead."""
    for sub in ("source", "synthesis", "layout", "log", "blif"):
        (work / sub).mkdir()
    shutil.copyfile(folder / NETLIST, work / "blif" / NETLIST)
    script = [f"read_liberty -lib {liberty}", f"read_verilog {NETLIST}", "splitnets -ports"]
    use.run([*script, f"write_blif -gates -buf BUFX2 A Y {name}.blif"], work / "blif")
    lines = (work / "blif" / f"{name}.blif").read_text(encoding="utf-8").splitlines()
    cells = work / "synthesis" / f"{name}.blif"
    cells.write_text("\n".join(_without_constants(lines)) + "\n", encoding="utf-8")
    (work / "synthesis" / f"{name}.rtlnopwr.v").touch()
    (work / "synthesis" / f"{name}_powerground").write_text(POWER_NETS)
    shutil.copyfile(folder / NETLIST, work / "source" / f"{name}.v")


def _without_constants(lines: list[str]) -> list[str]:
    """BLIF without the definitions of constants, which nothing may use."""
    if any(re.search(r"=\$(true|false|undef)\b", line) for line in lines):
        raise ToolError(NO_TIE)
    return [line for line in lines if not line.startswith(".names") and line != "1"]


def _last(log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-8:])


def read_layout(design: str, log: str) -> Layout:
    """Size of the die in a DEF file, nets in qrouter's log. Raises ToolError, a net is open."""
    die, units, nets = DIE.search(design), UNITS.search(design), NETS.search(log)
    if not die or not units or not nets:
        raise ToolError("the layout does not read", details=design[:400])
    if not ROUTED.search(log):
        raise ToolError("qrouter left nets open", details="\n".join(log.splitlines()[-8:]))
    left, low, right, high = (int(die[k]) / int(units[1]) for k in range(1, 5))
    return Layout(round(right - left, 2), round(high - low, 2), int(nets[1]))
