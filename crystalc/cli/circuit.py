"""More commands around builds of ``--target spice``: noise and scope."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from crystalc.diagnostics import refuse

FOLDER = click.Path(path_type=Path)
SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
REPORT = "spice_report.json"


class Frequency(click.ParamType[float]):
    """Hertz: 10, 1k, 10M."""

    name = "frequency"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        found = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?)([kMG]?)(?:Hz)?", str(value))
        if not found or not 0 < float(found[1]) * SCALES[found[2]] < 1e12:
            self.fail(f"'{value}' is not a frequency like 1k or 10M", param, ctx)
        return float(found[1]) * SCALES[found[2]]


@click.command()
@click.argument("build", type=FOLDER)
@click.option("--from", "first", type=Frequency(), default="1", show_default=True, help="Hertz.")
@click.option("--to", "last", type=Frequency(), default="10M", show_default=True, help="Hertz.")
@click.option("--vector", type=click.IntRange(0), help="Row of vectors.npy; default the middle.")
def noise(build: Path, first: float, last: float, vector: int | None) -> None:
    """Print the noise of BUILD's outputs, volts rms in a band."""
    import numpy as np

    from crystalc_spice.build import read_build
    from crystalc_spice.equations import Parts, solve
    from crystalc_spice.noise import LEVELS, Band, noise

    if first >= last:
        raise refuse("--from is not below --to")
    found = read_build(build, LEVELS)
    inputs = found.vectors(None)
    row = len(inputs) // 2 if vector is None else vector
    if row >= len(inputs):
        raise refuse(f"--vector {row}: {build} has {len(inputs)} vectors")
    volts = noise(found, inputs[row], Band(first, last))
    outputs = found.facts["outputs"]
    extent = float(np.ptp(solve(found.stages, inputs, outputs, Parts(found.resistors, {}))))
    facts = {
        "from_hz": first,
        "to_hz": last,
        "vector": row,
        "volts_rms": dict(zip(outputs, volts.tolist(), strict=True)),
        "range_volts": extent,
        "max_share": float(volts.max() / extent),
    }
    _remember(build, facts)
    click.echo(table(facts))


def table(facts: dict[str, Any]) -> str:
    """What ``noise`` found, for people."""
    lines = [f"noise   {facts['from_hz']:g} Hz to {facts['to_hz']:g} Hz, volts rms"]
    lines += [f"{name:>8}  {volts * 1e6:9.2f} uV" for name, volts in facts["volts_rms"].items()]
    share = f"{facts['max_share']:.4%} of the outputs' range, {facts['range_volts']:.3g} V"
    return "\n".join([*lines, f"largest {share}"])


def _remember(build: Path, facts: dict[str, Any]) -> None:
    """Beside the other measurements, where there are some."""
    from crystalc.files import write_atomic

    path = build / REPORT
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_atomic(path, json.dumps({**known, "noise": facts}, indent=1) + "\n")


@click.command()
@click.argument("build", type=FOLDER)
@click.option("--format", "kind", type=click.Choice(["svg", "png"]), default="svg")
def scope(build: Path, kind: str) -> None:
    """Draw how BUILD settles and a neuron's transfer curve."""
    import numpy as np

    from crystalc.viz.circuit import settling_picture, transfer_picture

    path = build / "waveforms.npz"
    try:
        if json.loads((build / REPORT).read_text(encoding="utf-8"))["settling"] is None:
            raise ValueError("the waveforms are of an earlier circuit")
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except Exception:  # for a damaged file NumPy and json raise half a dozen kinds
        hint = "crystalc MODEL --target spice --level macro measures them"
        raise refuse(f"{path}: no waveforms", hint=hint) from None
    settling_picture(found, build / f"settling.{kind}")
    transfer_picture(found, build / f"transfer.{kind}")
    click.echo(f"wrote   {build / f'settling.{kind}'}, {build / f'transfer.{kind}'}")


@click.command()
@click.argument("builds", type=FOLDER, nargs=-1, required=True)
def levels(builds: tuple[Path, ...]) -> None:
    """Print one table of circuits: error, decisions, power."""
    header = ("build", "level", "error", "decisions", "vectors/s", "power", "settling")
    rows = [header, *(_row(build) for build in builds)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        click.echo("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


def _row(build: Path) -> tuple[str, ...]:
    from crystalc.verdict import percent

    path = build / REPORT
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        power, settling = facts["power"], facts["settling"]
        return (
            str(build),
            facts["level"] + (f" {facts['opamp']}" if facts["opamp"] else ""),
            f"{percent(facts['max_error_share'])} of range",
            f"{facts['decisions_equal']}/{facts['vectors']}",
            f"{facts['vectors_per_second']:.0f}",
            f"{power['total_w']:.3g} W" if power else "-",
            f"{settling['max_s'] * 1e6:.2f} us" if settling else "-",
        )
    except (OSError, ValueError, KeyError, TypeError):
        hint = "crystalc MODEL --target spice writes it"
        raise refuse(f"{path}: missing or damaged", hint=hint) from None
