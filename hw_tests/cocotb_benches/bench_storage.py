"""Register banks, writable tables, and the lanes and dividers of folded designs."""

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


def signed(rng: random.Random, width: int) -> int:
    return rng.randrange(-(1 << (width - 1)), 1 << (width - 1))


@cocotb.test()
async def lane_(dut: Handle) -> None:
    """Sums of the products of one step before, begun at ``start``, held without ``advance``."""
    p, rng = given(), random.Random(1)
    dut.advance.value = dut.pre.value = dut.gap.value = 0
    run_clock(dut.clk)
    term, total = None, None
    for _ in range(600):
        await FallingEdge(dut.clk)
        if total is not None:
            assert int(dut.sum.value) == total % (1 << p["WSUM"])
        x, w, begin = signed(rng, p["WX"]), signed(rng, p["WW"]), rng.randrange(1 << p["WSUM"])
        advance, counts = rng.random() < 0.7, rng.random() < 0.9
        first = total is None or rng.random() < 0.1
        dut.x.value, dut.w.value, dut.start.value = x & ((1 << p["WX"]) - 1), w, begin
        dut.advance.value, dut.first.value, dut.counts.value = int(advance), int(first), int(counts)
        if advance:
            before = begin if first or total is None else total
            total = None if term is None else before + term + 1
            term = x * w if counts else 0


@cocotb.test()
async def squares_(dut: Handle) -> None:
    """Sums of the squares of one step before, begun anew by ``first``."""
    p, rng = given(), random.Random(1)
    dut.advance.value = 0
    run_clock(dut.clk)
    term, total = None, None
    for _ in range(600):
        await FallingEdge(dut.clk)
        if total is not None:
            assert int(dut.sum.value) == total % (1 << p["WSUM"])
        x = signed(rng, p["WX"])
        advance, counts = rng.random() < 0.7, rng.random() < 0.9
        first = total is None or rng.random() < 0.1
        dut.x.value = x & ((1 << p["WX"]) - 1)
        dut.advance.value, dut.first.value, dut.counts.value = int(advance), int(first), int(counts)
        if advance:
            total = None if term is None else (0 if first or total is None else total) + term
            term = x * x if counts else 0


@cocotb.test()
async def divide_(dut: Handle) -> None:
    """The rounded quotient, which stands from ``done`` until ``next``."""
    p, rng = given(), random.Random(1)
    dut.rst.value, dut.go.value, dut.next.value = 1, 0, 0
    run_clock(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    for k in range(60):
        a, b = signed(rng, p["WA"]), 0 if k == 0 else rng.randrange(1 << p["WB"])
        dut.a.value, dut.b.value, dut.go.value = a & ((1 << p["WA"]) - 1), b, 1
        for _ in range(200):
            await FallingEdge(dut.clk)
            if dut.done.value:
                break
        for _ in range(rng.randrange(3)):
            await FallingEdge(dut.clk)
        quotient = ((a << p["SHIFT"]) * 2 + max(b, 1)) // (2 * max(b, 1))
        assert bool(dut.done.value)
        assert int(dut.q.value) == quotient % (1 << p["WQ"])
        dut.next.value = 1
        await FallingEdge(dut.clk)
        dut.next.value = 0
