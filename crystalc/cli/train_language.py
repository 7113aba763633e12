"""``crystalc train lm``: a language model from text to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystalc.cli.interrupt import stop_on_interrupt
from crystalc.cli.output import Output

OPTIONAL = "default: the recipe's"
FILE = click.Path(path_type=Path)


@click.command()
@click.option("-o", "--output", type=Output(), required=True, help=".pt or .safetensors")
@click.option(
    "--corpus",
    type=FILE,
    help="UTF-8 text, or 'shakespeare' to fetch it; default: Python's own documentation",
)
@click.option(
    "--recipe", "recipe_name", metavar="NAME", help="default: small; short without --corpus"
)
@click.option("--flat", is_flag=True, help="no attention: the blind baseline")
@click.option("--chars", is_flag=True, help="one token for each character")
@click.option("--vocab", type=int, default=1024, show_default=True, help="byte-level BPE tokens")
@click.option(
    "--gpt2", type=FILE, nargs=2, metavar="ENCODER MERGES", help="GPT-2's encoder.json, vocab.bpe"
)
@click.option("--dim", type=int, help=OPTIONAL)
@click.option("--heads", type=int, help=OPTIONAL)
@click.option("--context", type=int, help=OPTIONAL)
@click.option("--blocks", type=int, help=OPTIONAL)
@click.option("--neurons", type=int, help="of each block's field, once grown")
@click.option("--ffn", type=int, help="hidden units of each block's feed-forward layer; 0 = none")
@click.option("--kernel", type=click.Choice(["laplace", "gauss", "radial"]), help=OPTIONAL)
@click.option("--activation", type=click.Choice(["relu", "gelu"]), help="of the radial kernel")
@click.option("--metric", type=click.Choice(["l2", "l1"]), help=OPTIONAL)
@click.option("--normalized", is_flag=True, default=None, help="weights of a token sum to 1")
@click.option("--windows", type=click.Choice(["random", "stride"]), help=OPTIONAL)
@click.option("--steps", type=int, help=OPTIONAL)
@click.option("--batch", type=int, help="windows a step, over all processes")
@click.option("--lr", type=float, help=OPTIONAL)
@click.option("--dropout", type=float, help=OPTIONAL)
@click.option("--frozen", type=float, help="share of the neurons to freeze, 0..1")
@click.option("--patience", type=int, help="looks at validation without a better loss")
@click.option("--precision", type=click.Choice(["float32", "bf16"]), help=OPTIONAL)
@click.option("--seed", type=int, help="draws the births and the batches")
@click.option("--threads", type=int, default=1, show_default=True, help="of the CPU")
@click.option("--resume", is_flag=True, help="go on from an interrupted run")
def train_language(
    output: Path,
    corpus: Path | None,
    recipe_name: str | None,
    flat: bool,
    chars: bool,
    vocab: int,
    gpt2: tuple[Path, Path] | None,
    threads: int,
    resume: bool,
    **options: Any,
) -> None:
    """Train a language model on a text and write it to OUTPUT.

    Recipes: small (minutes of one core), short (the same with dropout, for a short text), gpu,
    original (the run that the project began with).
    Several processes: torchrun --nproc-per-node N -m crystalc train lm ... Ctrl-C saves the state;
    the same command with --resume goes on from there.
    """
    from crystalc.training import state
    from crystalc.training.bar import Bar
    from crystalc.training.checkpoint import check_target
    from crystalc.training.corpus import open_corpus
    from crystalc.training.language.data import Wanted, prepare, vocabulary_for
    from crystalc.training.language.loop import fit
    from crystalc.training.language.recipe import recipe_named
    from crystalc.training.language.report import Notes, finish
    from crystalc.training.language.team import gather

    check_target(output)
    recipe = recipe_named(recipe_name, corpus is not None).with_options(options)
    if flat:
        recipe = recipe.with_options({"kind": "flat_lm"})
    recipe.config(1, 1)
    text = open_corpus(corpus)
    team = gather(threads)
    vocabulary = vocabulary_for(text, Wanted(vocab, chars, gpt2))
    data = prepare(text, vocabulary, team, recipe.context)
    file = state.state_path(output)
    if resume:
        state.read_state(file, recipe.to_dict(), data.text_sha256)  # refused before there is a bar
    with stop_on_interrupt() as stop, Bar(recipe.steps, team.leads) as bar:
        notes = Notes(bar, recipe)
        result = fit(recipe, data, team, observe=notes, stop=stop, state=file, resume=resume)
    if team.leads and not result.interrupted:
        done = result.history[-1].step
        if done < recipe.steps:
            why = f"no better model in {recipe.patience} looks at validation"
            click.echo(f"stopped early, after step {done} of {recipe.steps}: {why}", err=True)
        finish(output, recipe, data, result, team.device)
    team.part()
    if result.interrupted:
        if team.leads:
            click.echo(
                f"Interrupted; the state is in {file}. "
                "Run the same command with --resume to go on.",
                err=True,
            )
        raise SystemExit(130)
