"""Estimated against measured area: ``python -m benchmarks.estimate`` (``--measure``, ``--fit``).

``--measure`` synthesises the designs that the result lacks (a minute each; ``--only`` those with a
text in their name), ``--fit`` finds the costs anew and writes ``figures.json`` of the Verilog
backend. Every error printed is that of a design that took no part in finding the costs it is
estimated with (leave one out), and the digits designs never take part.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support import tiny_checkpoint  # noqa: E402

from crystalc.driver import Compiled, Options, compile_checkpoint, write  # noqa: E402
from crystalc.frontend import read_checkpoint  # noqa: E402
from crystalc_verilog.estimate import FIGURES, arch_of, kind, total  # noqa: E402
from crystalc_verilog.synth import synthesise  # noqa: E402

ENOUGH = 3
"""Measured designs of a kind without which nothing is said about it."""

ARCHITECTURES = ("parallel", "folded")
RESULT = HERE / "results" / "estimate.json"
STIFF = 0.02
"""How strongly a cost holds to the one expected, against a relative error of 1 in one design."""

TABLES6 = {"table_leaves6": 1.2, "table_choices6": 0.8}
TABLES4 = {"table_leaves4": 1.0, "table_choices4": 0.8}
SMALL = {
    "saturate_bits": 1.0,
    "saturate_top": 0.5,
    "relu_bits": 1.0,
    "choose_bits": 1.0,
    "less_bits": 1.0,
    "abs_bits": 2.0,
    "ranks": 1.0,
    "mul_small_bits": 1.0,
    "memory_bits": 0.1,
    "state_words": 1.0,
    "units": 20.0,
    "count_bits": 2.0,
    "lane_bits": 1.0,
    "pre_bits": 1.0,
    "gap_bits": 1.0,
    "drain_bits": 0.5,
    "square_bits": 1.0,
    "divide_bits": 4.0,
    "argmax_bits": 2.0,
}
FLIP_FLOPS = {
    "index_bits": 1.0,
    "mul_large": -5.0,
    "register_bits": 1.0,
    "ranks": 1.0,
    "state_bits": 1.0,
    "units": 1.0,
}
EXPECTED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "xcup": {"LUT": {"add_both": 1.0, **TABLES6, **SMALL}, "FF": {**FLIP_FLOPS, "rom_bits6": 1.0}},
    "ice40": {
        "LUT": {
            "add_chain": 1.0,
            "add_one": 0.3,
            "mul_large_bits": 1.2,
            **TABLES4,
            **SMALL,
        },
        "FF": {**FLIP_FLOPS, "rom_bits4": 1.0},
    },
    "ecp5": {
        "LUT": {"add_chain": 1.0, "add_one": 0.3, **TABLES4, **SMALL},
        "FF": {**FLIP_FLOPS, "rom_bits4": 1.0},
    },
}
"""What each feature should cost, by reasoning: the fit corrects these and keeps those it cannot."""


@dataclass(frozen=True)
class Design:
    """A model and how it is compiled. ``digits``: from the digits checkpoint, never fitted on."""

    name: str
    width: int
    shape: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    digits: bool = False

    def compiled(self, digits: Path) -> Compiled:
        """The artefact, not written."""
        if self.digits:
            model = read_checkpoint(digits)
        else:
            model = tiny_checkpoint(**{"frozen": 1.0, "activation": "relu", **self.shape})
        options = Options("verilog", arithmetic="fixed", width=self.width, backend=self.options)
        return compile_checkpoint(model, options)


def _small(name: str, width: int, arch: str = "parallel", lanes: int = 0, **shape: Any) -> Design:
    options = {"arch": arch, **({"lanes": str(lanes)} if lanes else {})}
    return Design(name, width, {"inputs": 8, "neurons": 8, "outputs": 4, **shape}, options)


LAPLACE = {"kernel": "laplace"}
GELU = {"activation": "gelu"}
MIDDLE = {"inputs": 16, "neurons": 12, "outputs": 10}
WIDE = {"inputs": 20, "neurons": 32, "outputs": 16}
PARTS = {"projection": True, "head": True, "dim": 6, "hidden": 6}
DESIGNS = (
    _small("relu 8-8-4", 6),
    _small("relu 12-8-4", 8, inputs=12, seed=1),
    _small("relu 16-12-6", 4, inputs=16, neurons=12, outputs=6, seed=2),
    _small("gelu 8-8-4", 6, **GELU, seed=3),
    _small("gelu 8-6-10", 8, **GELU, neurons=6, outputs=10, seed=4),
    _small("laplace 8-8-4", 6, **LAPLACE, seed=5),
    _small("laplace 6-10-3", 8, **LAPLACE, inputs=6, neurons=10, outputs=3, seed=6),
    _small("gauss 10-8-5", 6, kernel="gauss", inputs=10, outputs=5, seed=7),
    _small("laplace l1 6-6-4", 6, **LAPLACE, metric="l1", inputs=6, neurons=6, seed=9),
    _small("projection, head", 6, **PARTS, seed=10),
    _small("folded 2: relu 8-8-4", 6, "folded", 2),
    _small("folded 4: gelu 12-8-4", 8, "folded", 4, **GELU, inputs=12, seed=1),
    _small(
        "folded 1: laplace 10-12-6",
        6,
        "folded",
        1,
        **LAPLACE,
        inputs=10,
        neurons=12,
        outputs=6,
        seed=2,
    ),
    _small("folded 4: projection, head", 6, "folded", 4, **PARTS, seed=10),
    _small("folded 1: relu 24-16-4", 8, "folded", 1, inputs=24, neurons=16, seed=11),
    _small(
        "folded 1: gelu 32-12-6", 6, "folded", 1, **GELU, inputs=32, neurons=12, outputs=6, seed=18
    ),
    _small("folded 2: relu 32-16-8", 8, "folded", 2, inputs=32, neurons=16, outputs=8, seed=19),
    _small("folded 3: relu 40-10-6", 6, "folded", 3, inputs=40, neurons=10, outputs=6, seed=20),
    _small("folded 8: relu 24-16-8", 8, "folded", 8, inputs=24, neurons=16, outputs=8, seed=12),
    _small("folded 16: relu 20-32-16", 6, "folded", 16, **WIDE, seed=13),
    _small("folded 24: gelu 20-32-16", 8, "folded", 24, **GELU, **WIDE, seed=14),
    _small("folded 2: gauss 16-12-10", 8, "folded", 2, kernel="gauss", **MIDDLE, seed=15),
    _small("folded 2: normalised", 6, "folded", 2, **LAPLACE, normalized=True, **MIDDLE, seed=17),
    _small("folded 4: laplace l1", 6, "folded", 4, **LAPLACE, metric="l1", **MIDDLE, seed=16),
    Design("digits parallel", 8, digits=True),
    *(
        Design(f"digits folded {n}", 8, {}, {"arch": "folded", "lanes": str(n)}, digits=True)
        for n in (1, 4, 8, 32)
    ),
)


def facts(made: Compiled) -> dict[str, Any]:
    """What the artefact says about itself."""
    found: dict[str, Any] = json.loads(made.files[PurePosixPath("crystal.json")])
    return found


def measure(rows: dict[str, Any], devices: Sequence[str], only: str, digits: Path) -> None:
    """Synthesise what ``rows`` lacks of ``only``; keeps what it has after every design."""
    for design in (d for d in DESIGNS if only in d.name):
        made = design.compiled(digits)
        said = facts(made)
        area, rtl = said["area"], said["sha256"]["crystal.v"]
        for device in devices:
            key = f"{design.name} on {device}"
            known = rows.get(key, {})
            if known.get("rtl") == rtl or known.get("area") == area:
                known["area"] = area
                save(rows)
                continue
            with tempfile.TemporaryDirectory() as place:
                write(made, Path(place))
                counts = synthesise(Path(place), "crystal", device)
            rows[key] = {
                "design": design.name,
                "device": device,
                "digits": design.digits,
                "area": area,
                "rtl": rtl,
                "yosys": f"{counts.engine} {counts.version}",
                "script": counts.script,
                "resources": counts.resources,
                "seconds": counts.seconds,
            }
            save(rows)
            print(f"{key}: {dict(counts.resources)} in {counts.seconds:.0f} s", flush=True)


def save(rows: Mapping[str, Any]) -> None:
    """The result file."""
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def fit(rows: Sequence[Mapping[str, Any]], device: str, resource: str) -> dict[str, float]:
    """Costs with the least relative error that stay near the expected ones."""
    expected = EXPECTED[device][resource]
    names, prior = list(expected), np.array(list(expected.values()))
    found = [r for r in rows if r["resources"][resource]]
    area = np.array([[r["area"].get(n, 0) for n in names] for r in found], dtype=float)
    area = area.reshape(len(found), len(names))
    counts = np.array([r["resources"][resource] for r in found], dtype=float)
    held = np.sqrt(STIFF)
    matrix = np.vstack([area * prior / counts[:, None], held * np.eye(len(names))])
    wanted = np.concatenate([np.ones(len(found)), np.full(len(names), held)])
    factors = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    return dict(zip(names, np.round(np.maximum(factors, 0) * prior, 3).tolist(), strict=True))


def left_out(
    rows: Sequence[Mapping[str, Any]], device: str, resource: str
) -> list[tuple[Mapping[str, Any], float]]:
    """Each design with its estimate by costs that know nothing of it."""
    made = []
    for row in rows:
        others = [r for r in rows if r is not row and not r["digits"]]
        if row["resources"][resource]:
            made.append((row, total(row["area"], fit(others, device, resource))))
    return made


def main() -> None:
    """Measure, fit and print, as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--only", default="", help="measure the designs with this in their name")
    parser.add_argument("--digits", type=Path, default=Path("build/hardware/digits.pt"))
    parser.add_argument("--devices", default=",".join(EXPECTED))
    a = parser.parse_args()
    rows = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else {}
    if a.measure:
        measure(rows, a.devices.split(","), a.only, a.digits)
    table = Table(title="area before and after synthesis; no estimate knows of its row")
    for column in ("device", "design", "resource", "estimate", "measured", "error"):
        table.add_column(column, justify="left" if column in ("device", "design") else "right")
    kinds = [(d, arch) for d in EXPECTED for arch in ARCHITECTURES]
    fitted = {kind(d, arch): report(table, rows, d, arch) for d, arch in kinds}
    Console(width=110).print(table)
    if a.fit:
        known = {k: v for k, v in fitted.items() if v}
        FIGURES.write_text(json.dumps({"kinds": known}, indent=1) + "\n")


def report(table: Table, rows: Mapping[str, Any], device: str, arch: str) -> dict[str, Any] | None:
    """Rows of the table; the costs with their worst error, None from too few designs."""
    mine = [r for r in rows.values() if r["device"] == device and arch_of(r["area"]) == arch]
    costs: dict[str, Any] = {}
    errors: dict[str, float] = {}
    for resource in EXPECTED[device]:
        judged = left_out(mine, device, resource)
        worst = 0.0
        for row, guess in judged:
            measured = row["resources"][resource]
            error = guess / measured - 1
            worst = max(worst, abs(error))
            table.add_row(
                device,
                row["design"],
                resource,
                f"{guess:,.0f}",
                f"{measured:,}",
                f"{error:+.1%}",
            )
        costs[resource] = fit([r for r in mine if not r["digits"]], device, resource)
        errors[resource] = round(worst, 3)
    if len(mine) < ENOUGH:
        return None
    [yosys] = {r["yosys"] for r in mine}
    return {"costs": costs, "errors": errors, "yosys": yosys, "designs": len(mine)}


if __name__ == "__main__":
    main()
