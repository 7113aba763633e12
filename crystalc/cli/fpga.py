"""``crystalc fpga``: place and route an emitted Verilog design, down to the bitstream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK

if TYPE_CHECKING:
    from crystalc_verilog.fpga import Placed

BOARDS = ("ice40-hx8k", "ecp5-25k")


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--device", type=click.Choice(BOARDS), default="ice40-hx8k", show_default=True)
@click.option("--engine", type=click.Choice(["pyosys", "yosys"]), help="Default: what is there.")
@click.option("--freq", type=click.FloatRange(1.0), default=25.0, show_default=True, help="MHz.")
@click.option("--timing-allow-fail", is_flag=True, help="Missing --freq is no failure.")
@click.option("--force", is_flag=True, help="Go on where the estimate is far beyond the device.")
@click.option("--report", type=click.Path(path_type=Path), help="Also write the result here.")
@click.pass_context
def fpga(
    ctx: click.Context,
    /,
    build: Path,
    device: str,
    engine: str | None,
    freq: float,
    timing_allow_fail: bool,
    force: bool,
    report: Path | None,
) -> None:
    """Put BUILD on an FPGA, behind a byte-serial port.

    The wrapped design is first simulated against the oracle. BUILD/fpga-DEVICE/ keeps the
    wrapper, the netlist, the reports, the bitstream and fpga.json.
    """
    from crystalc.files import write_atomic
    from crystalc_verilog import fpga as flow
    from crystalc_verilog.engine import engine as find

    folder = build / f"fpga-{device}"
    on, use = flow.board(device), find(engine or "")
    done = flow.place_and_route(build, on, use, folder, freq, force=force)
    text = json.dumps(done.to_dict(), indent=1) + "\n"
    for path in (folder / "fpga.json", *([report] if report else [])):
        write_atomic(path, text)
    _print(done, folder)
    good = done.checked.ok and (done.fmax >= freq or timing_allow_fail)
    ctx.exit(EXIT_OK if good else EXIT_CHECK_FAILED)


def _print(done: Placed, folder: Path) -> None:
    c = done.counts
    used = ", ".join(f"{k} {n:,} of {of:,}" for k, (n, of) in done.used.items())
    click.echo(f"chip    {done.chip}")
    verdict = "OK" if done.checked.ok else f"FAILED: {done.checked.reason}"
    click.echo(f"check   byte-serial RTL on {done.checked.vectors} vectors in Icarus: {verdict}")
    click.echo(f"synth   {c.engine} {c.version}: {'; '.join(c.script)}")
    click.echo(f"placed  {done.tool}: {used}")
    verdict = "met" if done.fmax >= done.wanted else "MISSED"
    click.echo(f"Fmax    {done.fmax:.1f} MHz ({done.wanted:g} MHz wanted: {verdict})")
    click.echo(f"file    {folder / done.file} ({done.bitstream:,} bytes)")
