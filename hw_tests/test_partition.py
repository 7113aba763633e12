"""Frozen neurons as a circuit, active ones as RTL: the sum against the oracles' sum."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc import hybrid
from crystalc.checkpoint import Checkpoint
from crystalc.cli import run as crystalc
from crystalc.diagnostics import CompileError
from crystalc.driver import check_vectors
from crystalc.frontend import read_checkpoint
from crystalc.frontend.lower import lower
from crystalc.hybrid import DIGITAL, Hybrid, Kind, partition
from crystalc.hybrid_report import ORIGINAL, rows
from crystalc.interpret import interpret
from crystalc.passes.calibrate import to_fixed
from hw_tests.spice_models import NEEDS_NGSPICE
from hw_tests.verilog_models import (
    NEEDS_ICARUS,
    as_document,
    run,
    tiny_checkpoint,
    write_safetensors,
)

SHAPES: list[Any] = [
    {"kernel": "radial", "activation": "relu"},
    {"kernel": "radial", "activation": "gelu", "head": True, "projection": True},
    {"kernel": "laplace"},
    {"kernel": "gauss", "metric": "l1"},
]


def made(checkpoint: Checkpoint, analog: Kind = "frozen", **circuit: str) -> Hybrid:
    """A hybrid with folded RTL, checked on 40 vectors."""
    return partition(checkpoint, analog, circuit, {"arch": "folded", "lanes": "4"}, count=40)


def biased(checkpoint: Checkpoint) -> Checkpoint:
    """With biases that are no small matter."""
    key = "head.bias" if checkpoint.config.head else "bias"
    large = 30.0 * checkpoint.tensors[key]
    return replace(checkpoint, tensors={**checkpoint.tensors, key: large})


def written(checkpoint: Checkpoint, place: Path) -> tuple[Hybrid, np.ndarray]:
    built = made(checkpoint)
    x = check_vectors(built.digital)
    hybrid.write(built, place, x)
    return built, x


@NEEDS_NGSPICE
@NEEDS_ICARUS
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_is_that_of_the_oracles(shape: Any, tmp_path: Path) -> None:
    built, x = written(tiny_checkpoint(neurons=10, samples=64, **shape), tmp_path)
    judged = built.judge(built.oracle(x), built.simulate(tmp_path, x))
    assert judged.ok, (judged.circuit.reason, judged.rtl.reason, judged.total.reason)
    assert judged.rtl.max_abs_error == 0
    assert judged.circuit.max_abs_error is not None
    assert judged.circuit.max_abs_error <= 1e-6


@pytest.mark.parametrize("analog", ["frozen", "active"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_means_the_whole_model(shape: Any, analog: Kind) -> None:
    """Nothing is lost or counted twice: what is left is rounding."""
    checkpoint = biased(tiny_checkpoint(neurons=10, samples=64, **shape))
    built = made(checkpoint, analog)
    whole = interpret(lower(checkpoint), built.digital.samples)
    found = built.oracle(built.quantized(built.digital.samples)).total
    assert np.abs(found - whole).max() < 0.06 * np.ptp(whole)
    assert built.same_decisions > 0.9


def test_the_converter_rounds_half_up_and_saturates() -> None:
    built = made(tiny_checkpoint(neurons=10, samples=64))
    step = 2.0**-built.adc.frac
    volts = np.array([[0.5 * step, -0.5 * step, 1e6]])
    found = built.add(volts, np.zeros((1, 3), dtype=np.int64)).total
    assert found.tolist() == [[step, 0.0, built.adc.high * step]]
    assert to_fixed(volts, built.adc).tolist() == [[1, 0, built.adc.high]]


@NEEDS_NGSPICE
@NEEDS_ICARUS
def test_a_rewritten_active_neuron_changes_the_sum_as_the_oracle_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tiny_checkpoint(activation="relu", neurons=10, samples=64)
    old.tensors["field.values"][old.frozen] *= 8.0  # the grid of the RTL knows nothing of these
    write_safetensors(tmp_path / "old.safetensors", as_document(old))
    words = ["partition", str(tmp_path / "old.safetensors"), "--count", "40", "--no-synth"]
    assert crystalc([*words, "-o", str(tmp_path)]) == 0
    assert "40 vectors through ngspice and Icarus: OK" in capsys.readouterr().out
    built = partition(
        read_checkpoint(tmp_path / "old.safetensors"), "frozen", {}, {"arch": "folded"}, count=40
    )
    neuron = built.digital.neurons.active[1]
    assert neuron in np.flatnonzero(~old.frozen)
    new = moved(old, neuron)
    write_safetensors(tmp_path / "new.safetensors", as_document(new))
    same, writes = (writes_of(tmp_path, neuron, name, capsys) for name in ("old", "new"))
    there = changed_state(built, [])
    assert all(np.array_equal(v, there[i]) for i, v in changed_state(built, same).items())
    x = built.quantized(built.digital.samples)
    before, volts = built.oracle(x), built.simulate(tmp_path, x).volts
    after = built.add(volts, run(tmp_path / DIGITAL, x, writes=writes))
    state = changed_state(built, writes)
    wanted = built.add(before.volts, interpret(built.digital.shaped, x, state))
    assert np.array_equal(after.integers, wanted.integers)
    assert np.abs(after.total - wanted.total).max() <= 2.0**-built.adc.frac
    meant = interpret(lower(new), built.digital.samples)
    assert np.abs(after.total - meant).mean() < 0.2 * np.abs(before.total - meant).mean()


def writes_of(
    place: Path, neuron: int, name: str, capsys: pytest.CaptureFixture[str]
) -> list[tuple[int, int]]:
    """What ``crystalc neuron`` prints for a neuron of a whole model."""
    words = ["neuron", str(place / DIGITAL), "--index", str(neuron), "--from"]
    assert crystalc([*words, str(place / f"{name}.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    return [(int(line.split()[0]), int(line.split()[2])) for line in lines]


def changed_state(built: Hybrid, writes: list[tuple[int, int]]) -> dict[int, np.ndarray]:
    """The oracle's active constants after bus writes."""
    graph = built.digital.shaped
    name = next(k for k in built.digital.files if str(k) == "crystal.json")
    state = {i: np.array(node.data()) for i, node in graph if node.is_state}
    for entry in json.loads(built.digital.files[name])["state"]:
        flat = state[int(entry["name"][1:])].reshape(-1)
        for address, value in writes:
            if 0 <= address - entry["address"] < flat.size:
                flat[address - entry["address"]] = value
    return state


