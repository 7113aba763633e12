"""The exact range of a sum of cells, where some of them are functions of the same input."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystalc_verilog.circuit import Circuit, Linear


def reach(circuit: Circuit, row: Linear) -> tuple[int, int]:
    """Least and largest value of ``row``: what is made of one cell moves together.

    x^2 - 2 p x, say, is never below -p^2 although x may be 0 and 2 p x large.
    """
    by_source: dict[int, dict[int, int]] = {}
    whole = expanded(circuit, row)
    for cell, weight in whole.weights.items():
        by_source.setdefault(_source(circuit, cell), {})[cell] = weight
    low = high = whole.offset
    for source, weights in by_source.items():
        least, most = _ends(circuit, source, weights)
        low, high = low + least, high + most
    return low, high


def expanded(circuit: Circuit, row: Linear) -> Linear:
    """``row`` with every sum in it replaced by its own terms."""
    whole = row.times(1)
    for cell in list(whole.weights):
        if cell in circuit.sums:
            weight = whole.weights[cell]
            inner = expanded(circuit, circuit.sums[cell])
            rest = {c: w for c, w in whole.weights.items() if c != cell}
            whole = type(row)(rest, whole.offset).plus(inner, weight)
    return whole


def _source(circuit: Circuit, cell: int) -> int:
    known = circuit.cells[cell]
    return known.args[0] if known.kind == "table" else cell


def _ends(circuit: Circuit, source: int, weights: dict[int, int]) -> tuple[int, int]:
    low, high = circuit.bounds(source)
    if list(weights) == [source]:
        ends = [weights[source] * low, weights[source] * high]
        return min(ends), max(ends)
    found = [
        sum(w * _value(circuit, cell, source, v) for cell, w in weights.items())
        for v in range(low, high + 1)
    ]
    return min(found), max(found)


def _value(circuit: Circuit, cell: int, source: int, v: int) -> int:
    if cell == source:
        return v
    return circuit.contents[circuit.cells[cell].params[0]][v]
