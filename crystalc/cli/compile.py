"""``crystalc MODEL --target T``: compile, build, check, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli import compile_crystal
from crystalc.cli.compile_language import compile_language
from crystalc.cli.output import Output
from crystalc.cli.target_options import TargetCommand, given_options
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK, refuse

if TYPE_CHECKING:
    from crystalc.check import Comparison
    from crystalc.checkpoint import Checkpoint
    from crystalc.driver import Compiled, Options
    from crystalc.ir import Graph


@click.command("compile", cls=TargetCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", help="One of crystalc --list-targets.")
@click.option("-o", "--output", type=Output(), help="Folder; default build/TARGET.")
@click.option(
    "--arithmetic",
    type=click.Choice(["float", "fixed"]),
    help="Default float, or fixed where the target has no float.",
)
@click.option("--width", type=int, help="Bits of the fixed form, 4..16; default 8.")
@click.option(
    "--weights",
    type=click.Choice(["f32", "q8", "int16", "int8", "mixed", "mixed8", "q8q4"]),
    help="Storage of constants under float arithmetic; default f32. Of a language model: "
    "default q8; the modes after q8 are for these alone.",
)
@click.option("--argmax", is_flag=True, help="The artefact returns the class, not the logits.")
@click.option("--name", help="Prefix of every public symbol; default crystal.")
@click.option("-O", "options", multiple=True, metavar="KEY=VALUE", help="Option of the target.")
@click.option(
    "--vectors",
    type=click.Path(path_type=Path),
    help="Check on these inputs (.npy, [n, inputs]) instead of the model's samples.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    help="How many vectors to check on; default 1000, 50 for folded Verilog.",
)
@click.option(
    "--prune-vocab",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Language model: keep only the tokens of this text.",
)
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    help="Language model: measure the cost of the weights on the end of this text.",
)
@click.option("--no-check", is_flag=True, help="Emit only: build nothing, run nothing.")
@click.option("--dump-after", metavar="PASS", help="Print the graph after this pass.")
@click.option("--save-temps", is_flag=True, help="Keep the graph after every pass in OUTPUT/ir.")
@click.option("--time-passes", is_flag=True, help="Print the seconds each pass took.")
@click.pass_context
def compile_(ctx: click.Context, /, model: Path, output: Path | None, **given: Any) -> None:
    """Compile MODEL for a target, build it and check it."""
    _require_target(given)
    if given["target"] == compile_crystal.TARGET:
        own = given_options(ctx, given["options"])
        compile_crystal.compile_crystal(model, output, given, own)
        ctx.exit(EXIT_OK)
    from crystalc import driver
    from crystalc.files import check_folder
    from crystalc.frontend import read_model
    from crystalc.language import LanguageModel
    from crystalc.study import study

    backend = _backend_options(given, given_options(ctx, given["options"]))
    native = _native(given["target"])
    out = output or Path("build") / given["target"]
    check_folder(out)
    start = time.perf_counter()
    checkpoint = read_model(model)
    if isinstance(checkpoint, LanguageModel):
        ctx.exit(compile_language(checkpoint, out, given, backend))
    given["arithmetic"] = given["arithmetic"] or native
    _refuse_contradictions(given)
    options = _options(given, backend)
    recorder = _recorder(options, given)
    recorder.phases.append(("read", time.perf_counter() - start))
    with recorder.phase("compile"):
        compiled = driver.compile_checkpoint(checkpoint, options, [recorder])
        vectors = driver.check_vectors(compiled)
        driver.write(compiled, out)
        driver.keep_vectors(compiled, out, vectors)
        driver.keep_oracle(compiled, out, vectors)
    if given["save_temps"]:
        recorder.save(out / "ir")
    click.echo(recorder.dump(given["dump_after"]), nl=False)
    _introduce(checkpoint, compiled, out)
    with recorder.phase("build and check"):
        comparison = None if given["no_check"] else driver.verify_build(compiled, out, vectors)
        examined = None if given["no_check"] else driver.examine(compiled, out)
    seconds = recorder.phases[-1][1]
    content = driver.report(compiled, checkpoint, comparison, examined)
    report = driver.write_report(out, content)
    click.echo(_verdict(compiled, comparison))
    for line in examined.lines if examined else ():
        click.echo(line)
    if comparison is not None:
        with recorder.phase("study"):
            lines = study(compiled, checkpoint, out, vectors, comparison, seconds)
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    click.echo(f"report  {report}")
    if given["time_passes"]:
        click.echo(recorder.times())
    good = (comparison is None or comparison.ok) and not (examined and examined.reason)
    ctx.exit(EXIT_OK if good else EXIT_CHECK_FAILED)


def _require_target(given: dict[str, Any]) -> None:
    if given["target"] is None:
        raise refuse("which target?", hint="add --target NAME; crystalc --list-targets names them")


def _native(target: str) -> str:
    """The arithmetic a target computes in when none is asked for."""
    from crystalc.backend import load

    return "float" if load(target).capabilities.float_ops else "fixed"


def _refuse_contradictions(given: dict[str, Any]) -> None:
    """An option that would be ignored is an error."""
    for key in ("prune_vocab", "text"):
        if given[key] is not None:
            raise refuse(f"--{key.replace('_', '-')} is for language models")
    if given["weights"] not in (None, "f32", "q8"):
        raise refuse(f"--weights {given['weights']} is for language models")
    fixed = given["arithmetic"] == "fixed"
    if given["width"] is not None and not fixed:
        raise refuse("--width has no meaning in float", hint="add --arithmetic fixed")
    if given["weights"] is not None and fixed:
        raise refuse("--weights has no meaning in fixed arithmetic", hint="--width sets the bits")


class Recorder:
    """Observer that keeps the graph and the seconds of every pass, and of the phases around."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, Graph, float]] = []
        self.phases: list[tuple[str, float]] = []

    def __call__(self, name: str, before: Graph, after: Graph, seconds: float) -> None:
        self.steps.append((name, after, seconds))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the enclosed block."""
        start = time.perf_counter()
        yield
        self.phases.append((name, time.perf_counter() - start))

    def dump(self, after: str | None) -> str:
        """What --dump-after prints."""
        return "".join(str(graph) for name, graph, _ in self.steps if name == after)

    def times(self) -> str:
        """What --time-passes prints."""
        passes = [f"  {name:22} {seconds * 1e3:8.1f} ms" for name, _, seconds in self.steps]
        phases = [f"{name:24} {seconds * 1e3:8.1f} ms" for name, seconds in self.phases]
        return "\n".join(["passes", *passes, *phases])

    def save(self, folder: Path) -> None:
        """One numbered text file per pass."""
        from crystalc.files import write_atomic

        for k, (name, graph, _) in enumerate(self.steps):
            write_atomic(folder / f"{k:02d}-{name}.ir", str(graph))


def _backend_options(given: dict[str, Any], options: dict[str, str]) -> dict[str, str]:
    """The target's own options, --name among them."""
    return options if given["name"] is None else {**options, "prefix": given["name"]}


