"""``crystalc check BUILD_DIR``: very many vectors through an emitted Verilog design."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option(
    "--vectors",
    "count",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="How many inputs.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the inputs.")
@click.pass_context
def check(ctx: click.Context, build: Path, count: int, seed: int) -> None:
    """Compare BUILD with the oracle on very many inputs.

    The RTL is translated to C++ (Yosys's CXXRTL) and compiled; every output must be equal.
    """
    from crystalc_verilog import bulk

    shown = sys.stderr.isatty()

    def progress(done: int) -> None:
        if shown:
            click.echo(f"\r{done}/{count} vectors", err=True, nl=False)

    if shown:
        click.echo("compiling the design as C++ ...", err=True)
    result = bulk.check(build, count, seed, progress)
    click.echo("", err=True, nl=shown)
    rate = result.vectors / max(result.seconds, 1e-9)
    verdict = f"FAILED: {result.reason}" if result.reason else "0 differences: OK"
    click.echo(
        f"check   {result.vectors} vectors against the oracle, {result.seconds:.2f} s in the "
        f"compiled design ({rate:,.0f} vectors/s): {verdict}"
    )
    ctx.exit(EXIT_CHECK_FAILED if result.reason else EXIT_OK)
