"""``crystalc partition``: one model as a circuit and as RTL, simulated together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli.fpga import BOARDS
from crystalc.cli.output import Output
from crystalc.cli.synth import DEVICES
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crystalc.checkpoint import Checkpoint
    from crystalc.hybrid import Hybrid
    from crystalc.hybrid_report import Measured

FOLDER = click.Path(path_type=Path)
KINDS = click.Choice(["frozen", "active"])
REPORT = "hybrid.json"
SLOWEST = 1.0
"""MHz that place and route must reach: what it does reach is the result."""


@click.command()
@click.argument("model", type=FOLDER)
@click.option("--analog", type=KINDS, default="frozen", show_default=True, help="The circuit's.")
@click.option("--digital", type=KINDS, default="active", show_default=True, help="The RTL's.")
@click.option(
    "-o", "--output", type=Output(folder=True), default=Path("build/hybrid"), show_default=True
)
@click.option("--level", help="Of the circuit: behavioral (default), crossbar, ...")
@click.option("--series", help="Resistors of the circuit: E12..E192, exact.")
@click.option("--opamp", help="Op-amps of level macro.")
@click.option("--arch", type=click.Choice(["folded", "parallel"]), default="folded", help="RTL.")
@click.option("--lanes", help="Multipliers of folded RTL.")
@click.option("--width", type=int, default=8, show_default=True, help="Bits of the RTL, 4..16.")
@click.option(
    "--adc", type=click.IntRange(4, 16), default=12, show_default=True, help="Converter bits."
)
@click.option("--count", type=click.IntRange(1), help="Vectors of the check.")
@click.option("--dataset", type=click.Choice(["digits"]), help="Labelled test set: accuracy too.")
@click.option("--device", type=click.Choice(DEVICES), default="ice40", show_default=True)
@click.option("--no-synth", is_flag=True, help="Count no cells.")
@click.option("--fpga", type=click.Choice(BOARDS), help="Place and route: latency in seconds.")
@click.pass_context
def partition(ctx: click.Context, /, model: Path, output: Path, **given: Any) -> None:
    """Compile frozen neurons to a circuit, active ones to RTL.

    Both are simulated and their sum is compared with the oracle's. OUTPUT/analog and
    OUTPUT/digital are builds like any other; OUTPUT/hybrid.json is the report.
    """
    from crystalc import driver, hybrid_report
    from crystalc import hybrid as made_of
    from crystalc.files import write_atomic
    from crystalc.frontend import read_checkpoint

    if given["analog"] == given["digital"]:
        text = f"the {given['analog']} neurons cannot be on both sides"
        raise refuse(text, hint="--analog frozen --digital active")
    checkpoint = read_checkpoint(model)
    made = made_of.partition(
        checkpoint,
        given["analog"],
        {k: given[k] for k in ("level", "series", "opamp") if given[k]},
        {k: given[k] for k in ("arch", "lanes") if given[k]},
        given["width"],
        given["adc"],
        given["count"],
    )
    x = driver.check_vectors(made.digital)
    made_of.write(made, output, x)
    judged = made.judge(made.oracle(x), made.simulate(output, x))
    halves = ((made.analog, "analog", judged.circuit), (made.digital, "digital", judged.rtl))
    for half, place, comparison in halves:
        driver.write_report(output / place, driver.report(half, checkpoint, comparison))
    measured = _measured(made, checkpoint, output, x, given)
    content = hybrid_report.facts(made, checkpoint, output, judged, measured)
    text = json.dumps(content, indent=1, allow_nan=False, default=str) + "\n"
    write_atomic(output / REPORT, text)
    _print(content)
    click.echo(f"report  {output / REPORT}")
    good = judged.ok and (measured.placed is None or measured.placed["checked"]["ok"])
    ctx.exit(EXIT_OK if good else EXIT_CHECK_FAILED)


def _measured(
    made: Hybrid, checkpoint: Checkpoint, output: Path, x: NDArray[Any], given: Mapping[str, Any]
) -> Measured:
    """What the tools say of both halves."""
    from crystalc.backend import Studied
    from crystalc.hybrid_report import Measured

    circuit = None
    if isinstance(made.analog.backend, Studied):
        place, shaped = output / "analog", made.analog.shaped
        circuit = made.analog.backend.study(place, shaped, made.volts(x)).facts
    area = None if given["no_synth"] else _synthesised(output / "digital", given["device"])
    placed = _placed(output / "digital", given["fpga"]) if given["fpga"] else None
    seed = int(checkpoint.metadata.get("seed", 0))
    accuracy = _accuracy(made, output, given["dataset"], seed) if given["dataset"] else None
    return Measured(circuit, area, placed, accuracy)


def _synthesised(build: Path, device: str) -> dict[str, Any]:
    from crystalc.files import write_atomic
    from crystalc_verilog.engine import engine
    from crystalc_verilog.progress import progress
    from crystalc_verilog.synth import design_of, synthesise

    folder, use = build / f"synth-{device}", engine()
    with progress(f"{use.name} {use.version} for {device}", folder / "yosys.log"):
        name = design_of(build)["top"]
        done = synthesise(build, name, device, use=use, folder=folder).to_dict()
    write_atomic(folder / "synth.json", json.dumps(done, indent=1) + "\n")
    return done


def _placed(build: Path, board: str) -> dict[str, Any]:
    from crystalc.files import write_atomic
    from crystalc_verilog import engine, fpga

    folder = build / f"fpga-{board}"
    on, use = fpga.board(board), engine.engine()
    done = fpga.place_and_route(build, on, use, folder, SLOWEST, force=True)
    write_atomic(folder / "fpga.json", json.dumps(done.to_dict(), indent=1) + "\n")
    return done.to_dict()


def _accuracy(made: Hybrid, output: Path, dataset: str, seed: int) -> dict[str, Any]:
    """Of the simulated sum, of the oracles' sum and of the float model on a labelled test set,
    the one that the training with ``seed`` left out.
    """
    import numpy as np

    from crystalc.interpret import interpret
    from crystalc.training.data import load

    test = load(dataset, seed=seed).test
    inputs = made.reference.input.type.shape[0]
    if test.x.shape[1] != inputs:
        raise refuse(f"{dataset} has {test.x.shape[1]} inputs, the model {inputs}")
    x = made.quantized(test.x.astype(np.float64))
    found = {
        "simulated": made.simulate(output, x).total,
        "oracle": made.oracle(x).total,
        "float": interpret(made.reference, test.x.astype(np.float64)),
    }
    right = {name: float((y.argmax(-1) == test.y).mean()) for name, y in found.items()}
    return {"dataset": dataset, "vectors": len(test.y), **right}


def _print(content: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from crystalc.hybrid_report import rows

    table = Table()
    columns = ("", "circuit", "RTL", "sum", "the original project's claim")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows(content):
        table.add_row(*row)
    Console().print(table)
    check, right = content["check"], content["accuracy"]
    click.echo(f"claims  {content['original']['found']}")
    click.echo(
        f"model   the oracles' sum decides {check['decisions_equal_to_float_model']:.2%} of the "
        "calibration samples as the float model does"
    )
    if right:
        click.echo(
            f"right   {right['simulated']:.2%} of {right['vectors']} labelled test vectors; "
            f"the oracles' sum {right['oracle']:.2%}, the float model {right['float']:.2%}"
        )
    reasons = [check[k]["reason"] for k in ("circuit", "rtl", "sum") if not check[k]["ok"]]
    verdict = "OK" if check["ok"] else f"FAILED: {'; '.join(reasons)}"
    click.echo(f"check   {check['sum']['vectors']} vectors through ngspice and Icarus: {verdict}")
