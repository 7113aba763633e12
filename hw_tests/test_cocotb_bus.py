"""Active neurons rewritten through AXI4-Lite and Wishbone, in simulation, against the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.driver import Options, check_vectors, compile_checkpoint, write
from crystalc.files import write_tree
from crystalc.interpret import interpret
from crystalc.ir import Builder, FixedType, Graph, Loc, Op, TensorType
from crystalc_verilog import VerilogBackend
from hw_tests.cocotb_runner import NEEDS_COCOTB, run_bench
from hw_tests.verilog_models import facts, random_state, tiny_checkpoint, writes

pytestmark = NEEDS_COCOTB

VECTORS = 8


def packed(rows: Any, port: Any) -> list[int]:
    """Each row as one number, element 0 lowest."""
    width = port["width"]
    mask = (1 << width) - 1
    return [sum((int(v) & mask) << (width * k) for k, v in enumerate(row)) for row in rows]


def crystal(place: Path) -> tuple[Graph, Any]:
    """A crystal with frozen and active neurons."""
    shape = {"kernel": "radial", "activation": "relu", "frozen": 0.7}
    made = compile_checkpoint(tiny_checkpoint(**shape), Options("verilog", arithmetic="fixed"))
    write(made, place)
    return made.shaped, check_vectors(made)[:VECTORS]


def wide_sum(place: Path) -> tuple[Graph, Any]:
    """Two numbers of 40 bits that may be rewritten, added to the inputs."""
    b, at = Builder(), Loc("test")
    x = b.op(Op.INPUT, (), TensorType((2,), FixedType(True, 8)), at)
    ones = np.ones(2, dtype=np.bool_)
    state = b.const(np.array([5, -(1 << 39)]), FixedType(True, 40), at, ones, "offset")
    y = b.op(Op.ADD, (x, state), TensorType((2,), FixedType(True, 41)), at)
    b.op(Op.OUTPUT, (y,), TensorType((2,), FixedType(True, 41)), at)
    write_tree(place, VerilogBackend().emit(b.graph(), "a test"))
    return b.graph(), np.arange(-VECTORS, VECTORS).reshape(VECTORS, 2)


@pytest.mark.parametrize("suffix", ["axil", "wb"])
@pytest.mark.parametrize("model", [crystal, wide_sum])
def test_rewritten_neurons_follow_the_oracle(model: Any, suffix: str, tmp_path: Path) -> None:
    graph, x = model(tmp_path)
    state = random_state(graph, np.random.default_rng(3))
    known = facts(tmp_path)
    before, after = interpret(graph, x), interpret(graph, x, state)
    assert (before != after).any()
    case = {
        "suffix": suffix,
        "inputs": packed(x, known["input"]),
        "before": packed(before, known["output"]),
        "after": packed(after, known["output"]),
        "writes": writes(tmp_path, state),
        "bus": known["bus"],
        "data_bits": known["data_bits"],
    }
    top = f"crystal_{suffix}"
    sources = [tmp_path / name for name in ("crystal_cells.v", "crystal.v", f"{top}.v")]
    run_bench("bench_wrapper", top, sources, tmp_path, case)


def test_the_map_says_where_each_number_is(tmp_path: Path) -> None:
    graph, _ = crystal(tmp_path)
    known = facts(tmp_path)
    places = [
        entry["byte_address"] + 4 * k
        for entry in known["state"]
        for k in range(int(np.prod(entry["shape"])))
    ]
    words = sum(node.data().size for _, node in graph if node.is_state)
    assert places == list(range(0, 4 * words, 4))
    assert known["bus"]["registers"]["words"]["reads"] == words


def test_a_frozen_model_has_no_bus(tmp_path: Path) -> None:
    made = compile_checkpoint(tiny_checkpoint(frozen=1.0), Options("verilog", arithmetic="fixed"))
    assert not [name for name in made.files if name.name.endswith(("_axil.v", "_wb.v"))]
    assert "crystal_map" not in str(made.files)
