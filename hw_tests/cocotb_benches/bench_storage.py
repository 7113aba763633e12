"""Register banks, writable tables and the multiply-accumulate lane."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from hw_tests.cocotb_benches.common import PERIOD, Handle, given


def initial(words: int, width: int) -> list[int]:
    """The numbers that the parameter INITIAL holds."""
    total = int(given()["INITIAL"].split("'h")[1], 16)
    return [total >> (k * width) & ((1 << width) - 1) for k in range(words)]


def run_clock(clk: Handle) -> None:
    cocotb.start_soon(Clock(clk, PERIOD, unit="ns").start())


@cocotb.test()
async def bank_(dut: Handle) -> None:
    """Only writes to its own addresses change it, one word each."""
    p, rng = given(), random.Random(1)
    words = initial(p["WORDS"], p["W"])
    dut.write.value = 0
    run_clock(dut.clk)
    for _ in range(600):
        await FallingEdge(dut.clk)
        q = int(dut.q.value)
        assert [q >> (k * p["W"]) & ((1 << p["W"]) - 1) for k in range(p["WORDS"])] == words
        write, address = rng.random() < 0.6, rng.randrange(1 << p["WADDRESS"])
        data = rng.randrange(1 << p["W"])
        dut.write.value, dut.address.value, dut.data.value = int(write), address, data
        if write and 0 <= address - p["BASE"] < p["WORDS"]:
            words[address - p["BASE"]] = data


@cocotb.test()
async def memory_(dut: Handle) -> None:
    """Reads by index at once; only writes to its own addresses change it."""
    p, rng = given(), random.Random(1)
    words = initial(1 << p["WB"], p["W"])
    dut.write.value = 0
    run_clock(dut.clk)
    for _ in range(600):
        await FallingEdge(dut.clk)
        index = rng.randrange(1 << p["WI"])
        write, address = rng.random() < 0.6, rng.randrange(1 << p["WADDRESS"])
        data = rng.randrange(1 << p["W"])
        dut.index.value = index
        dut.write.value, dut.address.value, dut.data.value = int(write), address, data
        await Timer(1, unit="ns")
        assert int(dut.y.value) == words[index]
        if write and 0 <= address - p["BASE"] < len(words):
            words[address - p["BASE"]] = data


@cocotb.test()
async def lane_(dut: Handle) -> None:
    """Sums of products, begun anew by ``first`` and held without ``enable``."""
    p, rng = given(), random.Random(1)
    dut.enable.value = 0
    run_clock(dut.clk)
    total: int | None = None
    for step in range(600):
        await FallingEdge(dut.clk)
        if total is not None:
            assert dut.sum.value.to_signed() == total
        x = rng.randrange(-(1 << (p["WX"] - 1)), 1 << (p["WX"] - 1))
        w = rng.randrange(-(1 << (p["WW"] - 1)), 1 << (p["WW"] - 1))
        enable, first = rng.random() < 0.7, step == 0 or rng.random() < 0.1
        dut.x.value, dut.w.value = x & ((1 << p["WX"]) - 1), w
        dut.enable.value, dut.first.value = int(enable), int(first)
        if enable and (first or total is not None):
            total = (0 if first or total is None else total) + x * w
