"""Run an emitted netlist: in a process with libngspice, or by the program ``ngspice -b``."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import tools
from crystalc.diagnostics import ToolError
from crystalc_spice.netlist import number
from crystalc_spice.ngspice import library
from crystalc_spice.raw import read_raw

TIMEOUT = 600.0
"""Seconds for one set of vectors."""

HINT = "apt install ngspice libngspice0"


def simulate(build: Path, name: str, inputs: NDArray[Any], engine: str = "") -> NDArray[np.float64]:
    """Outputs [batch, O] for inputs [batch, I] in volts: voltages times the value of one volt.

    Raises ToolError.
    """
    facts = json.loads((build / f"{name}.json").read_text(encoding="utf-8"))
    netlist = (build / f"{name}.cir").resolve()
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        volts = solve_netlist(netlist, facts["outputs"], inputs, Path(place), engine)
    return volts * float(facts.get("unit", 1.0))


def solve_netlist(
    netlist: Path,
    outputs: Sequence[str],
    inputs: NDArray[Any],
    folder: Path,
    engine: str = "",
) -> NDArray[np.float64]:
    """Voltages [batch, O] of the nets ``outputs``; ``folder`` is a place to work in."""
    run = _shared if (engine or default_engine()) == "shared" else _batch
    return run(netlist, outputs, inputs, folder)


def default_engine() -> str:
    """ "batch" where the program is there, else "shared": in a sweep each point starts from the one
    before and the matrix is ordered once, which is several times faster.
    """
    return "batch" if shutil.which("ngspice") or not library() else "shared"


def _shared(
    netlist: Path, outputs: Sequence[str], inputs: NDArray[Any], folder: Path
) -> NDArray[np.float64]:
    np.save(folder / "inputs.npy", np.asarray(inputs, dtype=np.float64))
    files = [str(netlist), "inputs.npy", "outputs.npy"]
    _run([sys.executable, "-m", "crystalc_spice.worker", *files, *outputs], folder)
    return np.asarray(np.load(folder / "outputs.npy", allow_pickle=False))


def _batch(
    netlist: Path, outputs: Sequence[str], inputs: NDArray[Any], folder: Path
) -> NDArray[np.float64]:
    """All vectors in one sweep over an index, the sources being tables of it."""
    lines = netlist.read_text(encoding="ascii").split("\n")
    body = [line for line in lines if line != ".end"]
    for d in range(inputs.shape[1]):
        body[body.index(f"vx{d} x{d} 0 dc 0")] = _table(d, inputs[:, d].tolist())
    sweep = ["vindex index 0 0", f".dc vindex 0 {max(1, len(inputs) - 1)} 1", ".end", ""]
    found = read_raw(run_batch([*body, *sweep], folder))
    volts = np.stack([found[f"v({net})"][: len(inputs)] for net in outputs], axis=1)
    if len(volts) != len(inputs):
        raise ToolError(f"ngspice solved {len(volts)} of {len(inputs)} vectors")
    return volts


def run_batch(lines: Sequence[str], folder: Path) -> bytes:
    """The raw file of a netlist that holds its analysis. Raises ToolError."""
    (folder / "analysis.cir").write_text("\n".join(lines), encoding="ascii")
    _run(["ngspice", "-b", "-r", "out.raw", "analysis.cir"], folder)
    try:
        return (folder / "out.raw").read_bytes()
    except OSError:
        raise ToolError("ngspice finished without a result") from None


def _table(d: int, values: Sequence[float]) -> str:
    """x_d as a piecewise linear function of the index; one point more where there is one only."""
    padded = [*values, values[-1]]
    points = ",".join(f"{k},{number(v)}" for k, v in enumerate(padded))
    return f"bx{d} x{d} 0 v=pwl(v(index),{points})"


def _run(command: Sequence[str], folder: Path) -> None:
    tools.run(command, folder, timeout=TIMEOUT, name="ngspice", hint=HINT, env=_environment())


def _environment() -> Mapping[str, str]:
    """Ours, and this package's folder for the child."""
    here = str(Path(__file__).parent.parent)
    path = os.pathsep.join(p for p in (here, os.environ.get("PYTHONPATH", "")) if p)
    return {**os.environ, "PYTHONPATH": path}
