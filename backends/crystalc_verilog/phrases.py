"""Verilog expressions that a folded design is made of."""

from __future__ import annotations

from collections.abc import Sequence

from crystalc.ir import FixedType


def stepped(name: str, bits: int, values: Sequence[tuple[int, int]], width: int) -> str:
    """A choice by ``name``: the value of the first bound that it is below."""
    runs: list[tuple[int, int]] = []
    for bound, value in values:
        if runs and runs[-1][1] == value:
            runs[-1] = (bound, value)
        else:
            runs.append((bound, value))
    text = f"{width}'d{runs[-1][1]}"
    for bound, value in reversed(runs[:-1]):
        text = f"{name} < {bits}'d{bound} ? {width}'d{value} : {text}"
    return f"({text})"


def pushed(name: str, count: int, width: int, new: str) -> str:
    """A row of ``count`` numbers with ``new`` in the lowest place."""
    return new if count == 1 else f"{{{name}[{(count - 1) * width - 1}:0], {new}}}"


def pushed_down(name: str, bits: int, width: int, new: str) -> str:
    """A row of ``bits`` bits with ``new``, a number of ``width`` bits, in the highest place."""
    return new if bits == width else f"{{{new}, {name}[{bits - 1}:{width}]}}"


def read_at(name: str, want: int, have: int, array: str) -> str:
    return f"{array}[{name}[{want - 1}:0]]" if want < have else f"{array}[{name}]"


def extended(value: str, kind: FixedType, width: int) -> str:
    """``value`` with ``width`` bits."""
    if kind.width == width:
        return value
    if kind.width > width:
        return f"{value}[{width - 1}:0]"
    more = width - kind.width
    if not kind.signed:
        return f"{{{more}'d0, {value}}}"
    return f"{{{{{more}{{{value}[{kind.width - 1}]}}}}, {value}}}"


def chosen(items: Sequence[str], index: str, bit: int) -> str:
    """items[index] as a tree of choices by the bits of ``index`` from ``bit`` down."""
    if len(items) == 1:
        return items[0]
    half = 1 << bit
    if len(items) <= half:
        return chosen(items, index, bit - 1)
    low, high = (chosen(part, index, bit - 1) for part in (items[:half], items[half:]))
    return f"({index}[{bit}] ? {high} : {low})"
