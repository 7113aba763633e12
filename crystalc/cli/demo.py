"""``crystalc demo``: one crystal through every target whose tool is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from crystalc.cli.demo_language import language_demo
from crystalc.cli.output import Output
from crystalc.cli.train import train_crystal
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK

if TYPE_CHECKING:
    from crystalc.check import Comparison
    from crystalc.checkpoint import Checkpoint
    from crystalc.driver import Compiled, Options

FORMS: tuple[dict[str, Any], ...] = (
    {"arithmetic": "float"},
    {"arithmetic": "float", "weights": "q8"},
    {"arithmetic": "fixed", "width": 8},
)


@dataclass(frozen=True)
class Row:
    """One line of the table; ``accuracy`` is that of the artefact itself on the test images."""

    target: str
    form: str
    comparison: Comparison
    accuracy: float
    size: int


@click.command()
@click.option(
    "-o",
    "--output",
    type=Output(folder=True),
    default=Path("build/demo"),
    show_default=True,
    help="Folder of everything the demo makes.",
)
@click.option("--model", type=click.Path(path_type=Path), help="A digits checkpoint to use.")
@click.pass_context
def demo(ctx: click.Context, /, output: Path, model: Path | None) -> None:
    """Train a digits crystal, compile it everywhere, draw it.

    Then the same with a small language model of Python's documentation: trained in half a minute,
    converted, compiled to C and asked to write. Both trained models are kept in the output folder
    and used again by the next run.
    """
    from crystalc.files import make_folder
    from crystalc.frontend import read_checkpoint
    from crystalc.training.data import load
    from crystalc.training.state import state_path
    from crystalc.viz import neurons_picture

    path = model or output / "digits.pt"
    if path.exists():
        click.echo(f"using   {path} (delete it to train anew)")
    else:
        make_folder(output)
        ctx.invoke(train_crystal, dataset="digits", output=path, resume=state_path(path).exists())
    checkpoint = read_checkpoint(path)
    test = load("digits", seed=int(checkpoint.metadata.get("seed", 0))).test
    rows = [_row(checkpoint, o, output, test.x, test.y) for o in _forms()]
    picture = output / "neurons.png"
    neurons_picture(checkpoint, picture)
    _print(rows, len(test.y), checkpoint)
    click.echo(f"picture {picture}")
    written = language_demo(ctx, output, any(r.target == "c" for r in rows))
    ctx.exit(EXIT_OK if written and all(r.comparison.ok for r in rows) else EXIT_CHECK_FAILED)


def _forms() -> list[Options]:
    """Every form of every installed target that can run here; says which cannot."""
    from crystalc.backend import available, load
    from crystalc.driver import Options
    from crystalc.tools import first

    options = []
    for target in available():
        caps = load(target).capabilities
        missing = [t for t in map(first, caps.tools) if not t.path]
        if missing:
            click.echo(f"skipped {target}: {missing[0].hint}")
            continue
        offered = {"float": caps.float_ops, "fixed": caps.fixed_ops}
        forms = [f for f in FORMS if offered[f["arithmetic"]]]
        options += [Options(target=target, **form) for form in forms]
    return options


def _row(
    checkpoint: Checkpoint, options: Options, output: Path, x: NDArray[Any], y: NDArray[Any]
) -> Row:
    from crystalc import driver

    form = _name(options)
    compiled = driver.compile_checkpoint(checkpoint, options)
    out = output / f"{options.target}-{form.replace(' ', '-')}"
    driver.write(compiled, out)
    comparison = driver.verify_build(compiled, out, driver.check_vectors(compiled))
    driver.write_report(out, driver.report(compiled, checkpoint, comparison))
    right = _outputs(compiled, out, x).argmax(-1) == y
    size = sum(len(v) for v in compiled.files.values())
    return Row(options.target, form, comparison, float(np.mean(right)), size)


def _name(options: Options) -> str:
    if options.arithmetic == "fixed":
        return f"fixed {options.width}"
    return f"float {options.weights}"


def _outputs(compiled: Compiled, out: Path, x: NDArray[Any]) -> NDArray[Any]:
    """What the built artefact itself says for real inputs [n, I]."""
    from crystalc.passes.quantize import quantize_inputs

    real = x.astype(np.float64)
    given = quantize_inputs(compiled.meaning, real) if compiled.meaning.is_fixed else real
    return compiled.backend.execute(out, given)


def _print(rows: list[Row], images: int, checkpoint: Checkpoint) -> None:
    from rich.console import Console
    from rich.table import Table

    c = checkpoint.config
    share = checkpoint.frozen.mean()
    table = Table(
        title=f"digits: {c.inputs} inputs, {c.neurons} neurons ({share:.0%} frozen), "
        f"{c.outputs} classes, {images} test images"
    )
    for name in ("target", "form", "max error", "bound", "decisions", "accuracy", "check"):
        table.add_column(name, justify="left" if name in ("target", "form") else "right")
    for r in rows:
        k = r.comparison
        error = "-" if k.max_abs_error is None else f"{k.max_abs_error:.1e}"
        table.add_row(
            r.target,
            r.form,
            "0" if k.ok and not k.bound else error,
            f"{k.bound:.1e}" if k.bound else "exact",
            f"{k.decisions_equal}/{k.vectors}",
            f"{r.accuracy:.2%}",
            "ok" if k.ok else "FAILED",
        )
    Console().print(table)
