"""Neurons of transistors below threshold: the cell's constants, a field, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError
from crystalc.driver import Compiled, Options, compile_checkpoint, write
from crystalc_spice.build import read_build
from crystalc_spice.files import transistors_library
from crystalc_spice.mos import BIAS, MIDDLE, PEAK, SLOPE, STRENGTH, kernel
from crystalc_spice.raw import read_raw
from crystalc_spice.simulate import run_batch
from crystalc_spice.study import study
from hw_tests.spice_models import NEEDS_NGSPICE, tiny_checkpoint

pytestmark = NEEDS_NGSPICE

OWN = 0.03
"""Rms of the range to the transistors' own kernel: the goal."""


def compiled(dim: int = 2, kernel: str = "laplace", force: str = "mos") -> Compiled:
    """A frozen field of four neurons."""
    checkpoint = tiny_checkpoint(
        kernel,  # type: ignore[arg-type]
        None,
        "l1" if kernel == "laplace" else "l2",
        neurons=4,
        outputs=2,
        inputs=dim,
        dim=dim,
        frozen=1.0,
        samples=20,
    )
    options = {"level": "mos", **({"force": force} if force else {})}
    return compile_checkpoint(checkpoint, Options("spice", backend=options))


def test_the_constants_are_those_of_the_cell(tmp_path: Path) -> None:
    """Slope, strength and peak fit the simulated current of one cell."""
    lines = [
        "* one cell",
        *transistors_library(),
        "vx x 0 dc 0",
        f"vp p 0 dc {MIDDLE}",
        "vout out 0 dc 1.4",
        "xcell x p bias out vdd bump",
        ".option reltol=1e-5 abstol=1e-16 gmin=1e-16 noopiter",
        f".save i(vout) v(x)\n.dc vx {MIDDLE - 0.2} {MIDDLE + 0.2} 0.01",
        ".end",
        "",
    ]
    found = read_raw(run_batch(lines, tmp_path))
    current = -found["i(vout)"] / BIAS
    fitted = PEAK * kernel(found["v(x)"] - MIDDLE)
    assert np.sqrt(np.square(current - fitted).mean()) <= 0.02 * PEAK
    middle = len(current) // 2
    assert current[middle] == pytest.approx(PEAK, rel=0.01)
    tail = np.log(current[-6] / current[-1]) / 0.05
    assert tail == pytest.approx(SLOPE, rel=0.03)


def test_a_cell_falls_to_both_sides() -> None:
    volts = np.linspace(-0.2, 0.2, 41)
    found = kernel(volts)
    assert found[20] == 1.0
    assert np.allclose(found, found[::-1])
    assert found[-1] == pytest.approx((1 + STRENGTH / 4) * 4 * np.exp(-SLOPE * 0.2), rel=0.01)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_field_has_the_transistors_kernel(dim: int, tmp_path: Path) -> None:
    found = compiled(dim)
    write(found, tmp_path)
    result = study(read_build(tmp_path, ("mos",)), found.shaped, found.samples)
    assert result.facts["rms_to_own_kernel"] <= OWN
    assert result.facts["rms_to_model"] > result.facts["rms_to_own_kernel"]
    assert 0 < result.facts["power"]["total_w"] < 1e-4


def test_another_kernel_must_be_asked_for() -> None:
    with pytest.raises(CompileError, match="level mos has the transistors' kernel") as caught:
        compiled(force="")
    assert "--force mos" in str(caught.value)


@pytest.mark.parametrize(
    ("dim", "kernel", "message"),
    [
        (5, "laplace", "level mos takes 4 dimensions at most, not 5"),
        (2, "gauss", "level mos builds one field whose distance is kept, here are 0"),
    ],
)
def test_fields_that_cannot_be_built_are_refused(dim: int, kernel: str, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        compiled(dim, kernel)