def _options(given: dict[str, Any], backend: dict[str, str]) -> Options:
    from crystalc.driver import Options

    return Options(
        target=given["target"],
        arithmetic=given["arithmetic"],
        width=8 if given["width"] is None else given["width"],
        weights=given["weights"] or "f32",
        argmax=given["argmax"],
        vectors=given["vectors"],
        count=given["count"],
        backend=backend,
    )


def _recorder(options: Options, given: dict[str, Any]) -> Recorder:
    from difflib import get_close_matches

    from crystalc.pipeline import pass_names

    wanted = given["dump_after"]
    names = pass_names(options.arithmetic, options.weights)
    if wanted is not None and wanted not in names:
        near = get_close_matches(wanted, names, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"passes: {', '.join(names)}"
        raise refuse(f"unknown pass '{wanted}'", hint=hint)
    return Recorder()


def _introduce(checkpoint: Checkpoint, compiled: Compiled, out: Path) -> None:
    from crystalc.backend import Noting

    c, n = checkpoint.config, compiled.neurons
    kernel = f"{c.kernel}/{c.activation}" if c.activation else c.kernel
    click.echo(
        f"model   {c.inputs} -> {c.neurons} neurons ({c.metric} {kernel}; {len(n.frozen)} frozen, "
        f"{len(n.active)} active, {len(n.dropped)} dropped) -> {c.outputs}"
        f"   sha256 {checkpoint.source[:12]}"
    )
    if checkpoint.calibration is None:
        click.echo("note    the checkpoint holds no calibration samples: ranges are guessed")
    backend = compiled.backend
    for note in backend.notes(compiled.shaped) if isinstance(backend, Noting) else ():
        click.echo(f"note    {note}")
    size = sum(len(v) for v in compiled.files.values())
    names = " ".join(sorted(str(k) for k in compiled.files))
    click.echo(f"wrote   {out}: {names} ({size / 1024:.0f} KB)")


def _verdict(compiled: Compiled, comparison: Comparison | None) -> str:
    from crystalc.driver import agreement_of
    from crystalc.verdict import verdict

    if comparison is None:
        return "check   not run (--no-check)"
    said = verdict(comparison, agreement_of(compiled), compiled.meaning.is_fixed)
    return f"{said}\nnote    {comparison.note}" if comparison.note else said
