"""Real parameters of a neuron as bus writes: those that are there, and new ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.checkpoint import Checkpoint
from crystalc.cli import run as crystalc
from crystalc.diagnostics import CompileError
from crystalc.driver import Compiled, Options, check_vectors, compile_checkpoint, write_report
from crystalc.driver import report as report_of
from crystalc.driver import write as write_files
from crystalc.interpret import interpret
from crystalc.neuron import converted
from hw_tests.verilog_models import (
    NEEDS_ICARUS,
    as_document,
    run,
    tiny_checkpoint,
    write_safetensors,
)

KERNELS: list[Any] = [
    {"kernel": "radial", "activation": "relu"},
    {"kernel": "radial", "activation": "gelu", "head": True},
    {"kernel": "gauss", "projection": True},
    {"kernel": "laplace", "metric": "l1"},
    {"kernel": "gauss", "normalized": True},
]


def compiled(checkpoint: Checkpoint, width: int = 8) -> Compiled:
    return compile_checkpoint(checkpoint, Options("verilog", arithmetic="fixed", width=width))


@pytest.mark.parametrize("width", [6, 8])
@pytest.mark.parametrize("shape", KERNELS)
def test_an_unchanged_neuron_is_what_is_there(shape: Any, width: int) -> None:
    checkpoint = tiny_checkpoint(neurons=8, **shape)
    made = compiled(checkpoint, width)
    assert made.neurons.active
    for row, neuron in enumerate(made.neurons.active):
        numbers = converted(made.shaped, checkpoint, neuron, width, power_of_two=True)
        for i, number in numbers.items():
            assert np.array_equal(number, made.shaped[i].data()[row].reshape(-1)), (neuron, i)


def moved(checkpoint: Checkpoint, neuron: int) -> Checkpoint:
    """One neuron a little elsewhere, wider, with other values."""
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.positions"][neuron] *= 0.7
    tensors["field.values"][neuron] *= -0.6
    tensors["field.radius"][neuron] *= 0.9
    return replace(checkpoint, tensors=tensors)


@NEEDS_ICARUS
def test_a_new_neuron_works_in_the_old_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RTL with the printed writes equals the oracle, and means the new model."""
    old = tiny_checkpoint(activation="relu", neurons=8, samples=64)
    made = compiled(old)
    write_files(made, tmp_path)
    write_report(tmp_path, report_of(made, old, None))
    neuron = made.neurons.active[1]
    new = moved(old, neuron)
    write_safetensors(tmp_path / "new.safetensors", as_document(new))
    words = ["neuron", str(tmp_path), "--index", str(neuron), "--from"]
    assert crystalc([*words, str(tmp_path / "new.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    writes = [(int(line.split()[0]), int(line.split()[2])) for line in lines]
    assert all(int(line.split()[1], 16) == 4 * int(line.split()[0]) for line in lines)
    x = check_vectors(made)[:60]
    state = {i: np.array(node.data()) for i, node in made.shaped if node.is_state}
    for i, number in converted(made.shaped, new, neuron, 8, power_of_two=True).items():
        state[i][1] = number.reshape(state[i][1].shape)
    wanted = interpret(made.shaped, x, state)
    assert np.array_equal(run(tmp_path, x, writes=writes), wanted)
    assert error(made, new, state) < 0.2 * error(made, new, {})


def test_what_does_not_fit_is_refused_by_place() -> None:
    old = tiny_checkpoint(activation="relu", neurons=8)
    made = compiled(old)
    neuron = made.neurons.active[0]
    tensors = {k: np.array(v) for k, v in old.tensors.items()}
    tensors["field.positions"][neuron, 1] = 1000.0
    with pytest.raises(CompileError, match=rf"field.positions\[{neuron}, 1\]: \d+ does not fit"):
        converted(made.shaped, replace(old, tensors=tensors), neuron, 8, power_of_two=True)
    with pytest.raises(CompileError, match="7 coordinates"):
        converted(made.shaped, tiny_checkpoint(inputs=7, neurons=8), neuron, 8, power_of_two=True)


def test_a_frozen_neuron_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tiny_checkpoint(activation="relu", neurons=8)
    made = compiled(old)
    write_files(made, tmp_path)
    write_report(tmp_path, report_of(made, old, None))
    words = ["neuron", str(tmp_path), "--from", "none.pt", "--index"]
    assert crystalc([*words, str(made.neurons.frozen[0])]) == 2
    assert "is not active" in capsys.readouterr().err


def error(made: Compiled, new: Checkpoint, state: dict[int, Any]) -> float:
    """Mean difference of the artefact on its samples to what ``new`` means in real numbers."""
    from crystalc.frontend.lower import lower
    from crystalc.passes.quantize import quantize_inputs

    elem: Any = made.shaped.output.type.elem
    got = interpret(made.shaped, quantize_inputs(made.shaped, made.samples), state or None)
    return float(np.abs(got * 2.0**-elem.frac - interpret(lower(new), made.samples)).mean())
