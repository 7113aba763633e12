"""Does a design fit an FPGA? What its estimate says, before minutes of synthesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crystalc.diagnostics import refuse
from crystalc_verilog.estimate import Estimate, arch_of, estimate

if TYPE_CHECKING:
    from crystalc_verilog.fpga import Board

FAR = 2.0
"""Times the LUTs of a device: a design estimated beyond is not synthesised for it unasked."""


def fits(area: Mapping[str, int], on: Board) -> str:
    """The LUTs that a design with these features is estimated at, against those of ``on``."""
    found = _luts(area, on)
    if found is None:
        return f"{on.name}: {on.luts:,} LUT, no estimate for {arch_of(area)} designs"
    error = max(found.held, found.error)
    verdict = "too close to say"
    if found.count * (1 + error) <= on.luts:
        verdict = "fits"
    if found.count * (1 - error) > on.luts:
        verdict = "does not fit"
    return f"{on.name}: {found.count:,} of {on.luts:,} LUT: {verdict}"


def refuse_far(area: Mapping[str, int], on: Board) -> None:
    """Raises CompileError where a design is estimated far beyond the device ``on``."""
    found = _luts(area, on)
    if found is None or found.count <= FAR * on.luts:
        return
    text = f"the design is estimated at {found.count:,} LUT, {on.name} has {on.luts:,}"
    less = "fewer --lanes" if arch_of(area) == "folded" else "--arch folded --lanes 4"
    raise refuse(text, hint=f"compile it with {less}; --force goes on anyway")


def _luts(area: Mapping[str, int], on: Board) -> Estimate | None:
    return estimate(area, on.aim.name).get("LUT")
