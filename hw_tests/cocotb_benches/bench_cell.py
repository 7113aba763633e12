"""A combinational primitive, many parameters side by side, against its formula in Python."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import Timer

from hw_tests.cocotb_benches.common import Handle, given
from hw_tests.cocotb_cells import CELLS, samples

COUNT = 400


@cocotb.test()
async def equals_its_formula(dut: Handle) -> None:
    rng = random.Random(1)
    cases = CELLS[given()["cell"]]
    for round_ in range(COUNT):
        wanted = []
        for n, case in enumerate(cases):
            values = [samples(rng, width, signed, round_) for width, signed in case.operands]
            for k, (value, (width, _)) in enumerate(zip(values, case.operands, strict=True)):
                getattr(dut, f"i{n}_{k}").value = value & ((1 << width) - 1)
            wanted.append((case.formula(*values) & ((1 << case.width) - 1), values))
        await Timer(1, unit="ns")
        for n, (want, values) in enumerate(wanted):
            got = int(getattr(dut, f"y{n}").value)
            assert got == want, f"{cases[n].parameters} of {values}: {got}, not {want}"
