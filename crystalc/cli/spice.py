"""Commands around builds of ``--target spice``: montecarlo and bom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli.amount import Amount
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crystalc_spice.montecarlo import Spread, Tolerances

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("build", type=FOLDER)
@click.option("--trials", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--sigma-r", type=Amount(), default="1%", show_default=True, help="Of a resistor.")
@click.option("--sigma-vos", type=Amount(), help="Volts; default 0.1m, or the op-amp's own.")
@click.option("--sigma-t", type=Amount(), default="0%", help="Of a neuron's temperature; 0.")
@click.option("--temp", default="27", show_default=True, help="Degrees Celsius: 0,27,85.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--repeat", type=click.IntRange(0), default=3, help="Trials again in ngspice; 3.")
@click.option("--vectors", type=FOLDER, help="Inputs (.npy) instead of the compile's own.")
@click.option("--dataset", type=click.Choice(["digits"]), help="Labelled test set: accuracy too.")
@click.pass_context
def montecarlo(
    ctx: click.Context,
    /,
    build: Path,
    trials: int,
    sigma_r: float,
    sigma_vos: float | None,
    sigma_t: float,
    temp: str,
    seed: int,
    repeat: int,
    vectors: Path | None,
    dataset: str | None,
) -> None:
    """Draw BUILD's parts at random, count decisions that stay."""
    from rich.progress import track

    from crystalc.files import write_atomic
    from crystalc_spice.build import read_build
    from crystalc_spice.montecarlo import LEVELS, Spread, tolerances

    degrees = _degrees(temp)
    found = read_build(build, LEVELS)
    sigma_vos = found.offset if sigma_vos is None else sigma_vos
    spread = Spread(sigma_r, sigma_vos, sigma_t)
    inputs, labels = _samples(dataset) if dataset else (found.vectors(vectors), None)
    steps = iter(track(range(trials * len(degrees)), "trials", transient=True))
    result = tolerances(
        found,
        inputs,
        labels,
        spread,
        trials,
        seed,
        degrees,
        min(repeat, trials),
        lambda: _advance(steps),
    )
    facts = summary(result, spread, trials, seed)
    write_atomic(build / "montecarlo.json", json.dumps(facts, indent=1) + "\n")
    _picture(result, build / "montecarlo.png")
    click.echo(table(facts))
    click.echo(f"report  {build / 'montecarlo.json'}, picture {build / 'montecarlo.png'}")
    ctx.exit(EXIT_OK if result.ok else EXIT_CHECK_FAILED)


def _advance(steps: Iterator[int]) -> None:
    next(steps, None)


def _degrees(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise refuse(f"--temp {text} is not a list of numbers", hint="--temp 0,27,85") from None
    if not all(-55 <= t <= 150 for t in found):
        raise refuse(f"--temp {text}: parts work from -55 to 150 degrees")
    return found


def _samples(dataset: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The test part of a data set that comes with a dependency."""
    import numpy as np

    from crystalc.training.data import load

    test = load(dataset).test
    return test.x.astype(np.float64), test.y.astype(np.int64)


def summary(result: Tolerances, spread: Spread, trials: int, seed: int) -> dict[str, Any]:
    """What was drawn and what came of it, as JSON types."""
    rows = [
        {
            "temperature": celsius,
            "agreement": _figures(agree),
            "accuracy": _figures(result.accuracy[celsius]) if result.accuracy else None,
        }
        for celsius, agree in result.agreement.items()
    ]
    return {
        "trials": trials,
        "vectors": result.vectors,
        "sigma_r": spread.ohms,
        "sigma_vos": spread.offset,
        "sigma_t": spread.temperature,
        "seed": seed,
        "rows": rows,
        "repeated_in_ngspice": result.repeated,
        "largest_difference": result.difference,
        "ok": result.ok,
    }


def _figures(values: NDArray[np.float64]) -> dict[str, float]:
    import numpy as np

    return {
        "mean": float(values.mean()),
        "p5": float(np.quantile(values, 0.05)),
        "min": float(values.min()),
    }


def table(facts: dict[str, Any]) -> str:
    """``summary`` for people."""
    lines = [
        f"drawn   {facts['trials']} trials of {facts['vectors']} vectors, resistors "
        f"{facts['sigma_r']:.2%}, offsets {facts['sigma_vos'] * 1e3:g} mV, temperatures "
        f"{facts['sigma_t']:.2%}, seed {facts['seed']}",
        "  temp   agreement: mean     p5    min"
        + "   accuracy: mean     p5    min" * (facts["rows"][0]["accuracy"] is not None),
    ]
    for row in facts["rows"]:
        figures = [row["agreement"], *([row["accuracy"]] if row["accuracy"] else [])]
        cells = ("".join(f"{f[k]:7.3f}" for k in ("mean", "p5", "min")) for f in figures)
        lines.append(f"{row['temperature']:6g}   " + "".join(f"{c:>28}" for c in cells))
    verdict = "OK" if facts["ok"] else "FAILED: the equations are not those of the netlist"
    lines.append(
        f"ngspice {facts['repeated_in_ngspice']} trials repeated, largest difference "
        f"{facts['largest_difference']:.1e} of the range: {verdict}"
    )
    return "\n".join(lines)


def _picture(result: Tolerances, path: Path) -> None:
    from crystalc.viz.histogram import histogram_picture

    series = {f"{celsius:g} °C": agree for celsius, agree in result.agreement.items()}
    histogram_picture(series, "share of decisions that stay", path, result.vectors)


@click.command()
@click.argument("build", type=FOLDER)
def bom(build: Path) -> None:
    """Write the parts of a circuit: bom.csv, a KiCad netlist."""
    from collections import Counter

    from crystalc.files import write_atomic
    from crystalc_spice.build import read_build
    from crystalc_spice.parts import LEVELS, kicad, lines, placed

    found = read_build(build, LEVELS)
    parts = placed(found)
    text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in lines(parts))
    write_atomic(build / "bom.csv", text + "\n")
    write_atomic(build / "kicad.net", kicad(parts))
    counts = ", ".join(f"{n} {kind}s" for kind, n in Counter(p.kind for p in parts).items())
    values = len({p.size for p in parts if p.kind == "resistor"})
    click.echo(f"parts   {counts}; resistors of {values} values ({found.facts['series']})")
    blocks = found.facts["parts"]["function_blocks"] if found.level == "crossbar" else 0
    if blocks:
        click.echo(f"not in it: {blocks} function blocks, for which no part is chosen")
    click.echo(f"wrote   {build / 'bom.csv'}, {build / 'kicad.net'}")
