"""Which model names may become C identifiers and file names."""

from __future__ import annotations

import re

from crystalc.diagnostics import CompileError, refuse

_VALID = re.compile(r"[a-z][a-z0-9_]{0,31}")

KEYWORDS = """auto break case char const continue default do double else enum extern float for goto
    if inline int long register restrict return short signed sizeof static struct switch typedef
    union unsigned void volatile while asm bool true false nullptr main class new this template
    namespace operator private public"""
HEADERS = """assert complex ctype errno fenv float inttypes limits locale math setjmp signal stdarg
    stdbool stddef stdint stdio stdlib string tgmath time wchar wctype immintrin example"""
"""File names that are taken: NAME.h must not hide a system header, NAME.c not the example."""


def check_name(name: str) -> None:
    """Raise CompileError unless ``name`` can prefix every symbol and file of the artefact."""
    if not _VALID.fullmatch(name):
        raise _refused(name, "is not a lower-case identifier of at most 32 characters")
    if name in KEYWORDS.split():
        raise _refused(name, "is a word of C or C++")
    if name in HEADERS.split():
        raise _refused(name, "is the name of another file")


def _refused(name: str, why: str) -> CompileError:
    return refuse(f"the C name '{name}' {why}", hint="choose another with --name")
