"""Small gate netlists in BLIF: one model each, and what they compute for one input."""

from __future__ import annotations

import re
from collections.abc import Mapping

LINE = 1 << 20


def models(text: str) -> dict[str, str]:
    """The models of a file, by name."""
    found: dict[str, str] = {}
    for part in re.split(r"^(?=\.model )", text, flags=re.MULTILINE)[1:]:
        found[part.split(None, 2)[1]] = part
    return found


def run(model: str, inputs: Mapping[str, int]) -> dict[str, int]:
    """Every net of a combinational model whose inputs have these values; unnamed ones are 0."""
    value = dict.fromkeys(_names(model, "inputs"), 0) | dict(inputs)
    tables: dict[str, tuple[list[str], list[str]]] = {}
    rows: list[str] = []
    for line in model.replace("\\\n", " ").splitlines():
        if line.startswith(".names"):
            *args, out = line.split()[1:]
            rows = []
            tables[out] = (args, rows)
        elif line and line[0] in "01-":
            rows.append(line)
    for out in tables:
        _settle(out, tables, value)
    return value


def _settle(
    goal: str, tables: Mapping[str, tuple[list[str], list[str]]], value: dict[str, int]
) -> None:
    """Compute net ``goal`` and all that it needs, without recursion. What nothing drives is 0, as
    ABC has it.
    """
    todo = [goal]
    while todo:
        out = todo[-1]
        if out in value:
            todo.pop()
            continue
        args, rows = tables.get(out, ([], []))
        missing = [a for a in args if a not in value]
        if missing:
            todo += missing
            continue
        value[out] = int(any(_hits(row, [value[a] for a in args]) for row in rows))


def _hits(row: str, values: list[int]) -> bool:
    """Does a line of a table say 1 for these inputs? A constant 1 is the line "1"."""
    cube = row.split()[0] if " " in row else ""
    return all(c == "-" or int(c) == v for c, v in zip(cube, values, strict=True))


def outputs(model: str) -> list[str]:
    """Names of the outputs, in order."""
    return _names(model, "outputs")


def _names(model: str, what: str) -> list[str]:
    joined = model.replace("\\\n", " ")
    return [
        n for line in joined.splitlines() if line.startswith(f".{what}") for n in line.split()[1:]
    ]


def word(values: Mapping[str, int], name: str, width: int, signed: bool) -> int:
    """A bus of single-bit nets as a number."""
    nets = [f"{name}[{k}]" for k in range(width)] if width > 1 else [name]
    total = sum(values.get(net, 0) << k for k, net in enumerate(nets))
    return total - (1 << width) if signed and total >> (width - 1) else total
