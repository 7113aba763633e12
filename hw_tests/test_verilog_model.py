"""Crystals of every kernel as Verilog through the driver, and faults that the check must see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.check import compare
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
from crystalc_verilog import VerilogBackend
from crystalc_verilog.simulate import run as run_tool
from hw_tests.verilog_models import NEEDS_ICARUS, facts, run, tiny_checkpoint

KERNELS: list[Any] = [
    ("radial", "relu", "l2", False),
    ("radial", "gelu", "l2", False),
    ("gauss", None, "l2", False),
    ("laplace", None, "l1", False),
    ("gauss", None, "l2", True),
]


def compiled(checkpoint: Checkpoint, place: Path, count: int = 80, **options: Any) -> Compiled:
    """A model as Verilog in ``place``."""
    made = compile_checkpoint(
        checkpoint, Options("verilog", arithmetic="fixed", count=count, **options)
    )
    write(made, place)
    return made


@NEEDS_ICARUS
@pytest.mark.parametrize(("kernel", "activation", "metric", "normalized"), KERNELS)
def test_every_kernel_is_exact(
    kernel: Any, activation: Any, metric: Any, normalized: bool, tmp_path: Path
) -> None:
    checkpoint = tiny_checkpoint(
        kernel, activation, metric, normalized=normalized, projection=metric == "l2", head=True
    )
    made = compiled(checkpoint, tmp_path, width=6)
    result = verify_build(made, tmp_path, check_vectors(made))
    assert result.ok, result.reason


@NEEDS_ICARUS
def test_argmax_and_a_chosen_name(tmp_path: Path) -> None:
    options = {"argmax": True, "backend": {"prefix": "mine", "levels_per_stage": "2"}}
    made = compiled(tiny_checkpoint(), tmp_path, **options)
    assert verify_build(made, tmp_path, check_vectors(made)).ok
    assert (tmp_path / "mine.v").exists()


def test_more_levels_a_stage_are_fewer_stages(tmp_path: Path) -> None:
    latencies = []
    for levels in ("1", "4", "100"):
        compiled(tiny_checkpoint(), tmp_path, backend={"levels_per_stage": levels})
        latencies.append(facts(tmp_path)["latency"])
    assert latencies[0] > latencies[1] > latencies[2] == 2


@pytest.mark.parametrize("name", ["table", "dist", "logic", "Bad", "clk", "crystal_add", "a b"])
def test_names_that_no_tool_would_take_are_refused(name: str) -> None:
    with pytest.raises(CompileError):
        VerilogBackend(prefix=name)


@pytest.mark.parametrize("levels", ["0", "-1", "x", "1.5"])
def test_a_bad_option_is_refused(levels: str) -> None:
    with pytest.raises(CompileError, match="levels_per_stage"):
        VerilogBackend(levels_per_stage=levels)


@NEEDS_ICARUS
def test_broken_text_is_a_tool_error(tmp_path: Path) -> None:
    made = compiled(tiny_checkpoint(), tmp_path)
    (tmp_path / "crystal.v").write_text("module crystal (;")
    with pytest.raises(ToolError, match="iverilog failed"):
        verify_build(made, tmp_path, check_vectors(made))


@pytest.mark.parametrize("frozen", [0.5, 1.0])
def test_the_core_file_lists_what_was_written(frozen: float, tmp_path: Path) -> None:
    made = compiled(tiny_checkpoint(frozen=frozen), tmp_path)
    core = (tmp_path / "crystal.core").read_text()
    listed = {n for names in re.findall(r"files: \[(.*)\]", core) for n in names.split(", ")}
    assert listed == {str(name) for name in made.files if name.suffix == ".v"}
    sets = set(re.findall(r"^  (\w+):\n    files:", core, re.M))
    used = {n for names in re.findall(r"filesets: \[(.*)\]", core) for n in names.split(", ")}
    assert used == sets
    tops = set(re.findall(r"toplevel: (\w+)", core))
    assert tops == {Path(name).stem for name in listed} - {"crystal_cells"}


@NEEDS_ICARUS
@pytest.mark.parametrize("top", ["crystal_axil", "crystal_wb"])
def test_icarus_has_no_warning_about_the_buses(top: str, tmp_path: Path) -> None:
    compiled(tiny_checkpoint(), tmp_path)
    files = [str(tmp_path / name) for name in ("crystal_cells.v", "crystal.v", f"{top}.v")]
    command = ["iverilog", "-g2005", "-Wall", "-s", top, "-o", str(tmp_path / "sim"), *files]
    assert run_tool(command, tmp_path) == ""


MUTANTS = {
    "an adder subtracts": r"(crystal_add #\((?:\d+, ){6})([01])(, \d+\))",
    "a term is shifted too far": r"(crystal_add #\((?:\d+, ){5})(\d+)(, [01], \d+\))",
    "a requant shifts too far": r"(crystal_saturate #\(\d+, \d, )(\d+)(, )",
}


@NEEDS_ICARUS
@pytest.mark.parametrize("what", MUTANTS)
def test_a_wrong_cell_is_caught(what: str, tmp_path: Path) -> None:
    """One parameter of one instance is changed, twelve times: the check sees nearly all."""
    made = compiled(tiny_checkpoint(activation="relu", neurons=4, inputs=4), tmp_path, 200)
    text = (tmp_path / "crystal.v").read_text()
    found = list(re.finditer(MUTANTS[what], text))
    chosen = np.random.default_rng(0).permutation(len(found))[:12]
    killed = 0
    for m in (found[int(k)] for k in chosen):
        wrong = str(1 - int(m[2])) if "subtracts" in what else str(int(m[2]) + 1)
        (tmp_path / "crystal.v").write_text(text[: m.start(2)] + wrong + text[m.end(2) :])
        vectors = check_vectors(made)
        killed += not compare(made.meaning, made.shaped, made.backend, tmp_path, vectors).ok
    assert killed >= len(chosen) - 1, f"{what}: {killed} of {len(chosen)} noticed"


@NEEDS_ICARUS
def test_a_register_that_does_not_wait_is_caught(tmp_path: Path) -> None:
    """Without back-pressure the design still works; with it the testbench sees the loss."""
    made = compiled(tiny_checkpoint(), tmp_path)
    cells = tmp_path / "crystal_cells.v"
    sound, x = cells.read_text(), check_vectors(made)
    cells.write_text(
        sound.replace("assign in_ready = out_ready | ~out_valid;", "assign in_ready = 1'b1;")
    )
    assert len(run(tmp_path, x)) == len(x)
    with pytest.raises(ToolError):
        run(tmp_path, x, stall=40)
