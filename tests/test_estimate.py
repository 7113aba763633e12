"""The area features of circuits, and what the estimate makes of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from support import tiny_checkpoint

from crystalc.driver import Options, compile_checkpoint
from crystalc_verilog.area import features, rom_features, table_features
from crystalc_verilog.circuit import Circuit
from crystalc_verilog.cmvm import Term
from crystalc_verilog.depth import logic_depth
from crystalc_verilog.devices import ICE40, XCUP
from crystalc_verilog.estimate import FIGURES, arch_of, estimate, figures, total
from crystalc_verilog.lower import Lowered, lower
from crystalc_verilog.schedule import schedule


def of(circuit: Circuit, *outputs: int) -> Counter[str]:
    inputs = tuple(c for c, cell in enumerate(circuit.cells) if cell.kind == "input")
    lowered = Lowered(circuit, inputs, outputs, ())
    return features(lowered, schedule(lowered, 5))


def test_an_adder_costs_the_bits_where_two_operands_meet() -> None:
    circuit = Circuit()
    a = circuit.make("input", (), (0,), 0, 15)
    b = circuit.make("input", (), (4,), 0, 15)
    far = circuit.settle(circuit.add(Term(a, 0), Term(b, 3)))
    found = of(circuit, far)
    assert (found["add_both"], found["add_chain"], found["adds"]) == (1, 5, 1)
    near = of(circuit, circuit.settle(circuit.add(Term(a, 0), Term(b, 0))))
    assert (near["add_both"], near["add_chain"]) == (4, 5)


def test_a_constant_operand_meets_nothing() -> None:
    circuit = Circuit()
    a = circuit.make("input", (), (0,), 0, 15)
    plus = circuit.settle(circuit.add(Term(a, 0), Term(circuit.const(8), 0)))
    found = of(circuit, plus)
    assert (found["add_both"], found["add_one"], found["add_chain"]) == (0, 1, 2)


@pytest.mark.parametrize(
    ("entries", "leaves", "choices"),
    [
        ([0] * 256, 0, 0),
        ([1] * 256, 0, 0),
        ([k & 1 for k in range(256)], 0, 0),
        ([k >> 7 for k in range(256)], 0, 0),
        ([(k & 1) ^ (k >> 7) for k in range(256)], 1, 0),
        ([int(k == 200) for k in range(256)], 1, 1),
        ([(k * 2654435761 >> 9) & 1 for k in range(256)], 4, 1),
    ],
)
def test_what_a_table_needs(entries: list[int], leaves: int, choices: int) -> None:
    found = table_features(entries, 1)
    assert (found["table_leaves6"], found["table_choices6"]) == (leaves, choices)


def test_a_large_rom_is_block_memory() -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 36, 1024).tolist()
    assert rom_features(noise, width=36) == Counter(block_bits=1024 * 36)


def test_a_small_rom_is_tables_with_registers() -> None:
    small = [int(k % 3 == 0) for k in range(64)]
    found = rom_features(small, width=1)
    assert (found["rom_flat_xcup"], found["rom_choices_xcup"], found["rom_bits_xcup"]) == (1, 0, 1)
    twice = rom_features(small, small, width=1)
    assert (twice["rom_leaves_xcup"], twice["rom_choices_xcup"]) == (2, 0)
    assert twice["rom_bits_xcup"] == twice["rom_bits_ecp5"] == twice["rom_bits_ice40"] == 2


def noise(width: int, count: int) -> list[int]:
    """Words of which every bit is used."""
    bits = np.random.default_rng(0).integers(0, 2, (count, width)).tolist()
    return [sum(bit << k for k, bit in enumerate(word)) for word in bits]


@pytest.mark.parametrize(("width", "block"), [(112, False), (198, True)])
def test_a_rom_is_what_yosys_finds_cheaper(width: int, block: bool) -> None:
    """Two ROMs of 256 words that Yosys 0.70 was seen to make of LUTs and of blocks."""
    words = noise(width, 256)
    assert (rom_features(words, width=width)["rom_bits_xcup"] == 0) == block
    constant = rom_features([w << 32 for w in words], width=width + 32)
    assert (constant["rom_bits_xcup"] == 0) == block


@pytest.mark.parametrize(
    ("width", "words", "block"), [(29, 128, False), (30, 512, True), (8, 512, True)]
)
def test_a_rom_with_two_ports_on_ecp5(width: int, words: int, block: bool) -> None:
    """The same for ROMs that two ports read, of which only ecp5's blocks have two."""
    found = rom_features(noise(width, words // 2), noise(width, words // 2), width=width)
    assert (found["rom_bits_ecp5"] == 0) == block


def test_folded_features_count_lanes_and_registers() -> None:
    """More lanes: a sum and a product for each, in the features and in the declared registers."""
    areas = []
    for lanes in (1, 2, 4):
        backend = {"arch": "folded", "lanes": str(lanes)}
        wanted = Options("verilog", arithmetic="fixed", width=6, backend=backend)
        made = compile_checkpoint(tiny_checkpoint(frozen=1.0), wanted)
        [text] = [v for k, v in made.files.items() if k.name == "crystal.json"]
        areas.append(json.loads(text)["area"])
    one, two, four = areas
    assert 2 * one["lane_bits"] == two["lane_bits"] == four["lane_bits"] // 2
    assert four["mul_large_bits"] == 4 * one["mul_large_bits"]
    assert (one.get("drain_bits", 0), two["drain_bits"]) == (0, two["lane_bits"] // 2)
    assert one["register_bits"] < two["register_bits"] < four["register_bits"]
    assert 0 < estimate(one, "xcup")["LUT"].count < estimate(four, "xcup")["LUT"].count


@pytest.mark.parametrize("arch", ["parallel", "folded"])
def test_features_stand_in_the_artefact(arch: str) -> None:
    model = tiny_checkpoint(frozen=1.0)
    wanted = Options("verilog", arithmetic="fixed", width=6, backend={"arch": arch})
    made = compile_checkpoint(model, wanted)
    [text] = [v for k, v in made.files.items() if k.name == "crystal.json"]
    area = json.loads(text)["area"]
    assert arch_of(area) == arch
    if arch == "parallel":
        lowered = lower(made.shaped)
        direct = features(lowered, schedule(lowered, 5))
        assert area == {k: v for k, v in direct.items() if v}


def test_an_estimate_is_features_times_costs() -> None:
    assert total({"a": 3, "b": 5, "c": 7}, {"a": 2.0, "b": 0.5}) == 8.5
    known = figures("xcup parallel")
    assert known is not None and known.designs >= 3
    one = estimate({"add_both": 1000}, "xcup")["LUT"]
    assert one.count == round(1000 * known.costs["LUT"]["add_both"])
    assert one.error == known.errors["LUT"]
    assert estimate({"add_both": 1000}, "generic") == {}


def test_every_figure_names_its_yosys() -> None:
    for kind in json.loads(FIGURES.read_text())["kinds"].values():
        assert kind["yosys"] == "pyosys 0.70"
        assert set(kind["errors"]) == set(kind["costs"])


def cell(kind: str, read: list[int], driven: list[int]) -> dict[str, object]:
    return {
        "type": kind,
        "port_directions": {"I": "input", "O": "output"},
        "connections": {"I": read, "O": driven},
    }


def test_depth_ends_at_registers_and_goes_through_carries() -> None:
    cells = {
        "a": cell("SB_LUT4", [2], [3]),
        "b": cell("SB_CARRY", [3], [4]),
        "c": cell("SB_LUT4", [4], [5]),
        "d": cell("SB_DFF", [5], [6]),
        "e": cell("SB_LUT4", [6], [7]),
    }
    text = json.dumps({"modules": {"top": {"cells": cells}}})
    assert logic_depth(text, "top", ICE40) == 2
    assert logic_depth(json.dumps({"modules": {"top": {"cells": {}}}}), "top", ICE40) == 0


def test_resources_are_counted_by_type() -> None:
    found = XCUP.count({"LUT2": 3, "LUT6": 4, "FDRE": 5, "RAMB36E2": 1, "RAM32M16": 2, "INV": 9})
    wanted = {"LUT": 7, "FF": 5, "BRAM18": 2, "LUTRAM": 16, "CARRY4": 0, "MUXF": 0, "DSP": 0}
    assert found == wanted


@pytest.mark.parametrize("arch", ["parallel", "folded"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_active_neurons_have_features_too(arch: str, activation: Any) -> None:
    checkpoint = tiny_checkpoint(activation=activation, frozen=0.5)
    options = Options("verilog", "fixed", backend={"arch": arch})
    files = compile_checkpoint(checkpoint, options).files
    facts = json.loads(files[PurePosixPath("crystal.json")])
    assert facts["state"]
    assert facts["area"]
