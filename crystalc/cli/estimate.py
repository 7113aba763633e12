"""``crystalc estimate``: area and latency of a Verilog design before any synthesis."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import click

from crystalc.cli.target_options import given_options
from crystalc.diagnostics import refuse


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", default="verilog", show_default=True, help="Only verilog so far.")
@click.option("--width", type=int, default=8, show_default=True, help="Bits, 4..16.")
@click.option("--argmax", is_flag=True, help="The artefact returns the class, not the logits.")
@click.option("--arch", type=click.Choice(["parallel", "folded"]), help="Default parallel.")
@click.option("--lanes", type=int, help="Multipliers of each product (folded).")
@click.option("--levels-per-stage", type=int, help="Adders in a row between two registers.")
@click.option("-O", "options", multiple=True, metavar="KEY=VALUE", help="Option of the target.")
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Or a board of fpga; default: each with known figures.",
)
@click.pass_context
def estimate(
    ctx: click.Context, /, model: Path, target: str, devices: tuple[str, ...], **given: Any
) -> None:
    """Say what MODEL takes in hardware, before any synthesis."""
    from crystalc.driver import Options, compile_checkpoint
    from crystalc.frontend import read_checkpoint

    if target != "verilog":
        raise refuse(f"no estimate for target '{target}'", hint="--target verilog")
    options = Options(
        target, "fixed", given["width"], argmax=given["argmax"], backend=_backend(ctx, given)
    )
    compiled = compile_checkpoint(read_checkpoint(model), options)
    top = getattr(compiled.backend, "prefix", "crystal")
    facts = json.loads(compiled.files[PurePosixPath(f"{top}.json")])
    areas = _areas(facts["area"], devices)
    cells = ", ".join(f"{n:,} {kind}" for kind, n in facts["cells"].items())
    click.echo(f"latency   {facts['latency']} clocks, a vector every {facts['interval']}")
    click.echo(f"cells     {cells}")
    for line in areas:
        click.echo(line)


def _backend(ctx: click.Context, given: dict[str, Any]) -> dict[str, str]:
    made = given_options(ctx, given["options"])
    flags = {k: given[k] for k in ("arch", "lanes", "levels_per_stage")}
    return {**made, **{k: str(v) for k, v in flags.items() if v is not None}}


def _areas(area: dict[str, int], devices: tuple[str, ...]) -> list[str]:
    """Lines for each device that figures are known of, and for the boards that carry it."""
    from crystalc_verilog.devices import DEVICES, device
    from crystalc_verilog.estimate import arch_of, figures, kind
    from crystalc_verilog.estimate import estimate as area_of
    from crystalc_verilog.fit import fits
    from crystalc_verilog.fpga import BOARDS

    boards = [b for b in BOARDS.values() if not devices or {b.name, b.aim.name} & {*devices}]
    devices = tuple(BOARDS[name].aim.name if name in BOARDS else name for name in devices)
    known = {name: figures(kind(name, arch_of(area))) for name in DEVICES}
    for name in devices:
        if known[device(name).name] is None:
            raise refuse(
                f"no figures for {arch_of(area)} designs on '{name}'",
                hint="python -m benchmarks.estimate --measure --fit finds them",
            )
    lines = []
    for name, found in known.items():
        if found is None or (devices and name not in devices):
            continue
        guesses = area_of(area, name).items()
        text = ", ".join(f"{e.count:,} {k} (+-{e.held:.0%}, {e.error:.0%})" for k, e in guesses)
        lines += [
            f"{name:9} {text}",
            f"          +-: largest error on {found.held_out} models held out, and on all "
            f"{found.designs} measured with {found.yosys}, each left out",
            *(f"          {fits(area, board)}" for board in boards if board.aim.name == name),
        ]
    return lines or [f"area      no figures for {arch_of(area)} designs"]
