"""A target's own options as long options of a command: ``--levels-per-stage 5``.

They are the fields of the backend's dataclass, so nothing is written twice; ``-O key=value`` means
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

from crystalc.diagnostics import CompileError, refuse

GIVEN = "crystalc.target_options"
"""Where a click context keeps the options that were given, by field."""

OWN = frozenset({"prefix"})
"""Fields that have an option of the compiler: --name."""


class TargetCommand(click.Command):
    """A command with ``--target`` and ``-O`` that also takes the target's fields as options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["crystalc.target"] = target = _target(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _explained(error, target) or error from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own, then those of the target it was called with."""
        return [*super().get_params(ctx), *self.extra(ctx, ctx.meta.get("crystalc.target"))]

    def extra(self, ctx: click.Context, target: str | None) -> list[click.Option]:
        """Options of a target less those whose name the command has already."""
        taken = {name for p in super().get_params(ctx) for name in p.opts}
        return [o for o in _options(target) if o.opts[0] not in taken]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The usual list, then one for each installed target."""
        from crystalc.backend import available

        target = ctx.meta.pop("crystalc.target", None)
        super().format_options(ctx, formatter)
        for name in [target] if target else available():
            rows = [(f"{o.opts[0]} TEXT", o.help or "") for o in self.extra(ctx, name)]
            if rows:
                with formatter.section(f"Options of --target {name} (or -O key=value)"):
                    formatter.write_dl(rows)


def given_options(ctx: click.Context, pairs: Sequence[str]) -> dict[str, str]:
    """The target's options by field: long ones, and ``pairs`` of KEY=VALUE.

    Raises CompileError for a pair that is none and for an option given in both ways.
    """
    found: dict[str, str] = dict(ctx.meta.get(GIVEN, {}))
    for text in pairs:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise refuse(f"-O {text} is not KEY=VALUE")
        if key in ctx.meta.get(GIVEN, {}):
            raise refuse(f"{_long(key)} and -O {key} are the same option", hint="give one of them")
        found[key] = value
    return found


def _target(args: Sequence[str]) -> str | None:
    """The word after ``--target``; the command line is not parsed yet."""
    for word, after in zip(args, [*args[1:], None], strict=True):
        if word == "--target":
            return after
        if word.startswith("--target="):
            return word.partition("=")[2]
    return None


def _long(field: str) -> str:
    return "--" + field.replace("_", "-")


def _options(target: str | None) -> list[click.Option]:
    """An option for each field of the target's backend; none where there is no such target."""
    from crystalc.backend import load

    try:
        backend = load(target) if target else None
    except CompileError:
        return []  # said again, with its reason, when the command runs
    known = fields(backend) if backend else ()
    return [
        click.Option(
            [_long(f.name), f"target_{f.name}"],
            help=f.metadata.get("help", ""),
            expose_value=False,
            callback=_keep,
        )
        for f in known
        if f.init and f.name not in OWN
    ]


def _keep(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None:
        name = str(option.name).removeprefix("target_")
        ctx.meta.setdefault(GIVEN, {})[name] = value


def _explained(error: click.NoSuchOption, target: str | None) -> CompileError | None:
    """Which targets have the option; None where none has, and click's words will do."""
    from crystalc.backend import available, load

    if target is not None:
        load(target)  # an unknown target is said first
    word = error.option_name
    owners = [t for t in available() if word in {o.opts[0] for o in _options(t)}]
    if not owners:
        return None
    hint = f"option of: {', '.join(f'--target {t}' for t in owners)}"
    if target is None:
        return refuse(f"no option '{word}' without a target", hint=hint)
    return refuse(f"target '{target}' has no option '{word}'", hint=hint)
