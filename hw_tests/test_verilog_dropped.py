"""Neurons that never fire are in no circuit, and the report names each with its proof."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.checkpoint import Checkpoint
from crystalc.cli import run
from crystalc.ir import FixedType, Op
from crystalc_verilog import bulk
from hw_tests.verilog_models import NEEDS_ICARUS, as_document, tiny_checkpoint, write_safetensors

CLOSED, FAR, FAINT = 1, 3, 4


def with_dead_neurons(active: int | None = None) -> Checkpoint:
    """One neuron is closed everywhere, one beyond all inputs, the values of one round to 0."""
    checkpoint: Checkpoint = tiny_checkpoint("radial", "relu", frozen=1.0)
    tensors = {k: np.array(v) for k, v in checkpoint.tensors.items()}
    tensors["field.radius"][CLOSED] = -1.0
    tensors["field.positions"][FAR] = 40.0
    tensors["field.values"][FAINT] *= np.float32(1e-4)
    if active is not None:
        tensors["field.frozen"][active] = False
    made: Checkpoint = replace(checkpoint, tensors=tensors)
    return made


def compiled(checkpoint: Checkpoint, arch: str, place: Path) -> Any:
    """report.json of the checked design in ``place``/v."""
    model = write_safetensors(place / "m.safetensors", as_document(checkpoint))
    options = ["--target", "verilog", "--arch", arch, "-o", str(place / "v")]
    assert run(["compile", str(model), *options]) == 0
    return json.loads((place / "v" / "report.json").read_text())


@NEEDS_ICARUS
@pytest.mark.parametrize("arch", ["parallel", "folded"])
def test_a_dead_neuron_is_left_out_and_named_with_its_proof(arch: str, tmp_path: Path) -> None:
    checkpoint = with_dead_neurons()
    report = compiled(checkpoint, arch, tmp_path)
    assert report["ok"] and report["checked"]
    assert report["neurons"] == {
        "frozen": 3,
        "active": 0,
        "dropped": [
            {"neuron": CLOSED, "bound": 0.0, "reason": "below the last bit of the output"},
            {"neuron": FAR, "bound": 0.0, "reason": "its weight is 0 for every input"},
            {"neuron": FAINT, "bound": 0.0, "reason": "every value rounds to 0"},
        ],
    }
    _, graph = bulk.find(tmp_path / "v")
    [points] = [n for _, n in graph if n.op is Op.CONST and n.attrs.get("role") == "positions"]
    assert points.type.shape == (3, checkpoint.config.inputs)
    assert beyond_all_inputs(checkpoint, graph.input.type.elem)


def beyond_all_inputs(checkpoint: Checkpoint, elem: Any) -> bool:
    """Is even the nearest input outside of the far neuron's radius?"""
    assert isinstance(elem, FixedType)
    ends = np.array([elem.low, elem.high]) / 2.0**elem.frac
    point = checkpoint.tensors["field.positions"][FAR]
    nearest = np.square(point - np.clip(point, *ends)).sum()
    return bool(nearest > checkpoint.tensors["field.radius"][FAR])


@NEEDS_ICARUS
@pytest.mark.parametrize("arch", ["parallel", "folded"])
def test_an_active_neuron_is_kept_since_it_may_be_rewritten(arch: str, tmp_path: Path) -> None:
    report = compiled(with_dead_neurons(active=CLOSED), arch, tmp_path)
    assert (report["neurons"]["frozen"], report["neurons"]["active"]) == (3, 1)
    assert [d["neuron"] for d in report["neurons"]["dropped"]] == [FAR, FAINT]
