"""Designs whose cells are counted in CI: ``python -m hw_tests.budgets`` writes today's counts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystalc.driver import Options, check_vectors, compile_checkpoint, keep_oracle, write
from crystalc_verilog.devices import device
from crystalc_verilog.engine import engine
from crystalc_verilog.flow import Synthesis, run_synthesis
from hw_tests.verilog_models import tiny_checkpoint

BUDGETS = Path(__file__).parent / "budgets.json"
TOLERANCE = 0.02
VECTORS = 32

PARALLEL = {"arch": "parallel"}
FOLDED = {"arch": "folded", "lanes": "2"}
DESIGNS: Mapping[str, tuple[Mapping[str, str], str]] = {
    f"{options['arch']} {aim}": (options, aim)
    for options, aim in (
        (PARALLEL, "xcup"),
        (PARALLEL, "ice40"),
        (PARALLEL, "generic"),
        (FOLDED, "xcup"),
        (FOLDED, "ice40"),
        (FOLDED, "ecp5"),
    )
}


def emit(place: Path, options: Mapping[str, str], frozen: float = 1.0) -> None:
    """A small relu crystal as Verilog, with the vectors of its check."""
    model = tiny_checkpoint(activation="relu", inputs=4, neurons=4, outputs=2, frozen=frozen)
    wanted = Options("verilog", arithmetic="fixed", width=5, count=200, backend=options)
    made = compile_checkpoint(model, wanted)
    write(made, place)
    keep_oracle(made, place, check_vectors(made))


def synthesised(place: Path, name: str) -> Synthesis:
    """A design of ``DESIGNS``, its netlist simulated."""
    options, aim = DESIGNS[name]
    emit(place, options)
    return run_synthesis(place, device(aim), engine("pyosys"), place / "synth", check=VECTORS)


def write_budgets() -> None:
    """Measure every design and write the file."""
    found: dict[str, Any] = {}
    for name, (_, aim) in DESIGNS.items():
        with tempfile.TemporaryDirectory() as place:
            counts = synthesised(Path(place), name).whole
        found[name] = {
            "yosys": f"{counts.engine} {counts.version}",
            "tolerance": TOLERANCE,
            "devices": {aim: {k: v for k, v in counts.resources.items() if v}},
        }
        print(name, found[name]["devices"][aim])
    BUDGETS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_budgets()
