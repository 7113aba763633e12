"""Sums in the circuit: exact whatever the signs, never extended, and as narrow as they can be."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from circuit_meaning import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalc.ir import FixedType
from crystalc_verilog.adder_bits import adder_tables
from crystalc_verilog.circuit import Circuit, Linear
from crystalc_verilog.cmvm import low_digits, signed_digits
from crystalc_verilog.reach import reach

ENDS = [(0, 31), (-16, 15), (3, 9), (-9, -2), (0, 1), (-1, 0)]


def inputs(circuit: Circuit, ends: list[tuple[int, int]]) -> list[int]:
    """One input cell for each range."""
    return [circuit.make("input", (), (8 * k,), *e) for k, e in enumerate(ends)]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_sums_are_exact(data: Any) -> None:
    """Any matrix, signed and unsigned inputs, late ones too, with and without a constant."""
    ends = data.draw(st.lists(st.sampled_from(ENDS), min_size=1, max_size=7))
    rows = data.draw(
        st.lists(
            st.lists(st.integers(-70, 70), min_size=len(ends), max_size=len(ends)),
            min_size=1,
            max_size=5,
        )
    )
    offsets = [data.draw(st.sampled_from([0, 0, 1, -5, 1000, -777])) for _ in rows]
    circuit = Circuit()
    x = inputs(circuit, ends)
    circuit.depth[x[0]] = data.draw(st.sampled_from([0, 3, 6]))
    sums = [
        Linear({c: w for c, w in zip(x, row, strict=True) if w}, offset)
        for row, offset in zip(rows, offsets, strict=True)
    ]
    made = circuit.linear(sums)
    for _ in range(4):
        values = [data.draw(st.integers(*e)) for e in ends]
        wanted = (np.array(rows) @ np.array(values) + np.array(offsets)).tolist()
        assert evaluate(circuit, dict(zip(x, values, strict=True)), made) == wanted


def test_no_operand_is_extended_by_its_sign() -> None:
    circuit = Circuit()
    x = inputs(circuit, [(0, 31)] * 8)
    circuit.linear([Linear({c: (-1) ** k * (k + 3) for k, c in enumerate(x)}, -9)])
    operands = [circuit.cells[a] for cell in circuit.cells if cell.kind == "add" for a in cell.args]
    assert operands and all(cell.low >= 0 for cell in operands)


def test_what_lies_side_by_side_needs_no_adder() -> None:
    circuit = Circuit()
    x = inputs(circuit, [(0, 15)] * 4)
    circuit.linear([Linear({c: 16**k for k, c in enumerate(x)})])
    assert not any(cell.kind == "add" for cell in circuit.cells)
    circuit.linear([Linear({x[0]: 1, x[1]: -16}, 5)])
    assert sum(cell.kind == "add" for cell in circuit.cells) == 1  # the constant's


def test_adders_cost_the_bits_that_overlap() -> None:
    circuit = Circuit()
    x = inputs(circuit, [(0, 31), (0, 31)])
    circuit.linear([Linear({x[0]: 1, x[1]: 8})])
    assert adder_tables(circuit, range(len(circuit.cells))) == 2


@pytest.mark.parametrize("p", [0, 3, 7, 15, 40])
def test_the_range_of_a_square_is_that_of_the_whole(p: int) -> None:
    """x^2 - 2 p x for x in 0..15, as a table and a product of the same cell."""
    circuit = Circuit()
    x, other = inputs(circuit, [(0, 15), (0, 3)])
    square = circuit.table(x, [v * v for v in range(16)])
    row = Linear({square: 1, x: -2 * p, other: 5}, 2)
    found = [v * v - 2 * p * v + 5 * w + 2 for v, w in product(range(16), range(4))]
    assert reach(circuit, row) == (min(found), max(found))
    [shared] = circuit.linear([Linear({square: 1, other: 5})])
    assert reach(circuit, Linear({shared: 1, x: -2 * p}, 2)) == (min(found), max(found))


@pytest.mark.parametrize(("low", "high"), [(-40, 300), (0, 300), (-40, 100), (5, 90)])
def test_a_table_behind_a_clamp_takes_the_ends(low: int, high: int) -> None:
    circuit = Circuit()
    [x] = inputs(circuit, [(low, high)])
    entries = [3 * k - 50 for k in range(32)]
    made = circuit.table(circuit.saturate(x, 2, FixedType(False, 5)), entries)
    for v in range(low, high + 1):
        assert evaluate(circuit, {x: v}, [made]) == [entries[min(max(v >> 2, 0), 31)]]


@given(st.integers(-(1 << 30), 1 << 30))
def test_low_digits_are_as_few_and_lower(value: int) -> None:
    digits, usual = low_digits(value), signed_digits(value)
    assert sum((-1 if negative else 1) << shift for shift, negative in digits) == value
    assert len(digits) == len(usual)
    assert not digits or max(digits)[0] <= max(usual)[0]
