"""Run an emitted testbench in Icarus Verilog."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import tools
from crystalc.diagnostics import ToolError

TIMEOUT = 300.0
"""Seconds for one elaboration or one run."""


@dataclass(frozen=True)
class Traffic:
    """How the testbench treats the design. ``stall``: percent of clocks that hold back either
    end; ``resets``: how many, at random times; ``writes``: (address, number) pairs that happen
    before vector ``write_at``.
    """

    stall: int = 0
    resets: int = 0
    seed: int = 1
    writes: Sequence[tuple[int, int]] = ()
    write_at: int = 0


def simulate(
    build: Path, name: str, inputs: NDArray[Any], traffic: Traffic | None = None
) -> NDArray[np.int64]:
    """Outputs [batch, O] of the design in ``build`` for ``inputs`` [batch, I]. Raises ToolError."""
    traffic = traffic or Traffic()
    facts = json.loads((build / f"{name}.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        folder = Path(place)
        compile_design(build, name, folder / "sim", _parameters(name, len(inputs), traffic, facts))
        (folder / "inputs.hex").write_text(to_hex(inputs, facts["input"]))
        (folder / "writes.hex").write_text(_write_words(traffic, facts["data_bits"]))
        run(
            ["vvp", "-n", "sim", *_plusargs(traffic, facts)],
            folder,
            finished=f"DONE {len(inputs)} ",
        )
        text = (folder / "outputs.hex").read_text()
    return from_hex(text, facts["output"])


def compile_design(
    build: Path, name: str, output: Path, parameters: Mapping[str, int], *flags: str
) -> str:
    """Elaborate module NAME_tb; returns what Icarus said. Raises ToolError."""
    sources = [str((build / f).resolve()) for f in ("crystal_cells.v", f"{name}.v", f"{name}_tb.v")]
    given = [f"-P{name}_tb.{key}={value}" for key, value in parameters.items()]
    command = [
        "iverilog",
        "-g2005",
        *flags,
        "-s",
        f"{name}_tb",
        *given,
        "-o",
        str(output),
        *sources,
    ]
    return run(command, output.parent)


def run(command: Sequence[str], where: Path, finished: str = "") -> str:
    """What ``command`` printed. Raises ToolError when it fails or does not say ``finished``."""
    done = tools.run(command, where, timeout=TIMEOUT, hint="apt install iverilog")
    text = done.decode(errors="replace").strip()
    if finished not in text or "FAIL" in text:
        raise ToolError("the testbench stopped early", details=text)
    return text


def _parameters(
    name: str, count: int, traffic: Traffic, facts: Mapping[str, Any]
) -> dict[str, int]:
    writes = {"WRITES": len(traffic.writes)} if facts["address_bits"] else {}
    return {"COUNT": count, **writes}


def _plusargs(traffic: Traffic, facts: Mapping[str, Any]) -> list[str]:
    given = {"stall": traffic.stall, "resets": traffic.resets, "seed": traffic.seed}
    if facts["address_bits"]:
        given["write_at"] = traffic.write_at
    writes = ["+writes=writes.hex"] if traffic.writes else []
    return [*(f"+{key}={value}" for key, value in given.items()), *writes]


def _write_words(traffic: Traffic, data_bits: int) -> str:
    mask = (1 << data_bits) - 1
    words = [address << data_bits | value & mask for address, value in traffic.writes]
    return "".join(f"{word:x}\n" for word in [*words, 0])


def to_hex(vectors: NDArray[Any], port: Mapping[str, Any]) -> str:
    """One line a beat, its first element in the lowest bits."""
    width, beats = int(port["width"]), int(port["beats"])
    mask = (1 << width) - 1
    lines = []
    for row in vectors.astype(np.int64).reshape(len(vectors) * beats, -1).tolist():
        total = 0
        for value in reversed(row):
            total = total << width | value & mask
        lines.append(f"{total:x}\n")
    return "".join(lines)


def from_hex(text: str, port: Mapping[str, Any]) -> NDArray[np.int64]:
    """The numbers of the vectors, [count, elements]."""
    width, elements = int(port["width"]), int(port["elements"])
    in_beat = elements // int(port["beats"])
    mask, half = (1 << width) - 1, 1 << (width - 1) if port["signed"] else 1 << width
    rows = []
    for line in text.split():
        total = int(line, 16)
        values = [total >> (k * width) & mask for k in range(in_beat)]
        rows.append([v - (1 << width) if v >= half else v for v in values])
    return np.array(rows, dtype=np.int64).reshape(-1, elements)
