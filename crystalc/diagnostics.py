"""Located messages: what is wrong, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from crystalc.ir import Loc

EXIT_OK = 0
EXIT_CHECK_FAILED = 1
EXIT_INPUT_REFUSED = 2
EXIT_TOOL_FAILED = 3

DETAIL_LINES = 12


@dataclass(frozen=True)
class Diagnostic:
    """One sentence about one place; ``loc`` is None when the whole file is meant."""

    message: str
    loc: Loc | None = None
    hint: str = ""

    def __str__(self) -> str:
        where = f"{printable(str(self.loc))}: " if self.loc else ""
        hint = f"\n  hint: {printable(self.hint)}" if self.hint else ""
        return f"error: {where}{printable(self.message)}{hint}"


class CompileError(Exception):
    """The input is refused (exit code 2). Carries every diagnostic found, never just the first."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(map(str, diagnostics)))
        self.diagnostics = diagnostics


class ToolError(Exception):
    """A tool is missing or failed (exit code 3). ``details``: what the tool itself printed."""

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        lines = details.splitlines()
        shown = [f"  | {printable(line, 160)}" for line in lines[:DETAIL_LINES]]
        if len(lines) > DETAIL_LINES:
            shown.append(f"  | ... {len(lines) - DETAIL_LINES} more lines")
        super().__init__("\n".join([str(Diagnostic(message, hint=hint)), *shown]))


def refuse(
    message: str, key: str = "", index: tuple[int, ...] = (), hint: str = ""
) -> CompileError:
    """A CompileError of one diagnostic at ``key[index]``."""
    return CompileError(Diagnostic(message, Loc(key, index) if key else None, hint))


def printable(text: str, limit: int = 400) -> str:
    """``text`` safe for a terminal: control and direction characters escaped, cut at limit."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escaped if len(escaped) <= limit else escaped[:limit] + "..."
