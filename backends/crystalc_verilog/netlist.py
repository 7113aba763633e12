"""A synthesised netlist in Icarus: the design's own testbench, and Yosys's models of the cells."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import ToolError
from crystalc_verilog.devices import Device
from crystalc_verilog.engine import Engine
from crystalc_verilog.simulate import from_hex, run, to_hex
from crystalc_verilog.synth import NETLIST

MODULE = re.compile(r"^[ \t]*(module|primitive)[ \t]+\\?([\w$]+)\b.*?\bend\1\b", re.M | re.S)
FLAGS = ("-g2005", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-DNO_INCLUDES")


def share(use: Engine) -> Path:
    """The folder of Yosys's cell libraries. Raises ToolError when it is not found."""
    if use.name == "pyosys":
        spec = find_spec("pyosys")
        assert spec is not None and spec.origin is not None
        return Path(spec.origin).parent / "share"
    binary = Path(use.command[0]).resolve()
    place = binary.parent.parent / "share" / "yosys"
    if not place.is_dir():
        raise ToolError(f"the cell libraries of {binary} are not in {place}")
    return place


def known_models(use: Engine, aim: Device) -> dict[str, str]:
    """The text of every simulation model of the device's library, by name."""
    texts = ((share(use) / name).read_text(encoding="utf-8") for name in aim.models)
    return {m[2]: m[0] for text in texts for m in MODULE.finditer(text)}


def lacking(use: Engine, aim: Device, cells: Iterable[str]) -> list[str]:
    """The cells that have no simulation model."""
    return sorted(set(cells) - set(known_models(use, aim)))


def models(use: Engine, aim: Device, cells: Iterable[str]) -> str:
    """Verilog of the models of ``cells`` and of the cells those are made of.

    Only these, because Icarus does not take every model of every library.
    """
    known = known_models(use, aim)
    found: dict[str, str] = {}
    todo = sorted(cells)
    while todo:
        name = todo.pop()
        if name in known and name not in found:
            found[name] = known[name]
            todo += sorted(set(re.findall(r"\b(?:[A-Z]|udp_)\w+\b", known[name])))
    return "\n\n".join(found.values()) + "\n"


def simulate_netlist(
    build: Path,
    facts: Mapping[str, Any],
    folder: Path,
    use: Engine,
    aim: Device,
    cells: Iterable[str],
    inputs: NDArray[Any],
) -> NDArray[np.int64]:
    """Outputs [batch, O] of the netlist in ``folder`` under the testbench of ``build``.

    ``facts``: NAME.json; ``cells``: the types that the netlist holds. Raises ToolError.
    """
    name = facts["top"]
    shutil.copyfile(build / f"{name}_tb.v", folder / f"{name}_tb.v")
    (folder / "models.v").write_text(models(use, aim, cells), encoding="utf-8")
    (folder / "inputs.hex").write_text(to_hex(inputs, facts["input"]))
    count = f"-P{name}_tb.COUNT={len(inputs)}"
    sources = ["models.v", NETLIST, f"{name}_tb.v"]
    run(["iverilog", *FLAGS, "-s", f"{name}_tb", count, "-o", "sim", *sources], folder)
    run(["vvp", "-n", "sim"], folder, finished=f"DONE {len(inputs)} ")
    return from_hex((folder / "outputs.hex").read_text(), facts["output"])
