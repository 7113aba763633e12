"""Standard cells of Debian's academic osu018: area, OpenSTA's timing, the netlist checked.

Wires cost nothing here and the clock reaches every flip-flop at once: ``layout`` draws the wires.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crystalc import tools
from crystalc.check import Comparison, judge
from crystalc.diagnostics import ToolError, refuse
from crystalc.files import make_folder
from crystalc.vectors import kept
from crystalc_verilog.devices import Device
from crystalc_verilog.engine import Engine
from crystalc_verilog.layout import Layout, place_and_route
from crystalc_verilog.netlist import simulate_netlist
from crystalc_verilog.progress import progress
from crystalc_verilog.synth import NETLIST, Counts, design_of, synthesise

TECH = Path("/usr/share/qflow/tech/osu018")
LIBERTY = TECH / "osu018_stdcells.lib"
LABEL = "academic 180 nm library (osu018), typical corner, 1.8 V, 25 C"
WIRES = "no wires, ideal clock"
HINT = "apt install opensta qflow-tech-osu018"
STA_SECONDS = 600.0

DRIVER, LOAD = "INVX1", 0.05
"""What drives an input and what an output drives (pF)."""

CONSTRAINTS = "constraints.txt"
REGISTERS = r"DFF\w+|LATCH"
AREA = re.compile(r"^ *cell *\((\w+)\) *\{[^}]*?\barea *: *([\d.]+)", re.M)
ROW = re.compile(r"^ +-?[\d.]+ +(-?[\d.]+) [v^] \S+ \((\w+)\)$", re.M)
SLACK = re.compile(r"^ +(-?[\d.]+) +slack \(", re.M)
POWER = re.compile(r"^Total(?: +[\d.e+-]+){3} +([\d.e+-]+) ", re.M)


@dataclass(frozen=True)
class Timing:
    """The slowest path from clock edge to clock edge, setup included. ``cells``: types, in order.

    ``period`` (wanted), ``slack`` and ``shortest`` (period) in ns; ``fmax`` in MHz; ``power`` in W
    at ``period`` where every net but the clock switches ``activity`` times a clock.
    """

    tool: str
    period: float
    slack: float
    cells: tuple[str, ...]
    activity: float | None
    power: float | None

    @property
    def shortest(self) -> float:
        """The period at which the slack is 0."""
        return self.period - self.slack

    @property
    def fmax(self) -> float:
        """In MHz."""
        return 1e3 / self.shortest


@dataclass(frozen=True)
class Asic:
    """``area`` and ``registers`` (the part of it that is flip-flops) in um2.

    ``checked``: the netlist against the oracle; ``layout``: None where none was asked for.
    """

    counts: Counts
    area: float
    registers: float
    timing: Timing
    checked: Comparison
    layout: Layout | None

    def to_dict(self) -> dict[str, Any]:
        """``asic.json``."""
        speed = {"shortest_ns": self.timing.shortest, "fmax_mhz": self.timing.fmax}
        return {
            "library": LABEL,
            "wires": WIRES,
            **asdict(self),
            "counts": self.counts.to_dict(),
            "timing": {**asdict(self.timing), **speed},
            "layout": self.layout.to_dict() if self.layout else None,
        }


def standard_cells(period: float) -> Device:
    """The library as something that ``synthesise`` can aim at; ``period`` in ns."""
    return Device(
        name="osu018",
        family=LABEL,
        passes=(
            "synth -flatten -top {top}",
            f"dfflibmap -liberty {LIBERTY}",
            f"abc -liberty {LIBERTY} -D {period * 1000:.0f} -constr {CONSTRAINTS}",
            "splitnets",
            "rename -hide w:* x:* %d",  # short names for programs of the layout
            "rename -hide c:*",
            "rename -enumerate -pattern n% w:$*",
            "rename -enumerate -pattern u% c:$*",
            "opt_clean -purge",
            f"read_liberty -lib {LIBERTY}",
        ),
        resources=(("flip-flops", REGISTERS, 1), ("gates", f"(?!{REGISTERS}).*", 1)),
        levels=f"(?!{REGISTERS}|INVX|BUFX|CLKBUF).*",
        through=r"(INVX|BUFX|CLKBUF)\d",
        models=(str(TECH / "osu018_stdcells.v"),),
    )


def run_asic(
    build: Path,
    use: Engine,
    folder: Path,
    period: float,
    check: int,
    activity: float | None = None,
    layout: bool = False,
) -> Asic:
    """The design in ``build`` in standard cells, in ``folder``; ``check``: vectors to simulate.

    Raises CompileError, also where neurons are active, and ToolError.
    """
    require()
    facts = design_of(build)
    if facts["state"]:
        why = "flip-flops of a chip hold nothing at power-up, so active neurons would be undefined"
        raise refuse(f"{build}: {why}", hint="freeze every neuron: --frozen 1")
    x, wanted = kept(build, check)
    name, aim = facts["top"], standard_cells(period)
    make_folder(folder)
    (folder / CONSTRAINTS).write_text(f"set_driving_cell {DRIVER}\nset_load {LOAD}\n")
    with progress(f"{use.name} {use.version} for {aim.name}", folder / "yosys.log"):
        counts = synthesise(build, name, aim, use=use, folder=folder)
    timing = analyse(folder, name, period, activity)
    got = simulate_netlist(build, facts, folder, use, aim, counts.cells, x)
    area, registers = areas(LIBERTY.read_text(encoding="utf-8"), counts.cells)
    return Asic(
        counts=counts,
        area=area,
        registers=registers,
        timing=timing,
        checked=judge(wanted, got, np.zeros(wanted.shape)),
        layout=place_and_route(folder, name, use, LIBERTY) if layout else None,
    )


def require() -> None:
    """Raises ToolError when OpenSTA or the library is missing."""
    if not shutil.which("sta"):
        raise ToolError("OpenSTA (sta) is missing, without which there is no timing", HINT)
    if not LIBERTY.is_file():
        raise ToolError(f"the cell library {LIBERTY} is missing", HINT)


def areas(liberty: str, cells: Mapping[str, int]) -> tuple[float, float]:
    """Area of so many cells by type and of the flip-flops among them, um2. Raises ToolError."""
    each = {m[1]: float(m[2]) for m in AREA.finditer(liberty)}
    unknown = sorted(set(cells) - set(each))
    if unknown:
        raise ToolError(f"the cell library has no {unknown[0]}, which the netlist holds")
    sums = {kind: each[kind] * count for kind, count in cells.items()}
    return sum(sums.values()), sum(v for k, v in sums.items() if re.fullmatch(REGISTERS, k))


def analyse(folder: Path, name: str, period: float, activity: float | None) -> Timing:
    """Setup timing of the netlist in ``folder``, inputs at the clock edge. Raises ToolError."""
    text = (folder / NETLIST).read_text(encoding="utf-8")
    (folder / "sta.v").write_text(text.replace(" signed ", " "), encoding="utf-8")
    (folder / "sta.tcl").write_text("\n".join(_script(name, period, activity)) + "\n")
    said = tools.run(["sta", "-no_splash", "-exit", "sta.tcl"], folder, timeout=STA_SECONDS)
    report = said.decode(errors="replace")
    (folder / "sta.log").write_text(report, encoding="utf-8")
    version = tools.run(["sta", "-version"], folder, timeout=tools.TIMEOUT).decode().strip()
    return read_timing(report, f"OpenSTA {version}", period, activity)


def _script(name: str, period: float, activity: float | None) -> list[str]:
    """For OpenSTA; the ports are those of every design without active neurons."""
    power = [f"set_power_activity -global -activity {activity}", "report_power"]
    return [
        f"read_liberty {LIBERTY}",
        "read_verilog sta.v",
        f"link_design {name}",
        f"create_clock -name clk -period {period} [get_ports clk]",
        "set given [get_ports {rst in_valid in_data* out_ready}]",
        "set_input_delay 0 -clock clk $given",
        "set_output_delay 0 -clock clk [all_outputs]",
        f"set_driving_cell -lib_cell {DRIVER} $given",
        f"set_load {LOAD} [all_outputs]",
        "report_checks -path_delay max -digits 4",
        *(power if activity is not None else []),
    ]


def read_timing(report: str, tool: str, period: float, activity: float | None) -> Timing:
    """What OpenSTA printed. Raises ToolError when it complains, though its exit code is 0."""
    slack, power = SLACK.search(report), POWER.search(report)
    if "Error:" in report or not slack or (activity is not None and not power):
        lines = [line for line in report.splitlines() if "Error:" in line]
        raise ToolError("OpenSTA gives no timing", details="\n".join(lines) or report[-800:])
    return Timing(
        tool=tool,
        period=period,
        slack=float(slack[1]),
        cells=_path(report),
        activity=activity,
        power=float(power[1]) if power else None,
    )


def _path(report: str) -> tuple[str, ...]:
    """Types of the cells that the path goes through; the first is where it starts."""
    rows = [m for m in ROW.finditer(report) if float(m[1]) > 0]
    return tuple(m[2] for m in rows[:-1])
