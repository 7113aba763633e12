"""Commands around ``.crystal`` files: upgrade, verify, quantize-study."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli.output import Output
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK, refuse

if TYPE_CHECKING:
    from crystalc.container.compare import TensorError
    from crystalc.container.convert import Study, Text
    from crystalc.container.quality import Budget
    from crystalc.language import LanguageModel

FILE = click.Path(path_type=Path)
OWN_TOKENS = 512


@click.command()
@click.argument("old", type=FILE)
@click.option("-o", "--output", type=Output(), required=True, help="The version 3 file.")
@click.option(
    "--heads", type=click.IntRange(1), help="Of the attention; version 2 does not say. 4."
)
@click.option(
    "--tokens",
    type=FILE,
    metavar="MODEL",
    help="Take the token table from this checkpoint or .crystal file; version 2 has none.",
)
def upgrade(old: Path, output: Path, heads: int | None, tokens: Path | None) -> None:
    """Write the version 2 container OLD as version 3."""
    from crystalc.container import read, write
    from crystalc.container.old import with_tokens
    from crystalc.files import write_atomic

    model, info = read(old, heads=heads)
    if info.version != 2:
        raise refuse(f"{old}: already version {info.version}")
    if tokens is not None:
        model = with_tokens(model, info, read_language(tokens).vocabulary)
    content = write(model, info.mode, upgraded=True)
    write_atomic(output, content)
    named = "with tokens" if tokens else "without tokens (--tokens MODEL adds them)"
    click.echo(f"wrote   {output}: version 3, {info.mode}, {len(content):,} bytes, {named}")


@click.command()
@click.argument("container", type=FILE)
@click.option("--against", type=FILE, required=True, metavar="MODEL", help="The checkpoint.")
@click.option("--text", type=FILE, help="Measure on its last tokens; default: the model's own.")
@click.option("--count", type=click.IntRange(2), help="How many tokens to measure on.")
@click.option("--max-perplexity-change", type=float, metavar="SHARE", help="0.001 is 0.1 %.")
@click.option("--max-kl", type=float, help="In nats a token.")
@click.option("--min-top1", type=float, metavar="SHARE", help="0.995 is 99.5 %.")
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    container: Path,
    against: Path,
    text: Path | None,
    count: int | None,
    **limits: float | None,
) -> None:
    """Check CONTAINER against its checkpoint, within the budget."""
    from crystalc.container import read
    from crystalc.container.compare import matched, tensor_errors
    from crystalc.container.oracle import Oracle
    from crystalc.container.quality import measure

    converted, info = read(container)
    if info.version == 2:
        hint = "crystalc upgrade makes version 3 of it"
        raise refuse(f"{container}: version 2, which nothing runs", hint=hint)
    reference = matched(read_language(against), converted)
    budget = _budget(info.mode, limits)
    click.echo(f"file    {container}: version {info.version}, {info.mode}, {info.size:,} bytes")
    errors = tensor_errors(reference, converted, info)
    click.echo("\n".join(_tensor_lines(errors)))
    sample = text_for(reference, text, count)
    quality = measure(Oracle(), reference, converted, sample.ids, len(sample.ids))
    click.echo(f"text    {sample.note}\nquality {quality}")
    excess = budget.excess(quality)
    excess += [f"{e.key} is {e.steps:.2f} steps off" for e in errors if not e.ok]
    if converted.source not in ("", reference.source):
        excess.append(f"the file names another checkpoint, {converted.source[:12]}")
    click.echo("check   " + (f"FAILED: {'; '.join(excess)}" if excess else "OK"))
    ctx.exit(EXIT_CHECK_FAILED if excess else EXIT_OK)


@click.command("quantize-study")
@click.argument("model", type=FILE)
@click.option("--text", type=FILE, help="Measure on its last tokens; default: the model's own.")
@click.option("--count", type=click.IntRange(2), help="How many tokens to measure on.")
@click.option("--prune-vocab", type=FILE, metavar="FILE", help="Keep only the tokens of this text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def quantize_study(
    model: Path, text: Path | None, count: int | None, prune_vocab: Path | None, as_json: bool
) -> None:
    """Print what each weight mode of MODEL takes and costs.

    Speed is that of the C runtime, which is built at its first use; - without a C compiler.
    """
    from crystalc.container.convert import prune_for, read_text, study
    from crystalc_c.runtime import tokens_a_second

    reference = read_language(model)
    if prune_vocab is not None:
        reference = prune_for(reference, read_text(reference, prune_vocab))[0]
    sample = text_for(reference, text, count)
    if not as_json:
        click.echo(f"model   {reference.source[:12]}, {reference.parameters:,} parameters")
        click.echo(f"text    {sample.note}\n{_study_head()}")
    for row in study(reference, sample, tokens_a_second):
        click.echo(json.dumps(_study_facts(row, reference)) if as_json else _study_line(row))


def read_language(path: Path) -> LanguageModel:
    """The language model in a file. Raises CompileError where it holds a classifier."""
    from crystalc.frontend import read_model
    from crystalc.language import LanguageModel

    model = read_model(path)
    if not isinstance(model, LanguageModel):
        raise refuse(f"{path}: a classifier, where a language model is needed")
    return model


def text_for(model: LanguageModel, path: Path | None, count: int | None) -> Text:
    """The end of a text, or what the model says itself where there is none."""
    from crystalc.container.convert import own_text, read_text, tail
    from crystalc.container.quality import DEFAULT_TOKENS

    if path is None:
        return own_text(model, count or OWN_TOKENS)
    return tail(read_text(model, path), count or DEFAULT_TOKENS)


def _budget(mode: Any, limits: dict[str, float | None]) -> Budget:
    from crystalc.container.quality import BUDGETS

    usual = BUDGETS[mode]
    given = {
        "perplexity_change": limits["max_perplexity_change"],
        "kl": limits["max_kl"],
        "top1": limits["min_top1"],
    }
    values = {k: v for k, v in given.items() if v is not None}
    return type(usual)(**{**asdict(usual), **values})


def _tensor_lines(errors: list[TensorError]) -> list[str]:
    width = max(len(e.key) for e in errors)
    return [
        f"tensor  {e.key:{width}} {e.dtype.name.lower():4} "
        f"largest error {e.largest:.1e} ({e.steps:.2f} steps)"
        for e in errors
    ]


def _study_head() -> str:
    return (
        f"{'weights':8} {'bytes':>12} {'perplexity':>11} {'KL':>9} {'top-1':>8} "
        f"{'logits':>9} {'tokens/s':>9}"
    )


def _study_line(row: Study) -> str:
    q = row.quality
    speed = "-" if row.speed is None else f"{row.speed:,.0f}"
    return (
        f"{row.mode:8} {row.size:12,} {q.perplexity_change:+11.4%} {q.kl:9.1e} {q.top1:8.2%} "
        f"{q.largest:9.1e} {speed:>9}"
    )


def _study_facts(row: Study, model: LanguageModel) -> dict[str, Any]:
    q = row.quality
    return {
        "model": model.source,
        "weights": row.mode,
        "bytes": row.size,
        **asdict(q),
        "perplexity_change": q.perplexity_change,
        "tokens_per_second": row.speed,
    }
