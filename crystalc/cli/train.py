"""``crystalc train``: a crystal from data to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystalc.cli.amount import Spreads
from crystalc.cli.interrupt import stop_on_interrupt
from crystalc.cli.output import Output
from crystalc.cli.train_language import train_language

OPTIONAL = "default: the data set's recipe"


@click.command(name="", hidden=True)
@click.argument("dataset", type=click.Choice(["digits", "mnist", "letter", "nsl-kdd"]))
@click.option("-o", "--output", type=Output(), required=True, help=".pt or .safetensors")
@click.option("--data", type=click.Path(path_type=Path), help="file or folder of the data set")
@click.option(
    "--pool", type=int, default=2, show_default=True, help="mnist: average pixels POOL x POOL"
)
@click.option("--neurons", type=int, help=OPTIONAL)
@click.option("--kernel", type=click.Choice(["laplace", "gauss", "radial"]), help=OPTIONAL)
@click.option("--activation", type=click.Choice(["relu", "gelu"]), help="of the radial kernel")
@click.option("--metric", type=click.Choice(["l2", "l1"]), help=OPTIONAL)
@click.option("--normalized", is_flag=True, default=None, help="weights of a sample sum to 1")
@click.option("--projection", type=int, help="dimensions of a linear layer in front; 0 = none")
@click.option("--hidden", type=int, help="outputs of the field below a linear head; 0 = no head")
@click.option("--seed", type=int, help="draws the split, the births and the batches")
@click.option("--epochs", type=int, help=OPTIONAL)
@click.option("--batch", type=int, help=OPTIONAL)
@click.option("--lr", type=float, help=OPTIONAL)
@click.option("--noise", type=float, help="standard deviation of noise on training inputs")
@click.option("--frozen", type=float, help="share of the neurons to freeze, 0..1")
@click.option(
    "--grid", type=float, help="fine-tune the points onto multiples of GRID: less hardware"
)
@click.option(
    "--analog-noise",
    type=Spreads(),
    metavar="R=1%,VOS=1m,T=2%",
    help="fine-tune for a circuit whose parts spread so: see crystalc montecarlo",
)
@click.option("--resume", is_flag=True, help="go on from an interrupted run")
def train_crystal(
    dataset: str,
    output: Path,
    data: Path | None,
    pool: int,
    analog_noise: dict[str, float] | None,
    resume: bool,
    **options: Any,
) -> None:
    """Train a crystal on DATASET and write it to OUTPUT.

    It is born small, grows where the error is and freezes where it is calm. Ctrl-C saves the
    state; the same command with --resume goes on from there.
    """
    from functools import partial

    import torch

    from crystalc.training import state
    from crystalc.training.analog import for_parts
    from crystalc.training.bar import Bar
    from crystalc.training.checkpoint import check_target
    from crystalc.training.data import load
    from crystalc.training.grid import on_grid
    from crystalc.training.loop import fit
    from crystalc.training.recipes import recipe_for
    from crystalc.training.report import accuracy, finish, show_epoch

    check_target(output)
    usual = recipe_for(dataset, *(options[k] for k in ("kernel", "metric", "projection")))
    recipe = usual.with_options({**options, **(analog_noise or {})})
    samples = load(dataset, data, recipe.seed, pool)
    file = state.state_path(output)
    if resume:
        state.read_state(file, recipe.to_dict(), samples.sha256)  # refused before there is a bar
    torch.set_num_threads(1)  # layers this small are faster on one thread, and repeatable
    with stop_on_interrupt() as stop, Bar(recipe.epochs) as bar:
        look = partial(show_epoch, bar)
        result = fit(recipe, samples, observe=look, stop=stop, state=file, resume=resume)
    if result.interrupted:
        click.echo(
            f"Interrupted after epoch {len(result.history)}; the state is in {file}. "
            "Run the same command with --resume to go on.",
            err=True,
        )
        raise SystemExit(130)
    done = len(result.history)
    if done < recipe.epochs:
        why = f"no better model in {recipe.patience}"
        click.echo(f"stopped early, after epoch {done} of {recipe.epochs}: {why}", err=True)
    if recipe.grid:
        click.echo(f"before the grid: test accuracy {accuracy(result, samples.test):.2%}")
        result = on_grid(recipe, samples, result)
    if any(recipe.analog):
        click.echo(f"before the parts: test accuracy {accuracy(result, samples.test):.2%}")
        result = for_parts(recipe, samples, result)
    finish(output, recipe, samples, result)


class TrainGroup(click.Group):
    """``train lm`` is a command of its own; every other first word is a DATASET."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in ("lm", "-h", "--help"):
            args = ["", *args]
        return super().parse_args(ctx, args)


@click.group(cls=TrainGroup, subcommand_metavar="DATASET | lm [OPTIONS]", no_args_is_help=True)
def train() -> None:
    """Train a crystal and write it to a checkpoint.

    \b
    crystalc train digits --help    classifiers: digits, mnist, letter, nsl-kdd
    crystalc train lm --help        language models
    """


train.add_command(train_crystal, "")
train.add_command(train_language, "lm")
