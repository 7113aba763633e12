"""``crystalc prove BUILD``: does the Verilog compute what the oracle says, for all inputs?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.diagnostics import EXIT_CHECK_FAILED, EXIT_OK, printable

if TYPE_CHECKING:
    from crystalc_verilog.proof.certificate import Certificate, Item

SHOWN = 12


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="At a time.")
@click.option("--limit", type=float, default=60.0, show_default=True, help="Seconds a proof.")
@click.option("--only", type=int, metavar="NEURON", help="Only this row of the checkpoint.")
@click.option("--verbose", is_flag=True, help="Print every proof with its seconds.")
@click.pass_context
def prove(
    ctx: click.Context, build: Path, jobs: int, limit: float, only: int | None, verbose: bool
) -> None:
    """Prove the Verilog of BUILD by SAT and exact algebra."""
    from crystalc.files import write_atomic
    from crystalc_verilog.proof.build import load
    from crystalc_verilog.proof.certificate import Limits
    from crystalc_verilog.proof.prove import prove as run

    held = load(build)
    for name in held.changed:
        click.echo(f"note    {name} is not as it was compiled")
    with _progress() as progress:
        made = run(held, Limits(jobs, limit, only), progress)
    if only is None:
        write_atomic(build / "proof.json", json.dumps(made.to_dict(), indent=1) + "\n")
        _add_to_report(build / "report.json", made)
    click.echo(table(made, verbose))
    ctx.exit(EXIT_OK if made.ok else EXIT_CHECK_FAILED)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """One line that is rewritten, on a terminal only."""
    shown = sys.stderr.isatty()

    def say(what: str, done: int, of: int) -> None:
        if shown:
            text = f"{what} {done}/{of}" if of > 1 else what
            click.echo(f"\r{text:<60}\r", nl=False, err=True)

    try:
        yield say
    finally:
        say("", 0, 1)


def _add_to_report(path: Path, made: Certificate) -> None:
    """The certificate in short, in the build's report if there is one."""
    from crystalc.files import write_atomic

    if not path.exists():
        return
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    keys = ("ok", "counts", "design", "changed_since_compile", "tools", "seconds", "not_proved")
    report["proof"] = {key: value for key, value in made.to_dict().items() if key in keys}
    write_atomic(path, json.dumps(report, indent=1) + "\n")


def table(made: Certificate, verbose: bool) -> str:
    """A line for each kind of statement, then what was not proved."""
    lines = [f"{'':20} {'proved':>7} {'refuted':>8} {'simulated':>10} {'seconds':>8}"]
    for group, title in TITLES.items():
        held = [item for item in made.items if item.group == group]
        if held:
            lines.append(_row(title, held))
    if verbose:
        lines += [f"  {i.seconds:7.2f} s  {i.status:14} {_name(i)}" for i in made.items]
    bad = [item for item in made.items if item.status != "proved"]
    lines += [f"{i.status}: {_name(i)}: {printable(i.detail, 900)}" for i in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(f"... and {len(bad) - SHOWN} more in proof.json")
    verdict = "everything that was tried is proved" if made.ok else _unproved(bad)
    tools = ", ".join(f"{name} {version}" for name, version in made.tools.items())
    return "\n".join([*lines, f"{verdict} ({made.seconds:.1f} s; {tools})"])


def _unproved(bad: list[Item]) -> str:
    if any(item.status == "refuted" for item in bad):
        return "NOT PROVED"
    count = f"{len(bad)} statement{' is' if len(bad) == 1 else 's are'}"
    return f"NOT PROVED: nothing is refuted, but {count} only simulated"


TITLES = {
    "neuron": "neuron functions",
    "function": "other functions",
    "output": "output sums",
    "cells": "cells",
    "control": "control",
    "handshake": "handshake",
}


def _row(title: str, held: list[Item]) -> str:
    counts = [sum(i.status == s for i in held) for s in ("proved", "refuted", "simulated only")]
    seconds = sum(i.seconds for i in held)
    return f"{title:20} {counts[0]:7} {counts[1]:8} {counts[2]:10} {seconds:8.2f}"


def _name(item: Item) -> str:
    return item.what if item.neuron is None else f"neuron {item.neuron}: {item.what}"
