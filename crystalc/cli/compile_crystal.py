"""``crystalc MODEL --target crystal``: a language model into one measured file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli.container import read_language, text_for
from crystalc.diagnostics import refuse

if TYPE_CHECKING:
    from crystalc.container import Mode
    from crystalc.container.convert import Text
    from crystalc.language import LanguageModel

TARGET = "crystal"
HELD_OUT = 0.1
MEANINGLESS = {
    "arithmetic": "--arithmetic",
    "width": "--width",
    "argmax": "--argmax",
    "name": "--name",
    "vectors": "--vectors",
    "dump_after": "--dump-after",
    "save_temps": "--save-temps",
    "time_passes": "--time-passes",
    "no_check": "--no-check",
}


def compile_crystal(
    path: Path, output: Path | None, given: Mapping[str, Any], options: Mapping[str, str]
) -> None:
    """Prune, quantise, measure, write. Raises CompileError, past the budget too."""
    from crystalc.backend import create
    from crystalc.files import write_atomic
    from crystalc_crystal import CrystalBackend

    for key, flag in MEANINGLESS.items():
        if given[key]:
            raise refuse(f"{flag} has no meaning for target 'crystal'")
    backend = create(TARGET, options)
    assert isinstance(backend, CrystalBackend)
    mode: Mode = given["weights"] or "q8"
    model, sample = pruned(read_language(path), given["prune_vocab"], given["text"])
    c = model.config
    click.echo(
        f"model   {c.kind}: {c.vocabulary:,} tokens, {sum(c.neurons)} neurons, "
        f"{model.parameters:,} parameters   sha256 {model.source[:12]}"
    )
    made = backend.convert(model, mode, sample)
    out = output or Path("build") / TARGET / f"{path.stem}.crystal"
    click.echo(f"text    {sample.note}\nquality {made.quality}: within its budget")
    write_atomic(out, made.content)
    click.echo(f"wrote   {out}: version 3, {mode}, {len(made.content):,} bytes")


def pruned(
    model: LanguageModel, prune: Path | None, text: Path | None
) -> tuple[LanguageModel, Text]:
    """The model to write, and text in its tokens to measure on."""
    from crystalc.container.convert import prune_for, read_text, tail

    if prune is None:
        return model, text_for(model, text, None)
    used = read_text(model, prune)
    smaller, own = prune_for(model, used)
    before, after = model.config.vocabulary, smaller.config.vocabulary
    click.echo(f"tokens  {after:,} of {before:,} occur in {prune.name}")
    if text is None:
        click.echo(f"unseen  {_held_out(used)}")
        return smaller, tail(own)
    return smaller, _known(read_text(model, text), used, smaller)


def _held_out(text: Text) -> str:
    """What pruning for the head of a text would have left out of its end."""
    from crystalc.passes.prune_vocab import kept, unknown

    split = round(len(text.ids) * (1 - HELD_OUT))
    found = unknown(kept(text.ids[:split]), text.ids[split:])
    return f"pruned for its first {1 - HELD_OUT:.0%}, of the rest {found}"


def _known(text: Text, used: Text, smaller: LanguageModel) -> Text:
    """``text`` less the tokens that the pruned model does not have, in its ids; says how many."""
    import numpy as np

    from crystalc.container.convert import Text, tail
    from crystalc.passes.prune_vocab import kept, renumber, unknown

    rows = kept(used.ids)
    click.echo(f"unseen  of {text.note}, {unknown(rows, text.ids)}")
    ids = text.ids[np.isin(text.ids, rows)]
    return tail(Text(renumber(rows, ids), text.note))
