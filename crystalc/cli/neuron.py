"""``crystalc neuron BUILD_DIR --index N --from new.pt``: bus writes that replace a neuron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from crystalc.diagnostics import refuse


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--index", type=click.IntRange(0), required=True, help="Row in the checkpoint.")
@click.option(
    "--from",
    "checkpoint",
    type=click.Path(path_type=Path),
    required=True,
    help="Checkpoint with the neuron's new parameters.",
)
def neuron(build: Path, index: int, checkpoint: Path) -> None:
    """Print the bus writes that change an active neuron.

    Three columns: word address, byte address behind a bus wrapper, integer.
    """
    from crystalc.backend import load
    from crystalc.frontend import read_checkpoint
    from crystalc.hybrid import part
    from crystalc.neuron import converted
    from crystalc_verilog.bulk import find

    name, graph = find(build)
    table = _json(build / "names.json")["neurons"]
    rows, row_of = table["active"], index
    if index not in rows:
        known = ", ".join(map(str, rows[:20])) or "none"
        raise refuse(f"neuron {index} is not active in {build}", hint=f"active: {known}")
    report = _json(build / "report.json")
    power_of_two = not load(report["target"]).capabilities.multipliers
    row = rows.index(index)
    new = read_checkpoint(checkpoint)
    if index >= new.config.neurons:
        raise refuse(f"{checkpoint}: {new.config.neurons} neurons, none of them is {index}")
    if "of" in table:
        new, row_of = part(new, rows, table["of"]), row
    made = converted(graph, new, row_of, int(report["width"]), power_of_two)
    states = _json(build / f"{name}.json")["state"]
    click.echo(f"# neuron {index}, row {row}: word address, byte address, integer")
    for state in states:
        numbers = made[int(state["name"][1:])]
        first = state["address"] + row * len(numbers)
        for k, number in enumerate(numbers.tolist()):
            click.echo(f"{first + k} {4 * (first + k):#x} {number}")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise refuse(f"{path}: not there, or not what crystalc writes") from None
