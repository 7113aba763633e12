"""Circuits in ngspice, level by level: ``python -m benchmarks.spice``.

Every row is one run of the compiler or of its tools; rows that results/spice.json holds already
are kept, so that an interrupted run goes on (``--fresh`` starts anew).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crystalc import tools
from crystalc.cli import run
from crystalc.interpret import interpret
from crystalc.ir import Builder, FloatType, Loc, Op, TensorType
from crystalc_spice import SpiceBackend

HERE = Path(__file__).parent
RESULT = HERE / "results" / "spice.json"
PLACE = HERE.parent / "build" / "benchmark-spice"
MODELS = {
    "digits 64-32-10 laplace": "--kernel laplace --neurons 32",
    "digits 64-32-10 gauss": "--kernel gauss --neurons 32",
    "digits 64-32-10 radial relu": "--kernel radial --activation relu --neurons 32",
    "digits 64-4-10-10 laplace": "--kernel laplace --neurons 10 --projection 4",
    "digits 64-2-10-10 laplace l1": "--kernel laplace --metric l1 --neurons 10 --projection 2",
}
LARGE, SMALL, PLANE = (
    "digits 64-32-10 laplace",
    "digits 64-4-10-10 laplace",
    "digits 64-2-10-10 laplace l1",
)
CIRCUITS = {
    "behavioral": (LARGE, "--level behavioral"),
    "crossbar E96": (LARGE, "--level crossbar --series E96"),
    "crossbar E24": (LARGE, "--level crossbar --series E24"),
    "crossbar E96, gauss": ("digits 64-32-10 gauss", "--level crossbar --series E96"),
    "crossbar E24, gauss": ("digits 64-32-10 gauss", "--level crossbar --series E24"),
    "macro 10MHz, small": (SMALL, "--level macro --opamp 10MHz"),
    "macro 1MHz": (LARGE, "--level macro --opamp 1MHz"),
    "macro 10MHz": (LARGE, "--level macro --opamp 10MHz"),
    "macro 100MHz": (LARGE, "--level macro --opamp 100MHz"),
    "macro 10MHz, gauss": ("digits 64-32-10 gauss", "--level macro --opamp 10MHz"),
    "macro 10MHz, radial": ("digits 64-32-10 radial relu", "--level macro --opamp 10MHz"),
    "macro 10MHz E96": (LARGE, "--level macro --opamp 10MHz --series E96"),
    "mos": (PLANE, "--level mos --force mos"),
}
DRAWN = {
    "tolerances crossbar": ("crossbar E96", "--sigma-r 1% --sigma-vos 0.1m --dataset digits"),
    "tolerances crossbar, gauss": ("crossbar E96, gauss", "--sigma-r 1% --sigma-vos 0.1m"),
    "tolerances macro": ("macro 10MHz", "--sigma-r 1% --sigma-vos 0.1m"),
    "tolerances macro, own offset": ("macro 10MHz", "--sigma-r 1%"),
}
FIELD = (788, 128, 128)
"""Neurons, dimensions and outputs of the language model's field."""

FIELD_VECTORS = 10


def folder(name: str) -> Path:
    """Where a row's artefact is."""
    return PLACE / name.replace(" ", "-").replace(",", "")


def model(name: str) -> Path:
    """A frozen crystal of MODELS, trained once."""
    path = folder(name).with_suffix(".pt")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        words = MODELS[name].split()
        assert run(["train", "digits", "--frozen", "1", *words, "-o", str(path)]) == 0
    return path


def circuit(name: str) -> dict[str, Any]:
    """Compile and study one circuit."""
    source, options = CIRCUITS[name]
    out = folder(name)
    run([str(model(source)), "--target", "spice", *options.split(), "-o", str(out)])
    facts = json.loads((out / "spice_report.json").read_text())
    dropped = {"schema", "crystalc", "command", "model", "tools", "elements"}
    return {"model": source, **{k: v for k, v in facts.items() if k not in dropped}}


def tolerance(name: str) -> dict[str, Any]:
    """200 trials of the circuit of another row."""
    source, options = DRAWN[name]
    if not folder(source).exists():
        circuit(source)
    start = time.perf_counter()
    run(["montecarlo", str(folder(source)), "--trials", "200", *options.split()])
    seconds = time.perf_counter() - start
    facts = json.loads((folder(source) / "montecarlo.json").read_text())
    return {"circuit": source, "seconds": seconds, **facts}


def field() -> dict[str, Any]:
    """A field as large as the language model's, of random numbers, through ngspice."""
    rng = np.random.default_rng(1)
    neurons, dimensions, outputs = FIELD
    build, elem, loc = Builder(""), FloatType(32), Loc("field")
    x = build.op(Op.INPUT, (), TensorType((dimensions,), elem), loc)
    points = build.const(rng.standard_normal((neurons, dimensions)), elem, loc)
    values = build.const(rng.standard_normal((neurons, outputs)) / 28, elem, loc)
    rates = build.const(np.full(neurons, -0.2), elem, loc)
    all_of = TensorType((neurons,), elem)
    d = build.op(Op.DISTANCE, (x, points), all_of, loc, metric="l2")
    d = build.op(Op.SQRT, (d,), all_of, loc)
    z = build.op(Op.MUL, (d, rates), all_of, loc)
    w = build.op(Op.EXP, (z,), all_of, loc)
    last = TensorType((outputs,), elem)
    y = build.op(Op.MATMUL, (w, values), last, loc)
    build.op(Op.OUTPUT, (y,), last, loc)
    graph = build.graph()
    inputs = rng.standard_normal((FIELD_VECTORS, dimensions))
    wanted = interpret(graph, inputs)
    out = folder("field")
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    backend = SpiceBackend()
    for path, content in backend.emit(graph, "a field of random numbers\n").items():
        assert isinstance(content, str)
        (out / path).write_text(content)
    found = backend.execute(out, inputs)
    return {
        "neurons": neurons,
        "dimensions": dimensions,
        "outputs": outputs,
        "vectors": FIELD_VECTORS,
        "seconds": time.perf_counter() - start,
        "max_error_share": float(np.abs(found - wanted).max() / np.ptp(wanted)),
        "decisions_equal": int((found.argmax(-1) == wanted.argmax(-1)).sum()),
    }


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every row's name and what makes it."""
    return {
        **{name: (lambda n=name: circuit(n)) for name in CIRCUITS},
        "field 788x128x128": field,
        **{name: (lambda n=name: tolerance(n)) for name in DRAWN},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    known = json.loads(a.output.read_text())["rows"] if a.output.exists() and not a.fresh else {}
    for name, make in rows().items():
        if name in known:
            continue
        print(f"--- {name}", flush=True)
        known[name] = make()
        text = json.dumps({"ngspice": tools.find("ngspice").version, "rows": known}, indent=1)
        a.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
