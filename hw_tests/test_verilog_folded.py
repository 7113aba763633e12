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
from crystalc.ir import Op
from crystalc_verilog import VerilogBackend
from crystalc_verilog.simulate import compile_design, to_hex
from crystalc_verilog.simulate import run as run_tool
from hw_tests.test_verilog_graphs import case
from hw_tests.verilog_models import (
    NEEDS_ICARUS,
    build,
    facts,
    random_state,
    run,
    tiny_checkpoint,
    writes,
)

KERNELS: list[Any] = [
    {"activation": "relu"},
    {"activation": "gelu"},
    {"kernel": "gauss"},
    {"kernel": "laplace", "metric": "l1"},
    {"kernel": "laplace", "normalized": True},
    {"kernel": "gauss", "metric": "l1", "normalized": True},
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
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_is_exact(kernel: Any, share: float, lanes: int, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(frozen=share, **kernel, projection=lanes != 3, head=True)
    made = compiled(checkpoint, tmp_path, lanes, argmax=lanes == 16)
    x = check_vectors(made)
    result = verify_build(made, tmp_path, x)
    assert result.ok, result.reason
    wanted = interpret(made.meaning, x[:12])
    assert np.array_equal(run(tmp_path, x[:12], stall=40, resets=4, seed=lanes), wanted)


SIZES = [
    (1, 1, 1, 1),
    (1, 2, 3, 2),
    (2, 1, 1, 4),
    (7, 1, 5, 5),
    (3, 9, 2, 4),
    (16, 16, 16, 8),
    (10, 3, 12, 8),
    (4, 2, 2, 2),
    (7, 5, 2, 3),
    (8, 4, 4, 2),
]


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
@pytest.mark.parametrize("kernel", [KERNELS[0], KERNELS[4]])
@pytest.mark.parametrize("inputs", [1, 2, 11])
@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_a_vector_takes_the_stated_interval(
    lanes: int, inputs: int, kernel: Any, tmp_path: Path
) -> None:
    made = compiled(frozen(inputs=inputs, neurons=9, outputs=4, **kernel), tmp_path, lanes)
    x = check_vectors(made)
    clocks = []
    for n in (10, 30):
        compile_design(tmp_path, "crystal", tmp_path / "sim", {"COUNT": n})
        (tmp_path / "inputs.hex").write_text(to_hex(x[:n], facts(tmp_path)["input"]))
        text = run_tool(["vvp", "-n", "sim"], tmp_path, f"DONE {n} ")
        clocks.append(int(text.split(" in ")[1].split()[0]))
    assert clocks[1] - clocks[0] == 20 * facts(tmp_path)["interval"]


@NEEDS_ICARUS
@pytest.mark.parametrize("lanes", [1, 3, 8])
@pytest.mark.parametrize("kernel", KERNELS)
def test_rewritten_neurons_follow_the_oracle(kernel: Any, lanes: int, tmp_path: Path) -> None:
    """Vectors before the writes see the old state, vectors after them the new one."""
    made = compiled(tiny_checkpoint(**kernel, projection=lanes == 3), tmp_path, lanes)
    graph, x = made.shaped, check_vectors(made)[:12]
    state = random_state(graph, np.random.default_rng(lanes))
    assert state
    got = run(tmp_path, x, stall=25, writes=writes(tmp_path, state), write_at=5)
    assert np.array_equal(got[:5], interpret(graph, x[:5]))
    assert np.array_equal(got[5:], interpret(graph, x[5:], state))
    assert not np.array_equal(got[5:], interpret(graph, x[5:]))


@NEEDS_ICARUS
def test_the_bus_has_the_addresses_of_every_architecture(tmp_path: Path) -> None:
    compiled(tiny_checkpoint(), tmp_path / "folded", 4)
    options = Options("verilog", arithmetic="fixed", count=30)
    write(compile_checkpoint(tiny_checkpoint(), options), tmp_path / "parallel")
    maps = [facts(tmp_path / place)["state"] for place in ("folded", "parallel")]
    assert maps[0] == maps[1] and maps[0]


@NEEDS_ICARUS
def test_random_graphs_fold_exactly_or_are_refused(tmp_path: Path) -> None:
    folded = 0
    for seed in range(60):
        graph, x, _ = case(seed)
        try:
            place = build(tmp_path / str(seed), graph, arch="folded", lanes=str(1 + seed % 5))
        except CompileError as error:
            assert "-O arch=folded has no place for" in str(error)
            continue
        folded += 1
        wanted = interpret(graph, x)
        assert np.array_equal(run(place, x), wanted), seed
        assert np.array_equal(run(place, x, stall=40, resets=4, seed=seed), wanted), seed
    assert folded >= 5


@NEEDS_ICARUS
@pytest.mark.parametrize("kernel", [KERNELS[0], KERNELS[5]])
def test_icarus_has_no_warning(kernel: Any, tmp_path: Path) -> None:
    compiled(tiny_checkpoint(projection=True, **kernel), tmp_path, 4, argmax=True)
    assert compile_design(tmp_path, "crystal", tmp_path / "sim", {}, "-Wall") == ""


@NEEDS_ICARUS
def test_a_wrong_weight_is_caught(tmp_path: Path) -> None:
    made = compiled(frozen(activation="relu"), tmp_path, 2)
    text = (tmp_path / "crystal.v").read_text()
    word = re.search(r"store\[\d+\] = \d+'h([1-9a-f][0-9a-f]*);", text)
    assert word
    wrong = f"{int(word[1], 16) ^ 1:x}"
    (tmp_path / "crystal.v").write_text(text[: word.start(1)] + wrong + text[word.end(1) :])
    assert not verify_build(made, tmp_path, check_vectors(made)).ok


@NEEDS_ICARUS
def test_a_sum_that_starts_too_late_is_caught(tmp_path: Path) -> None:
    made = compiled(frozen(inputs=3, neurons=12), tmp_path, 4)
    design = tmp_path / "crystal.v"
    text = design.read_text()
    assert "d2 <= d1;" in text
    design.write_text(text.replace("d2 <= d1;", "d2 <= last;"))
    with pytest.raises(ToolError):
        run(tmp_path, check_vectors(made))


def test_what_has_no_unit_is_refused() -> None:
    refused = (seed for seed in range(60) if len(case(seed)[0].find(Op.MIN)) > 1)
    graph, _, _ = case(next(refused))
    with pytest.raises(CompileError, match="arch=folded has no place for"):
        VerilogBackend(arch="folded").emit(graph, "a test")


def test_options_that_contradict_are_refused() -> None:
    with pytest.raises(CompileError, match="lanes"):
        VerilogBackend(lanes="4")
    with pytest.raises(CompileError, match="lanes"):
        VerilogBackend(arch="folded", lanes="0")
    with pytest.raises(CompileError, match="arch"):
        VerilogBackend(arch="serial")
