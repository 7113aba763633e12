"""What the cells of a circuit compute, in Python: the tests' own reading of ``Circuit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from crystalc_verilog.circuit import Cell, Circuit

Rule = Callable[[Circuit, Cell, list[int]], int]


def evaluate(circuit: Circuit, inputs: Mapping[int, int], outputs: Sequence[int]) -> list[int]:
    """The numbers of the cells ``outputs``; every cell must keep to its stated range."""
    known: dict[int, int] = {}
    for i, cell in enumerate(circuit.cells):
        if cell.kind == "input" and i not in inputs:
            continue
        if any(a not in known for a in cell.args):
            continue
        value = inputs[i] if i in inputs else RULES[cell.kind](circuit, cell, _args(known, cell))
        assert cell.low <= value <= cell.high, (i, cell, value)
        known[i] = value
    return [known[o] for o in outputs]


def _args(known: Mapping[int, int], cell: Cell) -> list[int]:
    return [known[a] for a in cell.args]


def _bits(_: Circuit, cell: Cell, args: list[int]) -> int:
    width = cell.type.width
    value = args[0] >> cell.params[0] & (1 << width) - 1
    return value - (1 << width) if cell.type.signed and value >> (width - 1) else value


def _saturate(_: Circuit, cell: Cell, args: list[int]) -> int:
    shift, signed, width = cell.params
    half = 1 << (width - 1)
    low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
    return min(max(args[0] >> shift, low), high)


def _add(_: Circuit, cell: Cell, args: list[int]) -> int:
    left, right, minus = cell.params
    other = args[1] << right
    return (args[0] << left) + (-other if minus else other)


def _ones(circuit: Circuit, cell: Cell) -> int:
    return (1 << circuit.cells[cell.args[0]].type.width) - 1


RULES: Mapping[str, Rule] = {
    "const": lambda c, cell, a: cell.low,
    "left": lambda c, cell, a: a[0] << cell.params[0],
    "bits": _bits,
    "flip": lambda c, cell, a: _ones(c, cell) - a[0],
    "lift": lambda c, cell, a: a[0] + (_ones(c, cell) + 1 >> 1),
    "join": lambda c, cell, a: sum(v << s for v, s in zip(a, cell.params, strict=True)),
    "add": _add,
    "saturate": _saturate,
    "clip": lambda c, cell, a: cell.params[0] if a[0] else cell.params[1] if a[1] else a[2],
    "table": lambda c, cell, a: c.contents[cell.params[0]][a[0]],
}
