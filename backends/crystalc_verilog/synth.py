"""Synthesis of an emitted design: Yosys, what it counted, and exactly how it was asked."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from crystalc.diagnostics import ToolError, refuse
from crystalc.files import make_folder
from crystalc_verilog.depth import logic_depth
from crystalc_verilog.devices import Device, device
from crystalc_verilog.engine import Engine, engine
from crystalc_verilog.names import check_name

NETLIST = "netlist.v"
FORGET_BANKS = (
    "delete t:*crystal_bank*",
    "memory_collect",
    "setundef -undriven -zero",
)
"""Registers of active neurons become constant 0: what served only them is optimised away.
Memories are collected before, since the enable of a port that has none would become 0 too."""
FORGET_WRITES = ("cd {top}", "connect -set cfg_write 1'0", "cd ..")
"""A folded design keeps active neurons in its memories, which are never written now."""


@dataclass(frozen=True)
class Counts:
    """What Yosys made of a design, and by which script of which Yosys for which library.

    ``cells``: cells by type; ``resources``: LUT, FF, ... of the device; ``depth``: LUTs (gates)
    in a row between registers, carry chains and wide multiplexers not counted.
    """

    device: str
    engine: str
    version: str
    library: str
    script: tuple[str, ...]
    dsp: bool
    resources: Mapping[str, int]
    cells: Mapping[str, int]
    depth: int
    seconds: float

    @property
    def total(self) -> int:
        """All cells of the netlist."""
        return sum(self.cells.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "total": self.total}


def design_of(build: Path) -> dict[str, Any]:
    """NAME.json of the Verilog artefact in ``build``; its ``top`` is a checked identifier.

    Raises CompileError when there is none, or more than one.
    """
    found = []
    for path in sorted(build.glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and facts.get("top") == path.stem:
            found.append(facts)
    if len(found) != 1:
        what = "more than one design" if found else "no Verilog design"
        hint = "crystalc MODEL --target verilog -o FOLDER makes one"
        raise refuse(f"{build}: {what} in this folder", hint=hint)
    check_name(found[0]["top"])
    return found[0]


def synthesise(
    build: Path,
    name: str,
    target: str | Device,
    *,
    use: Engine | None = None,
    dsp: bool = True,
    hard: bool = True,
    folder: Path | None = None,
    frozen_only: bool = False,
    wrapped: str = "",
) -> Counts:
    """Run the device's script on NAME.v of ``build`` and count.

    ``folder`` keeps script.ys, yosys.log, netlist.v and netlist.json (default: a temporary one).
    ``dsp``: multipliers may be DSP blocks; ``hard`` False: no block without an open simulation
    model. ``frozen_only``: with the registers of active neurons stuck at 0, or, where they are
    words of memories, without the logic that writes them. ``wrapped``:
    the top is NAME_WRAPPED, which is in ``folder``. Raises ToolError.
    """
    check_name(name)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
            return synthesise(
                build,
                name,
                target,
                use=use,
                dsp=dsp,
                hard=hard,
                folder=Path(place),
                frozen_only=frozen_only,
            )
    aim = device(target) if isinstance(target, str) else target
    yosys = use or engine()
    make_folder(folder)
    sources = ["crystal_cells.v", f"{name}.v"]
    for source in sources:
        _copy(build / source, folder / source)
    top = f"{name}_{wrapped}" if wrapped else name
    sources += [f"{top}.v"] if wrapped else []
    flags = "" if dsp and hard else aim.no_dsp if hard else aim.no_hard
    forget = _forget(folder / f"{name}.v", top) if frozen_only else []
    script = _script(aim, top, sources, flags, forget)
    start = time.perf_counter()
    yosys.run(script, folder)
    seconds = time.perf_counter() - start
    cells = _cells((folder / "stat.json").read_text(encoding="utf-8"), top)
    return Counts(
        device=aim.name,
        engine=yosys.name,
        version=yosys.version,
        library=_library(aim, yosys),
        script=tuple(script),
        dsp=dsp,
        resources=aim.count(cells),
        cells=cells,
        depth=logic_depth((folder / "netlist.json").read_text(encoding="utf-8"), top, aim),
        seconds=round(seconds, 1),
    )


def _library(aim: Device, yosys: Engine) -> str:
    name = aim.models[0]
    return name if Path(name).is_absolute() else f"{name} of Yosys {yosys.version}"


def _copy(source: Path, to: Path) -> None:
    try:
        shutil.copyfile(source, to)
    except OSError as error:
        raise refuse(f"cannot copy {source}: {error.strerror}") from None


def _forget(source: Path, top: str) -> list[str]:
    """Commands that take the active neurons' part away."""
    banks = "crystal_bank" in source.read_text(encoding="utf-8")
    commands = FORGET_BANKS if banks else [c.format(top=top) for c in FORGET_WRITES]
    return [f"hierarchy -top {top}", "proc", *commands]


def _script(
    aim: Device, top: str, sources: Sequence[str], flags: str, forget: Sequence[str]
) -> list[str]:
    """Nothing in it comes from a model: file names are ours and ``top`` is an identifier."""
    return [
        f"read_verilog -defer {' '.join(sources)}",
        *forget,
        *aim.script(top, flags),
        "delete t:$scopeinfo",
        f"write_verilog -noattr {NETLIST}",
        "write_json netlist.json",
        "tee -q -o stat.json stat -json",
    ]


def _cells(text: str, top: str) -> dict[str, int]:
    """Cells by type in what ``stat -json`` wrote."""
    try:
        found = json.loads(text[text.index("{") :])["modules"][f"\\{top}"]["num_cells_by_type"]
    except (ValueError, KeyError) as error:
        raise ToolError("Yosys's stat -json does not read", details=text[:400]) from error
    return {str(k): int(v) for k, v in found.items()}


def difference(whole: Counts, part: Counts) -> Counts:
    """The resources that ``whole`` has beyond ``part``."""
    rest = {k: v - part.resources.get(k, 0) for k, v in whole.resources.items()}
    return replace(whole, resources=rest)
