"""``crystalc synth``: Yosys on an emitted Verilog design, with the script beside the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK

if TYPE_CHECKING:
    from crystalc_verilog.flow import Synthesis

DEVICES = ("xcup", "ice40", "ecp5", "generic")


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(DEVICES), default="xcup", show_default=True)
@click.option(
    "--engine", type=click.Choice(["pyosys", "yosys"]), help="Default: the first that is there."
)
@click.option("--no-dsp", is_flag=True, help="Multipliers in LUTs.")
@click.option(
    "--check",
    type=click.IntRange(1),
    is_flag=False,
    flag_value=64,
    metavar="[N]",
    help="Simulate the netlist on N vectors (64) and compare with the oracle.",
)
@click.option("--budget", type=click.Path(path_type=Path), help="Fail beyond these counts (JSON).")
@click.option("--json", "copy", type=click.Path(path_type=Path), help="Also write the result here.")
@click.pass_context
def synth(ctx: click.Context, /, build: Path, device: str, **given: Any) -> None:
    """Synthesise the Verilog of BUILD and count its cells.

    BUILD/synth-DEVICE/ keeps the script, the log, the netlist and synth.json.
    """
    from crystalc.files import write_atomic
    from crystalc_verilog import devices, engine, flow

    budget = flow.read_budget(given["budget"], device) if given["budget"] else None
    use = engine.engine(given["engine"] or "")
    folder = build / f"synth-{device}"
    done = flow.run_synthesis(
        build, devices.device(device), use, folder, not given["no_dsp"], given["check"] or 0
    )
    text = json.dumps(done.to_dict(), indent=1) + "\n"
    for path in (folder / "synth.json", *([given["copy"]] if given["copy"] else [])):
        write_atomic(path, text)
    _print(done)
    click.echo(f"result  {folder / 'synth.json'}")
    over = budget.exceeded(done.whole) if budget else []
    for line in over:
        click.echo(f"budget  EXCEEDED: {line}")
    good = not over and (done.checked is None or done.checked.ok)
    ctx.exit(EXIT_OK if good else EXIT_CHECK_FAILED)


def _compared(guess: int | None, count: int) -> tuple[str, str]:
    """The estimate, and by how much it is off."""
    if guess is None:
        return "", ""
    return f"{guess:,}", f"{guess / count - 1:+.1%}" if count else ""


def _print(done: Synthesis) -> None:
    from rich.console import Console
    from rich.table import Table

    whole = done.whole
    table = Table()
    table.add_column("resource")
    parts = [("measured", whole), ("frozen part", done.frozen), ("active part", done.active)]
    shown = [(name, counts) for name, counts in parts if counts]
    for name, _ in shown:
        table.add_column(name, justify="right")
    table.add_column("estimate", justify="right")
    table.add_column("error", justify="right")
    gap = [""] * (len(shown) - 1)
    for key in whole.resources:
        columns = [f"{counts.resources[key]:,}" for _, counts in shown]
        table.add_row(key, *columns, *_compared(done.estimates.get(key), whole.resources[key]))
    table.add_row("cells", f"{whole.total:,}", *gap, "", "")
    table.add_row("LUTs in a row", f"{whole.depth}", *gap, "", "")
    Console().print(table)
    click.echo(f"engine  {whole.engine} {whole.version}, {whole.library}")
    click.echo("script  " + "; ".join(whole.script))
    if done.frozen:
        click.echo(
            "parts   frozen: the same script with the registers of active neurons stuck at 0 "
            "(folded: never written); active: the difference"
        )
    if done.checked and done.of:
        of = "" if done.of is whole else f" (made by {done.of.script[1]})"
        verdict = "OK" if done.checked.ok else f"FAILED: {done.checked.reason}"
        click.echo(
            f"check   netlist{of} in Icarus on {done.checked.vectors} vectors against the oracle: "
            f"{verdict}"
        )
