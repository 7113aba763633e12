"""The compact layout on a Cortex-M4: flash, symbols, and outputs under QEMU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_models import need
from cortex_m import M4, Simulated, emit, flash, simulate

from crystalc.check import judge
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret

KILO = 1024
CASES = {
    "relu-f32": ("f32", {"activation": "relu"}, 9 * KILO),
    "gelu-f32": ("f32", {"activation": "gelu"}, 9 * KILO),
    "laplace-f32": ("f32", {"kernel": "laplace"}, 9 * KILO),
    "relu-int8-weights": ("q8", {"activation": "relu"}, 3 * KILO),
    "laplace-int8-weights": ("q8", {"kernel": "laplace"}, 3 * KILO),
    "relu-fixed8": ("fixed8", {"activation": "relu"}, 3 * KILO),
    "laplace-fixed8": ("fixed8", {"kernel": "laplace"}, 12 * KILO),
}


@pytest.mark.parametrize("frozen", [1.0, 0.7])
@pytest.mark.parametrize("name", CASES)
def test_runs_and_fits(name: str, frozen: float, tmp_path: Path) -> None:
    need(M4[0])
    arithmetic, shape, budget = CASES[name]
    case = emit(tmp_path, arithmetic, frozen=frozen, **shape)
    size = flash(tmp_path)
    assert size.undefined == ()
    assert (size.data, size.bss) == (0, 0)
    if frozen == 1.0:
        assert size.text <= budget
    need("qemu-system-arm")
    _agrees(simulate(case, 5), case.compiled.meaning.is_fixed)


def _agrees(done: Simulated, exact: bool) -> None:
    compiled, x = done.model.compiled, done.vectors
    wanted = interpret(compiled.meaning, x)
    bound = np.zeros(wanted.shape) if exact else error_bound(compiled.shaped, x, 24)
    result = judge(wanted, done.outputs, bound)
    assert result.ok, result.reason
