"""``crystalc asic``: an emitted Verilog design in the standard cells of an academic library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK

if TYPE_CHECKING:
    from crystalc_verilog.asic import Asic, Timing


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["pyosys", "yosys"]), help="Default: what is there.")
@click.option("--period", type=click.FloatRange(0.1), default=5.0, show_default=True, help="ns.")
@click.option(
    "--check",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Vectors on which the netlist must equal the oracle.",
)
@click.option(
    "--activity", type=click.FloatRange(0.0, 2.0), help="Also power: changes of a net in a clock."
)
@click.option("--layout", is_flag=True, help="Also place and route (minutes to hours).")
@click.option("--report", type=click.Path(path_type=Path), help="Also write the result here.")
@click.pass_context
def asic(
    ctx: click.Context,
    /,
    build: Path,
    engine: str | None,
    period: float,
    check: int,
    activity: float | None,
    layout: bool,
    report: Path | None,
) -> None:
    """Map BUILD to standard cells: area, timing, netlist check.

    The library is Debian's academic osu018 (180 nm), at its typical corner, without wires: a
    figure to compare designs by, nothing to make a chip from. BUILD/asic/ keeps all files.
    """
    from crystalc.files import write_atomic
    from crystalc_verilog.asic import run_asic
    from crystalc_verilog.engine import engine as find

    folder = build / "asic"
    done = run_asic(build, find(engine or ""), folder, period, check, activity, layout)
    text = json.dumps(done.to_dict(), indent=1) + "\n"
    for path in (folder / "asic.json", *([report] if report else [])):
        write_atomic(path, text)
    _print(done)
    click.echo(f"result  {folder / 'asic.json'}")
    ctx.exit(EXIT_OK if done.checked.ok else EXIT_CHECK_FAILED)


def _print(done: Asic) -> None:
    from crystalc_verilog.asic import LABEL, WIRES

    counts, t = done.counts, done.timing
    kinds = ", ".join(f"{k} {n:,}" for k, n in sorted(counts.cells.items(), key=lambda c: -c[1]))
    click.echo(f"library {LABEL}")
    click.echo(f"synth   {counts.engine} {counts.version}: {'; '.join(counts.script)}")
    click.echo(f"cells   {counts.total:,}: {kinds}")
    click.echo(f"area    {done.area:,.0f} um2 of cells, {done.registers:,.0f} of it flip-flops")
    click.echo(
        f"timing  {t.tool}, {WIRES}: {t.shortest:.2f} ns through {len(t.cells)} cells with setup, "
        f"{t.fmax:.1f} MHz ({t.period:g} ns wanted: {'met' if t.slack >= 0 else 'MISSED'})"
    )
    click.echo(_power(t))
    if done.layout:
        size = f"{done.layout.width:.0f} x {done.layout.height:.0f} um"
        click.echo(
            f"layout  graywolf and qrouter: {size}, {done.layout.nets:,} nets, all routed; "
            "no clock tree, no DRC or LVS, no timing after it"
        )
    verdict = "OK" if done.checked.ok else f"FAILED: {done.checked.reason}"
    vectors = f"on {done.checked.vectors} vectors against the oracle"
    click.echo(f"check   netlist with the library's models in Icarus {vectors}: {verdict}")


def _power(t: Timing) -> str:
    if t.power is None:
        return "power   not stated: it needs --activity"
    assumed = f"if every net changes {t.activity:g} times a clock"
    return f"power   {t.power * 1e3:.1f} mW at {t.period:g} ns {assumed} (assumed, not simulated)"
