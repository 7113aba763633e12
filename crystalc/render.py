"""The only Jinja environment: strict, sandboxed, and blind to anything but the context given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_PACKAGE = Path(__file__).parent
ROOTS = (_PACKAGE / "templates", _PACKAGE.parent / "templates")
"""Where templates live: inside the wheel, or beside the package in a checkout."""


class LineAnchor(Extension):
    """``{% line %}`` prints ``#line N "template"``, so that a compiler's errors name the template.

    Without anchors (the default) the tag prints nothing.
    """

    tags = {"line"}  # noqa: RUF012, the base class wants a plain set

    def parse(self, parser: Parser) -> nodes.Node:
        """One Output node of literal text."""
        token = next(parser.stream)
        on = bool(getattr(self.environment, "anchors", False))
        text = f'#line {token.lineno + 1} "{parser.name}"\n' if on else ""
        return nodes.Output([nodes.TemplateData(text)]).set_lineno(token.lineno)


def template_root() -> Path:
    """The directory of templates. Raises FileNotFoundError when the installation is broken."""
    for root in ROOTS:
        if root.is_dir():
            return root
    raise FileNotFoundError(f"no templates in {' or '.join(map(str, ROOTS))}")


def hex_word(value: int) -> str:
    """A 32-bit pattern as a C literal: ``0x3f800000``."""
    return f"0x{value & 0xFFFFFFFF:08x}"


def block_comment(text: str) -> list[str]:
    """Lines of ``text`` that are safe inside a ``/* */`` comment: printable ASCII, no delimiter."""
    lines = "".join(c if c == "\n" or " " <= c <= "~" else "?" for c in text).split("\n")
    return [_without_delimiters(line).rstrip("\\ ") for line in lines]


def _without_delimiters(line: str) -> str:
    """No comment begins or ends in ``line``, and no trigraph hides in it."""
    for pair in ("*/", "/*", "??"):
        while pair in line:
            line = line.replace(pair, " ".join(pair))
    return line


FILTERS: Mapping[str, Callable[..., Any]] = {"hex_word": hex_word, "block_comment": block_comment}


@cache
def environment(anchors: bool = False) -> ImmutableSandboxedEnvironment:
    """The shared environment; ``anchors`` turns ``{% line %}`` on."""
    env = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(template_root()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        extensions=[LineAnchor],
    )
    env.filters.update(FILTERS)
    env.extend(anchors=anchors)
    return env


def render(template: str, context: object, anchors: bool = False) -> str:
    """``template`` (path below the root) filled from the fields of the dataclass ``context``."""
    values = {f.name: getattr(context, f.name) for f in fields(context)}  # type: ignore[arg-type]
    return environment(anchors).get_template(template).render(values)


def source(path: str) -> str:
    """The text of a hand-written source below the template root, as it is."""
    return (template_root() / path).read_text(encoding="utf-8")
