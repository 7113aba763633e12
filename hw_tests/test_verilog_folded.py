"""Folded designs: exact for every kernel, size and count of lanes, under every kind of traffic."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError, ToolError
from crystalc.driver import (
    Compiled,
    Options,
    check_vectors,
    compile_checkpoint,
    verify_build,
    write,
)
from crystalc.interpret import interpret
from crystalc_verilog import VerilogBackend
from crystalc_verilog.simulate import compile_design
from crystalc_verilog.simulate import run as run_tool
from hw_tests.verilog_models import NEEDS_ICARUS, facts, run, tiny_checkpoint

KERNELS: list[Any] = [
    ("radial", "relu", "l2"),
    ("radial", "gelu", "l2"),
    ("gauss", None, "l2"),
    ("laplace", None, "l1"),
]


def frozen(**shape: Any) -> Checkpoint:
    return tiny_checkpoint(frozen=1.0, **shape)


def compiled(checkpoint: Checkpoint, place: Path, lanes: int, **options: Any) -> Compiled:
    """A model as a folded design in ``place``."""
    backend = {"arch": "folded", "lanes": str(lanes)}
    wanted = Options("verilog", arithmetic="fixed", count=30, backend=backend, **options)
    made = compile_checkpoint(checkpoint, wanted)
    write(made, place)
    return made


@NEEDS_ICARUS
@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize(("kernel", "activation", "metric"), KERNELS)
def test_every_kernel_is_exact(
    kernel: Any, activation: Any, metric: Any, lanes: int, tmp_path: Path
) -> None:
    checkpoint = frozen(
        kernel=kernel, activation=activation, metric=metric, projection=lanes != 3, head=True
    )
    made = compiled(checkpoint, tmp_path, lanes, argmax=lanes == 16)
    result = verify_build(made, tmp_path, check_vectors(made))
    assert result.ok, result.reason


SIZES = [(1, 1, 1, 1), (1, 2, 3, 2), (2, 1, 1, 4), (7, 1, 5, 5), (3, 9, 2, 4), (16, 16, 16, 8)]


@NEEDS_ICARUS
@pytest.mark.parametrize(("inputs", "neurons", "outputs", "lanes"), SIZES)
def test_every_size_survives_traffic(
    inputs: int, neurons: int, outputs: int, lanes: int, tmp_path: Path
) -> None:
    made = compiled(frozen(inputs=inputs, neurons=neurons, outputs=outputs), tmp_path, lanes)
    x = check_vectors(made)
    wanted = interpret(made.meaning, x)
    assert np.array_equal(run(tmp_path, x), wanted)
    for stall, resets in ((30, 0), (70, 0), (20, 6)):
        assert np.array_equal(run(tmp_path, x, stall=stall, resets=resets, seed=stall), wanted)


@NEEDS_ICARUS
@pytest.mark.parametrize("inputs", [1, 2, 11])
@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_the_stated_interval_is_what_the_busiest_product_takes(
    lanes: int, inputs: int, tmp_path: Path
) -> None:
    """Exact where one product is much the slowest; never less than stated."""
    made = compiled(frozen(inputs=inputs, neurons=9, outputs=4), tmp_path, lanes)
    x = check_vectors(made)
    clocks = []
    for n in (10, 30):
        compile_design(tmp_path, "crystal", tmp_path / "sim", {"COUNT": n})
        write_vectors(tmp_path, x[:n])
        text = run_tool(["vvp", "-n", "sim"], tmp_path, f"DONE {n} ")
        clocks.append(int(text.split(" in ")[1].split()[0]))
    taken, stated = clocks[1] - clocks[0], 20 * facts(tmp_path)["interval"]
    assert taken == stated if inputs == 11 else taken >= stated


def write_vectors(place: Path, x: Any) -> None:
    """What the testbench reads."""
    from crystalc_verilog.simulate import to_hex

    (place / "inputs.hex").write_text(to_hex(x, facts(place)["input"]))


@NEEDS_ICARUS
def test_icarus_has_no_warning(tmp_path: Path) -> None:
    compiled(frozen(projection=True), tmp_path, 4, argmax=True)
    assert compile_design(tmp_path, "crystal", tmp_path / "sim", {}, "-Wall") == ""


@NEEDS_ICARUS
def test_a_wrong_weight_is_caught(tmp_path: Path) -> None:
    made = compiled(frozen(activation="relu"), tmp_path, 2)
    text = (tmp_path / "crystal.v").read_text()
    word = re.search(r"'d1: y <= \d+'h([0-9a-f]+);", text)
    assert word
    wrong = f"{int(word[1], 16) ^ 1:x}"
    (tmp_path / "crystal.v").write_text(text[: word.start(1)] + wrong + text[word.end(1) :])
    assert not verify_build(made, tmp_path, check_vectors(made)).ok


@NEEDS_ICARUS
def test_sums_that_do_not_wait_are_caught(tmp_path: Path) -> None:
    made = compiled(frozen(inputs=3, neurons=12), tmp_path, 4)
    cells = tmp_path / "crystal_cells.v"
    wait = "assign rom_enable = ~(summed & out_valid);"
    text = cells.read_text()
    assert wait in text
    cells.write_text(text.replace(wait, "assign rom_enable = 1'b1;"))
    with pytest.raises(ToolError):
        run(tmp_path, check_vectors(made))


@pytest.mark.parametrize("checkpoint", [tiny_checkpoint(), frozen(kernel="gauss", normalized=True)])
def test_what_has_no_unit_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="arch=folded has no place for"):
        compiled(checkpoint, tmp_path, 4)


def test_options_that_contradict_are_refused() -> None:
    with pytest.raises(CompileError, match="lanes"):
        VerilogBackend(lanes="4")
    with pytest.raises(CompileError, match="lanes"):
        VerilogBackend(arch="folded", lanes="0")
    with pytest.raises(CompileError, match="arch"):
        VerilogBackend(arch="serial")
