"""A whole design: every vector of a file, with gaps at both ends and resets, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from hw_tests.cocotb_benches.common import Handle, given, start

PATIENCE = 20_000
"""Clocks without a result after which the design has failed."""


async def exchange(dut: Handle, case: dict[str, list[int]], stall: float, resets: int) -> list[int]:
    """The beats that come out for ``inputs``; a reset's lost vectors are sent again."""
    inputs, (b_in, b_out) = case["inputs"], case["beats"]
    total = len(inputs) // b_in * b_out
    sent, quiet = 0, 0
    got: list[int] = []
    chances = set(random.sample(range(10, max(total, 40 * resets) + 10), resets))
    clock = 0
    dut.in_valid.value = 0
    while len(got) < total:
        clock += 1
        if clock in chances:
            del got[len(got) // b_out * b_out :]
            sent = len(got) // b_out * b_in
            dut.in_valid.value, dut.rst.value = 0, 1
            await RisingEdge(dut.clk)
            await FallingEdge(dut.clk)
            dut.rst.value = 0
        if not dut.in_valid.value and sent < len(inputs) and random.random() >= stall:
            dut.in_valid.value, dut.in_data.value = 1, inputs[sent]
        dut.out_ready.value = int(random.random() >= stall)
        await RisingEdge(dut.clk)
        taken = bool(dut.in_valid.value) and bool(dut.in_ready.value)
        if dut.out_valid.value and dut.out_ready.value:
            got.append(int(dut.out_data.value))
            quiet = 0
        quiet += 1
        assert quiet < PATIENCE, f"nothing comes after {len(got)} results"
        await FallingEdge(dut.clk)
        if taken:
            sent += 1
            dut.in_valid.value = 0
    return got


def first_difference(got: Sequence[int], wanted: Sequence[int]) -> str:
    at = next(k for k, pair in enumerate(zip(got, wanted, strict=True)) if pair[0] != pair[1])
    return f"beat {at} of {len(wanted)}: {got[at]:x}, the oracle says {wanted[at]:x}"


@cocotb.test()
async def equals_the_oracle(dut: Handle) -> None:
    case = given()
    await start(dut.clk, dut.rst, dut.in_valid, dut.out_ready)
    got = await exchange(dut, case, case["stall"], case["resets"])
    assert got == case["outputs"], first_difference(got, case["outputs"])
