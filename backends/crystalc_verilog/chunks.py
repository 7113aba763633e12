"""CXXRTL's one function of a whole design, cut into many: compilers take more than linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from crystalc.diagnostics import ToolError

LINES = 300
"""Of a function, about. A tenth or three times as many: a third slower to compile."""

DECLARED = "\tbool eval(performer *performer = nullptr) override;\n"
BODY = re.compile(
    r"^bool (\w+)::eval\(performer \*performer\) \{\n"
    r"\tbool converged = true;\n"
    r"\tbool posedge_p_clk = this->posedge_p_clk\(\);\n"
    r"(.*?)"
    r"^\treturn converged;\n\}\n",
    re.S | re.M,
)
LOCAL = re.compile(r"\tvalue<\d+> \w+;")
STATEMENT = "\t// "
"""A comment, which stands before each group of statements that needs nothing from the others."""

ARGUMENTS = "performer *performer, bool posedge_p_clk, bool &converged"
PASSED = "performer, posedge_p_clk, converged"


def cut(text: str) -> str:
    """``text`` of write_cxxrtl, with what was local to ``eval`` in the struct. Raises ToolError."""
    body = BODY.search(text)
    if not body or text.count(DECLARED) != 1:
        raise ToolError("this pyosys writes C++ of another shape", hint="pip install pyosys==0.70")
    lines = body[2].splitlines()
    parts = list(_parts([line for line in lines if not LOCAL.fullmatch(line)]))
    names = [f"part_{k}({ARGUMENTS})" for k in range(len(parts))]
    made = [
        f"void {body[1]}::{name} {{\n{part}\n}}\n" for name, part in zip(names, parts, strict=True)
    ]
    calls = "".join(f"\tpart_{k}({PASSED});\n" for k in range(len(parts)))
    whole = text[body.start() : body.start(2)] + calls + text[body.end(2) : body.end()]
    members = [line for line in lines if LOCAL.fullmatch(line)]
    members += [f"\tvoid {name};" for name in names]
    head = text[: body.start()].replace(DECLARED, "\n".join([*members, DECLARED]))
    return head + "".join(made) + whole + text[body.end() :]


def _parts(lines: Sequence[str]) -> Iterator[str]:
    """Runs of whole statements, a little longer than ``LINES``."""
    part: list[str] = []
    for line in lines:
        if not line.startswith(STATEMENT):
            part.append(line)
        elif len(part) >= LINES:
            yield "\n".join(part)
            part = []
    yield "\n".join(part)
