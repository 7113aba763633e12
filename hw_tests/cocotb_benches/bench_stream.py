"""Primitives with valid and ready: a rank of the pipeline, argmax, bytes and words."""

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


@cocotb.test()
async def gather_(dut: Handle) -> None:
    """Words from their bytes, the lowest first, under every kind of traffic."""
    await bytes_and_words(dut, into_words=True)


@cocotb.test()
async def scatter_(dut: Handle) -> None:
    """The bytes of words, the lowest first, under every kind of traffic."""
    await bytes_and_words(dut, into_words=False)


async def bytes_and_words(dut: Handle, into_words: bool) -> None:
    width = given()["W"]
    await start(dut.clk, dut.rst, dut.in_valid, dut.out_ready)
    words = [0, (1 << width) - 1, *(random.randrange(1 << width) for _ in range(40))]
    octets = [b for word in words for b in word.to_bytes((width + 7) // 8, "little")]
    put, wanted = (octets, words) if into_words else (words, octets)
    for stall in STALLS:
        source = (dut.in_valid, dut.in_ready, dut.in_data)
        cocotb.start_soon(send(dut.clk, source, put, stall))
        sink = (dut.out_valid, dut.out_ready, dut.out_data)
        assert await receive(dut.clk, sink, len(wanted), stall) == wanted
