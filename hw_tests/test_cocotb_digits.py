"""The whole digits test set through both architectures under cocotb, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.checkpoint import Checkpoint, Config
from crystalc.driver import Compiled, Options, compile_checkpoint, write
from crystalc.interpret import interpret
from crystalc.passes.quantize import quantize_inputs
from crystalc.training.data import digits
from crystalc_verilog.simulate import to_hex
from hw_tests.cocotb_runner import NEEDS_COCOTB, run_bench
from hw_tests.verilog_models import facts

pytestmark = NEEDS_COCOTB

NEURONS = 16


def crystal() -> tuple[Checkpoint, Any]:
    """A frozen crystal fitted in closed form (points are samples), and the test set's pixels."""
    data = digits()
    rng = np.random.default_rng(0)
    points = data.train.x[rng.permutation(len(data.train))[:NEURONS]]
    distance = np.square(data.train.x[:, None] - points).sum(-1)
    radius = np.quantile(distance, 0.6, axis=0)
    weights = np.maximum(radius - distance, 0)
    values = np.linalg.lstsq(weights, np.eye(10)[data.train.y], rcond=None)[0]
    tensors = {
        "field.positions": points,
        "field.values": values.astype(np.float32),
        "field.temperature": np.ones(NEURONS, np.float32),
        "field.radius": radius.astype(np.float32),
        "field.frozen": np.ones(NEURONS, np.bool_),
    }
    config = Config(inputs=64, outputs=10, neurons=NEURONS, dim=64, activation="relu")
    return Checkpoint(config, tensors, data.train.x[:512]), data.test.x


def compiled(place: Path, **options: Any) -> tuple[Compiled, Any]:
    """The crystal in ``place``, and the whole test set as its integers."""
    checkpoint, test = crystal()
    made = compile_checkpoint(checkpoint, Options("verilog", arithmetic="fixed", **options))
    write(made, place)
    return made, quantize_inputs(made.meaning, test)


def beats(vectors: Any, port: Any) -> list[int]:
    return [int(line, 16) for line in to_hex(vectors, port).split()]


DESIGNS: list[Any] = [
    ({"arch": "parallel", "levels_per_stage": "5"}, False),
    ({"arch": "folded", "lanes": "8"}, True),
]


@pytest.mark.parametrize(("backend", "argmax"), DESIGNS, ids=["parallel", "folded"])
def test_the_whole_test_set(backend: Any, argmax: bool, tmp_path: Path) -> None:
    made, x = compiled(tmp_path, backend=backend, argmax=argmax)
    wanted = interpret(made.meaning, x)
    assert len(x) == 359  # a fifth of 1797 images, class by class
    decisions = wanted[:, 0] if argmax else wanted.argmax(-1)
    assert len(set(decisions.tolist())) == 10
    known = facts(tmp_path)
    case = {
        "inputs": beats(x, known["input"]),
        "outputs": beats(wanted, known["output"]),
        "beats": [known["input"]["beats"], known["output"]["beats"]],
        "stall": 0.3,
        "resets": 12,
    }
    sources = [tmp_path / "crystal_cells.v", tmp_path / "crystal.v"]
    run_bench("bench_design", "crystal", sources, tmp_path, case)
