"""Which bits become adders, registers and functions: as Yosys was seen to count them."""

from __future__ import annotations

import pytest

from crystalc_verilog.circuit import Circuit
from crystalc_verilog.cmvm import Term
from crystalc_verilog.functions import Functions, reduced
from crystalc_verilog.live_bits import Adder, LiveBits
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import schedule


def bits_of(circuit: Circuit, *outputs: int, levels: int = 5) -> LiveBits:
    inputs = tuple(c for c, cell in enumerate(circuit.cells) if cell.kind == "input")
    lowered = Lowered(circuit, inputs, outputs, ())
    return LiveBits(lowered, schedule(lowered, levels))


def number(circuit: Circuit, place: int, high: int = 15) -> int:
    return circuit.make("input", (), (place,), 0, high)


def test_low_bits_of_one_operand_pass_an_adder() -> None:
    circuit = Circuit()
    a, b = number(circuit, 0), number(circuit, 4)
    total = circuit.settle(circuit.add(Term(a, 0), Term(b, 2)))
    bits = bits_of(circuit, total)
    assert bits.nets[total][:3] == [(a, 0, False), (a, 1, False), (total, 2, False)]
    assert bits.adder(total) == Adder(both=2, one=2, chain=5)
    assert bits.registers() == 4 + 4 + 7


def test_what_no_output_needs_is_not_there() -> None:
    circuit = Circuit()
    a, b = number(circuit, 0), number(circuit, 4)
    total = circuit.settle(circuit.add(Term(a, 0), Term(b, 0)))
    bits = bits_of(circuit, circuit.bits(total, 0, 0, 3))
    assert bits.adder(total) == Adder(both=2, one=0, chain=2)
    assert bits.registers() == 2 + 2 + 2
    assert bits.needed(total) == 2


def test_a_bit_and_its_inverse_are_one_register() -> None:
    circuit = Circuit()
    a = number(circuit, 0)
    twice = bits_of(circuit, a, circuit.flip(a), circuit.left(a, 3))
    assert twice.registers() == 4 + 4


def test_without_its_ends_a_segment_has_inner_registers_only() -> None:
    circuit = Circuit()
    values = [number(circuit, 4 * k) for k in range(4)]
    sums = [
        circuit.settle(circuit.add(Term(a, 0), Term(b, 0)))
        for a, b in zip(values[::2], values[1::2], strict=True)
    ]
    total = circuit.settle(circuit.add(Term(sums[0], 0), Term(sums[1], 0)))
    bits = bits_of(circuit, total, levels=1)
    assert bits.registers() == 16 + 10 + 6
    assert bits.registers(ends=False) == 10


def test_bits_of_a_table_that_are_wires() -> None:
    circuit = Circuit()
    a = number(circuit, 0)
    square = circuit.table(a, [v * v for v in range(16)])
    nets = bits_of(circuit, square).nets[square]
    assert nets[:3] == [(a, 0, False), False, (square, 2, False)]


def test_a_table_is_part_of_the_only_adder_behind_it() -> None:
    circuit = Circuit()
    a, b = number(circuit, 0), number(circuit, 4)
    square = circuit.table(a, [v * v for v in range(16)])
    total = circuit.settle(circuit.add(Term(b, 0), Term(square, 0)))
    assert bits_of(circuit, total).absorbed(total) == [(square, 2), (square, 3)]
    assert bits_of(circuit, total, square).absorbed(total) == []


@pytest.mark.parametrize(
    ("columns", "leaves", "choices"),
    [
        ([(0, 1, 1, 0)], 1, 0),
        ([(0, 1, 1, 0), (1, 0, 0, 1)], 1, 0),
        ([(0, 1, 0, 1)], 0, 0),
        ([tuple(int(k == 127) for k in range(128))], 1, 1),
        ([tuple(k.bit_count() & 1 for k in range(128))], 1, 1),
    ],
)
def test_functions_are_counted_once(
    columns: list[tuple[int, ...]], leaves: int, choices: int
) -> None:
    found = Functions()
    for column in columns:
        found.add(tuple(range(len(column).bit_length() - 1)), column)
    features = found.features()
    assert (features["table_leaves6"], features["table_choices6"]) == (leaves, choices)


def test_variables_without_effect_are_left_out() -> None:
    assert reduced((7, 8, 9), (0, 0, 1, 1, 0, 0, 1, 1)) == ((8,), (0, 1))