def moved(checkpoint: Checkpoint, neuron: int) -> Checkpoint:
    """One neuron a little elsewhere, with other values."""
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.positions"][neuron] *= 0.7
    tensors["field.values"][neuron] *= -0.6
    return replace(checkpoint, tensors=tensors)


def test_an_unchanged_neuron_is_what_is_there(tmp_path: Path) -> None:
    from crystalc.hybrid import part
    from crystalc.neuron import converted

    whole = tiny_checkpoint(neurons=10, samples=64)
    built = made(whole)
    active = built.digital.neurons.active
    again = part(whole, active, whole.config.neurons)
    for row in range(len(active)):
        for i, number in converted(built.digital.shaped, again, row, 8, True).items():
            assert np.array_equal(number, built.digital.shaped[i].data()[row].reshape(-1))
    with pytest.raises(CompileError, match="9 neurons, the partitioned model has 10"):
        part(tiny_checkpoint(neurons=9), active, 10)


@NEEDS_NGSPICE
@NEEDS_ICARUS
def test_the_report_says_what_was_measured_and_what_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which("ngspice"):
        pytest.skip("ngspice is not installed")
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint(neurons=8)))
    words = ["partition", str(tmp_path / "m.safetensors"), "--count", "20", "--level", "crossbar"]
    assert crystalc([*words, "--series", "exact", "-o", str(tmp_path / "h")]) == 0
    content = json.loads((tmp_path / "h" / "hybrid.json").read_text())
    bill = json.loads((tmp_path / "h" / "analog" / "crystal.json").read_text())
    assert content["analog"]["parts"] == bill["parts"]
    assert content["analog"]["power_w"] is content["analog"]["latency_s"] is None
    assert content["digital"]["power_w"] is content["digital"]["latency_s"] is None
    assert content["digital"]["latency_clocks"] > 0
    assert content["digital"]["area"]["resources"]["LUT"] > 0
    table = {row[0]: row[1:] for row in rows(content)}
    assert table["power"] == ("not simulated",) * 3 + ("600 mW: fixed text",)
    assert crystalc(["bom", str(tmp_path / "h" / "analog")]) == 0


@pytest.mark.parametrize(
    ("checkpoint", "words", "message"),
    [
        ({"frozen": 1.0}, [], "every neuron is frozen: there is no frontier to cut along"),
        ({"frozen": 0.0}, [], "every neuron is active: there is no frontier to cut along"),
        (
            {"kernel": "gauss", "normalized": True},
            [],
            "the weights of a normalised field share one sum",
        ),
        ({}, ["--digital", "frozen"], "the frozen neurons cannot be on both sides"),
        (
            {},
            ["--analog", "active", "--digital", "frozen", "--level", "crossbar"],
            "active neurons must stay rewritable, the parts of level crossbar are fixed",
        ),
        ({}, ["--lanes", "0"], "option 'lanes' of target 'verilog' is '0'"),
        ({}, ["--series", "E24"], "option 'series' has no meaning here"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    checkpoint: Any,
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint(**checkpoint)))
    out = tmp_path / "h"
    assert crystalc(["partition", str(tmp_path / "m.safetensors"), "-o", str(out), *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_original_is_named_as_another_project() -> None:
    said = ORIGINAL["found"]
    assert said.startswith("the original project's generator drew random weights")
    assert "600 mW and 6 us" in said and "neither was simulated" in said
