"""Primitives with valid and ready: a rank of the pipeline, argmax, the product unit."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from hw_tests.cocotb_benches.common import Handle, given, receive, send, start

STALLS = (0.0, 0.3, 0.7)


@cocotb.test()
async def rank_(dut: Handle) -> None:
    """Ready, load and valid are those of one full or empty place; reset empties it."""
    await start(dut.clk, dut.rst, dut.in_valid, dut.out_ready)
    full, rng = False, random.Random(1)
    for _ in range(600):
        offered, wanted, reset = rng.random() < 0.6, rng.random() < 0.5, rng.random() < 0.05
        dut.in_valid.value, dut.out_ready.value, dut.rst.value = offered, wanted, reset
        await Timer(1, unit="ns")
        free = wanted or not full
        assert bool(dut.out_valid.value) == full
        assert bool(dut.in_ready.value) == free
        assert bool(dut.load.value) == (free and offered)
        full = False if reset else offered if free else full
        await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)


def to_code(value: int, width: int) -> int:
    return value & ((1 << width) - 1)


@cocotb.test()
async def argmax_(dut: Handle) -> None:
    """The index of the first largest of each N numbers, under every kind of traffic."""
    p = given()
    await start(dut.clk, dut.rst, dut.in_valid, dut.out_ready)
    groups = [[random.randrange(-4, 4) for _ in range(p["N"])] for _ in range(60)]
    groups += [[-(1 << (p["W"] - 1))] * p["N"], list(range(p["N"]))]
    for stall in STALLS:
        words = [to_code(v, p["W"]) for g in groups for v in g]
        source = (dut.in_valid, dut.in_ready, dut.in_data)
        cocotb.start_soon(send(dut.clk, source, words, stall))
        sink = (dut.out_valid, dut.out_ready, dut.out_data)
        got = await receive(dut.clk, sink, len(groups), stall)
        assert got == [g.index(max(g)) for g in groups]


async def rom(dut: Handle, words: list[int]) -> None:
    """The clocked ROM beside the unit: weights by step."""
    while True:
        await RisingEdge(dut.clk)
        if dut.rom_enable.value:
            at = dut.rom_address.value
            word = words[int(at)] if at.is_resolvable and int(at) < len(words) else 0
            await FallingEdge(dut.clk)
            dut.rom_data.value = word


@cocotb.test()
async def macs_(dut: Handle) -> None:
    """O sums over K products and the sum of squares, under every kind of traffic."""
    p = given()
    half_x, half_w = 1 << (p["WX"] - 1), 1 << (p["WW"] - 1)
    rows = [[random.randrange(-half_w, half_w) for _ in range(p["K"])] for _ in range(p["O"])]
    lanes = range(p["P"])
    blank = [0] * p["K"]
    padded = [*rows, *([blank] * (-len(rows) % p["P"]))]
    words = [
        sum(to_code(padded[g + q][k], p["WW"]) << (q * p["WW"]) for q in lanes)
        for g in range(0, len(padded), p["P"])
        for k in range(p["K"])
    ]
    dut.rom_data.value = 0
    await start(dut.clk, dut.rst, dut.in_valid, dut.out_ready)
    cocotb.start_soon(rom(dut, words))
    vectors = [[random.randrange(-half_x, half_x) for _ in range(p["K"])] for _ in range(12)]
    for stall in STALLS:
        codes = [to_code(v, p["WX"]) for x in vectors for v in x]
        source = (dut.in_valid, dut.in_ready, dut.in_data)
        cocotb.start_soon(send(dut.clk, source, codes, stall))
        for x in vectors:
            for o, row in enumerate(rows):
                sums = await one_sum(dut, stall)
                total = sum(a * b for a, b in zip(x, row, strict=True))
                assert sums == (to_code(total, p["WSUM"]), sum(a * a for a in x), o)


async def one_sum(dut: Handle, stall: float) -> tuple[int, int, int]:
    """Sum, sum of squares and index that the unit gives next."""
    while True:
        dut.out_ready.value = int(random.random() >= stall)
        await RisingEdge(dut.clk)
        valid, ready = bool(dut.out_valid.value), bool(dut.out_ready.value)
        found = (dut.out_sum.value, dut.out_square.value, dut.out_index.value)
        await FallingEdge(dut.clk)
        if valid and ready:
            dut.out_ready.value = 0
            return int(found[0]), int(found[1]), int(found[2])
