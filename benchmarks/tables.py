"""The README's tables, made from the results that the other commands of this folder wrote.

python -m benchmarks.tables [--write]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table_hardware import circuits, folded, levers, parallel
from benchmarks.table_models import language, runtime
from benchmarks.table_text import markdown, times

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- numbers -->\n", "<!-- /numbers -->\n"

ROWS = (
    "naive C -O3 -ffast-math",
    "ONNX Runtime (Python API)",
    "crystalc C f32, gcc",
    "crystalc C int8 weights, gcc",
    "crystalc C int8, gcc",
)
NAMES = {
    "crystalc C f32, gcc": "**crystalc, float**",
    "crystalc C int8 weights, gcc": "**crystalc, float, int8 weights**",
    "crystalc C int8, gcc": "**crystalc, fixed, 8 bits**",
}


def read(name: str) -> Any:
    """One result file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def speed() -> str:
    """Speed over PyTorch eager, one core."""
    out = []
    for model in read("speed")["models"]:
        found = {row["contender"]: row for row in model["rows"]}
        rows = [
            [
                NAMES.get(name, name),
                *(times(found[name]["vs_eager"].get(k)) for k in ("b1", "b1 dense", "batch")),
                times(found[name]["vs_onnxruntime"].get("b1")),
            ]
            for name in ROWS
        ]
        out.append(
            f"784-64-128-10, {model['kernel']}, over the fastest eager form in PyTorch "
            f"({model['eager_dispatch_share']:.0%} of its time at batch 1 is dispatch, not "
            "arithmetic):\n"
        )
        header = (
            f"times PyTorch eager ({model['nonzero_inputs']:.0%} of the pixels are not 0)",
            "batch 1",
            "batch 1, no zeros",
            "batch 1536",
            "batch 1, over ONNX Runtime",
        )
        out.append(markdown(header, rows))
    return "\n".join(out)


def flash() -> str:
    """Bytes of flash on a Cortex-M4."""
    rows = [
        [
            r["program"].replace("plain C", "naive C of ours"),
            f"{r['object_flash']:,}",
            f"{r['ram']:,}",
            f"{r['ticks']:,}",
            r["libraries"],
        ]
        for r in read("flash")["rows"]
    ]
    header = ("64-16-32-10 on a Cortex-M4", "flash, bytes", "static RAM", "QEMU ticks", "libraries")
    return markdown(header, rows)


def accuracy() -> str:
    """Mean test accuracy over the seeds, with validation beside it."""
    sets = read("accuracy")["datasets"]
    labels = list(dict.fromkeys(label for d in sets.values() for label in d["rows"]))
    rows = [[label, *(_score(d["rows"].get(label)) for d in sets.values())] for label in labels]
    names = (f"{name}, {len(d['seeds'])} seeds" for name, d in sets.items())
    return markdown(("test (validation) accuracy, %", *names), rows)


def _score(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    test, validation = (
        100 * np.mean([s[k] for s in row["scores"]]) for k in ("test", "validation")
    )
    return f"{test:.2f} ({validation:.2f})"


def freezing() -> str:
    """Measured speed-up of a training step with the frozen sum cached."""
    rows = [
        [
            f"{r['neurons']} neurons, {r['dim']} dimensions, batch {r['batch']}, {r['kernel']}",
            f"{r['frozen']:.1%}",
            f"{r['naive']:.2g}x",
            f"{r['cached']:.2g}x",
            f"{r['formula']:.2g}",
        ]
        for r in read("freezing")["rows"]
        if r["frozen"] < 0.75 or (r["dim"], r["batch"]) == (64, 1024)
    ]
    header = ("training step of a field", "frozen", "gradients zeroed", "sum cached", "1/(1-f)")
    return markdown(header, rows)


SECTIONS = (
    ("Speed", "python -m benchmarks.speed", speed),
    ("Flash", "python -m benchmarks.flash", flash),
    ("Accuracy", "python -m benchmarks.accuracy", accuracy),
    ("Training with frozen neurons", "python -m benchmarks.freezing", freezing),
    (
        "Language models: quality",
        "python -m benchmarks.language --corpus tinyshakespeare.txt",
        lambda: language(read("language")),
    ),
    ("Language models: speed", "python -m benchmarks.runtime", lambda: runtime(read("runtime"))),
    ("Hardware: the same integers", "python -m benchmarks.rtl", lambda: parallel(read("rtl"))),
    (
        "Hardware: the same accuracy",
        "python -m benchmarks.rtl_levers",
        lambda: levers(read("rtl_levers")),
    ),
    (
        "Hardware: one multiplier to 32",
        "python -m benchmarks.folded",
        lambda: folded(read("folded")),
    ),
    ("Circuits", "python -m benchmarks.spice", lambda: circuits(read("spice"))),
)


def tables() -> str:
    """Every section as Markdown."""
    parts = [f"### {title}\n\n`{command}`\n\n{make()}" for title, command, make in SECTIONS]
    return "\n" + "\n".join(parts) + "\n"


def with_tables(text: str) -> str:
    """``text`` of the README with the part between the marks made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


def main() -> None:
    """Print the tables, or write them into the README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    if parser.parse_args().write:
        README.write_text(with_tables(README.read_text()))
    else:
        print(tables())


if __name__ == "__main__":
    main()
