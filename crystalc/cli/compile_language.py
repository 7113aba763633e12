"""``crystalc lm.pt --target c``: a language model as a program, checked against the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli.compile_crystal import pruned
from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK, refuse

if TYPE_CHECKING:
    from crystalc.container import Mode
    from crystalc.language import LanguageModel

MEANINGLESS = {
    "width": "--width",
    "argmax": "--argmax",
    "vectors": "--vectors",
    "dump_after": "--dump-after",
    "save_temps": "--save-temps",
    "time_passes": "--time-passes",
}
TOKENS = 256
"""Predictions of the check: each takes the oracle a forward pass in binary64."""


def compile_language(
    model: LanguageModel, out: Path, given: Mapping[str, Any], options: dict[str, str]
) -> int:
    """Quantise, emit, build, compare; the exit code. Raises CompileError and ToolError."""
    from crystalc import language_driver as driver
    from crystalc.backend import LanguageBackend, create

    _refuse_contradictions(given)
    target, mode = given["target"], _mode(given)
    backend = create(target, options)
    if not isinstance(backend, LanguageBackend):
        raise refuse(
            f"target '{target}' takes no language models", hint="targets: c, crystal, cuda"
        )
    smaller, text = pruned(model, given["prune_vocab"], given["text"])
    c = smaller.config
    click.echo(
        f"model   {c.kind}: {c.vocabulary:,} tokens, {sum(c.neurons)} neurons, "
        f"{smaller.parameters:,} parameters   sha256 {smaller.source[:12]}"
    )
    said = driver.command(target, mode, options)
    made = driver.emit(smaller, mode, text, backend, out, said)
    click.echo(f"text    {text.note}\nquality {made.quality}: within its budget")
    click.echo(f"wrote   {out}: {mode}, {len(made.content):,} bytes of weights and tokens")
    agreement = found = None
    if not given["no_check"]:
        ids = driver.windows(text.ids, c.context, TOKENS)
        agreement = driver.agree(made, backend.execute_language(out, ids), ids)
        found = driver.examine(backend, out, ids)
    click.echo(f"check   {agreement or 'not run (--no-check)'}")
    for line in found.lines if found else ():
        click.echo(line)
    from crystalc.driver import write_report

    path = write_report(out, driver.report(made, target, said, agreement, text, found))
    click.echo(f"report  {path}")
    fine = (agreement is None or agreement.ok) and not (found and found.reason)
    return EXIT_OK if fine else EXIT_CHECK_FAILED


def _mode(given: Mapping[str, Any]) -> Mode:
    mode: Mode = given["weights"] or "q8"
    return mode


def _refuse_contradictions(given: Mapping[str, Any]) -> None:
    """An option that would be ignored is an error."""
    for key, flag in MEANINGLESS.items():
        if given[key]:
            raise refuse(f"{flag} has no meaning for a language model")
    if given["arithmetic"] == "fixed":
        raise refuse("a language model has no fixed form", hint="--weights q8 stores integers")
