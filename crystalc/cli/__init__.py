"""The command line: thin click commands over the driver. Exit codes are in ``docs/errors.md``."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import click

from crystalc import __version__
from crystalc.cli.asic import asic
from crystalc.cli.check import check
from crystalc.cli.circuit import levels, noise, scope
from crystalc.cli.compile import compile_
from crystalc.cli.container import quantize_study, upgrade, verify
from crystalc.cli.demo import demo
from crystalc.cli.doctor import doctor
from crystalc.cli.estimate import estimate
from crystalc.cli.fpga import fpga
from crystalc.cli.inspect import inspect
from crystalc.cli.interrupt import Terminated, end_on_signals
from crystalc.cli.neuron import neuron
from crystalc.cli.partition import partition
from crystalc.cli.prove import prove
from crystalc.cli.run import run_
from crystalc.cli.spice import bom, montecarlo
from crystalc.cli.synth import synth
from crystalc.cli.train import train
from crystalc.diagnostics import (
    EXIT_INPUT_REFUSED,
    EXIT_TOOL_FAILED,
    CompileError,
    ToolError,
    printable,
    refuse,
)

INTERRUPTED = 130

SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Models": (train, inspect, compile_, demo, doctor),
    "Verilog": (estimate, check, prove, neuron, synth, fpga, asic),
    "Circuits": (levels, scope, noise, montecarlo, bom, partition),
    "Language models": (quantize_study, verify, run_, upgrade),
}
"""The commands, in the order of ``crystalc --help``."""


class MainGroup(click.Group):
    """A group whose first word may be a model: ``crystalc MODEL --target T``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == ["--"] and len(args) > 1:  # a model whose name begins with a dash
            args = ["compile", *args[2:], "--", args[1]]
        elif args and args[0] not in self.commands and not _is_own(args[0]):
            self.refuse_misspelt(args[0])
            args = ["compile", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, one line each."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{c.name:14}", c.get_short_help_str(60)) for c in commands])

    def refuse_misspelt(self, word: str) -> None:
        """A word that is no file but nearly a command is not taken for a model."""
        near = get_close_matches(word, self.commands, 1)
        if near and not os.path.lexists(word):
            raise refuse(f"no file or command '{word}'", hint=f"did you mean '{near[0]}'?")


def _is_own(word: str) -> bool:
    return word in ("--help", "-h", "--version", "--list-targets")


def _list_targets(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value:
        return
    from crystalc.backend import available, describe

    for name in available():
        click.echo(f"{name:10} {describe(name)[1]}")
    ctx.exit()


@click.group(
    cls=MainGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="MODEL --target TARGET [OPTIONS] | COMMAND [ARGS]...",
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="crystalc")
@click.option(
    "--list-targets",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_targets,
    help="Print the installed targets and leave.",
)
def cli() -> None:
    """Compile trained crystal networks into things that run anywhere.

    \b
    crystalc MODEL --target c -o build/c    compile MODEL, build it, check it
    crystalc compile --help                 all options of that form
    """


for command in itertools.chain(*SECTIONS.values()):
    cli.add_command(command)


def main(args: list[str] | None = None) -> None:
    """Entry point: errors become one sentence on stderr and a documented exit code."""
    end_on_signals()
    sys.exit(run(args))


def run(args: list[str] | None) -> int:
    """Run the command line and return its exit code."""
    try:
        code: Any = cli.main(args=args, prog_name="crystalc", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CompileError as error:
        return _say(str(error), EXIT_INPUT_REFUSED)
    except ToolError as error:
        return _say(str(error), EXIT_TOOL_FAILED)
    except click.exceptions.NoArgsIsHelpError as error:
        return _say(error.format_message(), EXIT_INPUT_REFUSED)
    except click.ClickException as error:
        return _say(f"error: {printable(error.format_message())}", EXIT_INPUT_REFUSED)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", INTERRUPTED)
    except Terminated as error:
        with suppress(OSError):  # the terminal may be gone
            _say(str(error), error.code)
        return error.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _say(text: str, code: int) -> int:
    click.echo(text, err=True)
    return code
