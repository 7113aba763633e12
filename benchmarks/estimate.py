"""Estimated against measured area: ``python -m benchmarks.estimate`` (``--measure``, ``--fit``).

``--measure`` synthesises the designs that the result lacks (a minute each; ``--only`` those with a
text in their name), ``--fit`` finds the costs anew and writes ``figures.json`` of the Verilog
backend. Every error printed is that of a design that took no part in finding the costs it is
estimated with (leave one out); designs with a star never take part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.estimate_designs import DESIGNS, Files
from crystalc.files import write_atomic, write_tree
from crystalc_verilog.estimate import FIGURES, arch_of, kind, total
from crystalc_verilog.synth import synthesise

ENOUGH = 3
"""Measured designs of a kind without which nothing is said about it."""

ARCHITECTURES = ("parallel", "folded")
RESULT = Path(__file__).parent / "results" / "estimate.json"
STIFF = 0.02
"""How strongly a cost holds to the one expected, against a relative error of 1 in one design."""

CELLS = {
    "relu_bits": 1.0,
    "choose_bits": 1.0,
    "less_bits": 1.0,
    "ranks": 1.0,
    "mul_small_bits": 1.0,
    "mul_large": 1.0,
    "bank_words": 1.0,
    "memory_words": 0.02,
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
CELLS6 = {
    "add_both": 1.0,
    "add_one": 0.1,
    "table_leaves6": 1.0,
    "table_choices6": 0.5,
    "saturate_bits": 1.0,
    "saturate_top": 0.3,
    "clip_bits": 1.0,
    "clip_top": 0.3,
    "port_bits": 0.005,
    "abs_bits": 1.0,
    "ramp_bits": 0.5,
    **CELLS,
}
CELLS4 = {
    "table_leaves4": 1.0,
    "table_choices4": 0.7,
    "saturate_bits": 1.5,
    "saturate_top": 0.4,
    "clip_bits": 2.0,
    "clip_top": 0.4,
    "port_bits": 0.02,
    "abs_bits": 2.0,
    "ramp_bits": 1.0,
    **CELLS,
}
FLIP_FLOPS = {
    "index_bits": 1.0,
    "register_bits": 1.0,
    "ranks": 1.0,
    "bank_bits": 1.0,
    "ports": 8.0,
    "units": 1.0,
}
ROM6 = {
    "rom_flat_xcup": 1.0,
    "rom_leaves_xcup": 2.0,
    "rom_choices_xcup": 2.0,
    "route_flat_xcup": 1.0,
    "route_leaves_xcup": 1.0,
    "route_choices_xcup": 1.0,
}
EXPECTED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "xcup": {"LUT": {**CELLS6, **ROM6}, "FF": {**FLIP_FLOPS, "rom_bits_xcup": 1.0}},
    "ice40": {
        "LUT": {
            "add_chain": 1.0,
            "mul_large_bits": 1.2,
            "tiny_bits": 1.0,
            "rom_leaves_ice40": 1.0,
            "rom_choices_ice40": 0.7,
            "route_leaves_ice40": 1.0,
            "route_choices_ice40": 0.5,
            **CELLS4,
        },
        "FF": {**FLIP_FLOPS, "tiny_bits": 1.0, "rom_bits_ice40": 1.0},
    },
    "ecp5": {
        "LUT": {
            "chain2": 2.0,
            "inverted": 1.0,
            "rom_leaves_ecp5": 1.0,
            "rom_choices_ecp5": 0.1,
            "route_leaves_ecp5": 1.0,
            "route_choices_ecp5": 0.1,
            **CELLS4,
        },
        "FF": {**FLIP_FLOPS, "rom_bits_ecp5": 1.0},
    },
}
"""What each feature should cost, by reasoning: the fit corrects these and keeps those it cannot."""


def facts(files: Files) -> dict[str, Any]:
    """What the artefact says about itself."""
    found: dict[str, Any] = json.loads(files[PurePosixPath("crystal.json")])
    return found


def digest(files: Files) -> str:
    """Of the RTL without its comments, which name a version and a command."""
    texts = [str(files[PurePosixPath(name)]) for name in ("crystal_cells.v", "crystal.v")]
    code = [line for text in texts for line in text.splitlines() if not line.startswith("//")]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


def measure(rows: dict[str, Any], devices: Sequence[str], only: str, data: Path) -> None:
    """Synthesise what ``rows`` lacks of ``only``; keeps what it has after every design. A row whose
    RTL is no longer emitted is dropped; of the others the features are taken anew.
    """
    for design in (d for d in DESIGNS if re.search(only, d.name)):
        if file := design.missing(data):
            print(f"{design.name}: left as it is, {file} is missing", flush=True)
            continue
        files = design.files(data)
        said = facts(files)
        area, rtl = said["area"], digest(files)
        for device in (d for d in devices if d in design.devices):
            key = f"{design.name} on {device}"
            if rows.get(key, {}).get("rtl") == rtl:
                rows[key] |= {"area": area, "held": design.held}
                save(rows)
                continue
            with tempfile.TemporaryDirectory() as place:
                write_tree(Path(place), files)
                counts = synthesise(Path(place), "crystal", device)
            rows[key] = {
                "design": design.name,
                "device": device,
                "held": design.held,
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
    write_atomic(RESULT, json.dumps({"rows": rows}, indent=1) + "\n")


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
        others = [r for r in rows if r is not row and not r["held"]]
        if row["resources"][resource]:
            made.append((row, total(row["area"], fit(others, device, resource))))
    return made


def main() -> None:
    """Measure, fit and print, as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--only", default="", help="designs to measure (regular expression)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of letter.npz")
    parser.add_argument("--devices", default=",".join(EXPECTED))
    a = parser.parse_args()
    rows = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else {}
    if a.measure:
        measure(rows, a.devices.split(","), a.only, a.data)
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
    """Rows of the table; the costs with their errors, None from too few designs."""
    mine = [r for r in rows.values() if r["device"] == device and arch_of(r["area"]) == arch]
    if len(mine) < ENOUGH:
        return None
    costs, errors, held = {}, {}, {}
    for resource in EXPECTED[device]:
        found = []
        for row, guess in left_out(mine, device, resource):
            measured = row["resources"][resource]
            found.append((row["held"], abs(guess / measured - 1)))
            name = f"{row['design']} *" if row["held"] else row["design"]
            error = f"{guess / measured - 1:+.1%}"
            table.add_row(device, name, resource, f"{guess:,.0f}", f"{measured:,}", error)
        costs[resource] = fit([r for r in mine if not r["held"]], device, resource)
        errors[resource] = round(max(e for _, e in found), 3)
        held[resource] = round(max((e for h, e in found if h), default=errors[resource]), 3)
        largest = f"{held[resource]:.1%}, {errors[resource]:.1%}"
        table.add_row(device, f"{arch}: largest of *, of all", resource, "", "", largest)
    table.add_section()
    [yosys] = {r["yosys"] for r in mine}
    counts = {"held_out": sum(r["held"] for r in mine), "designs": len(mine)}
    return {"costs": costs, "held": held, "errors": errors, "yosys": yosys, **counts}


if __name__ == "__main__":
    main()
