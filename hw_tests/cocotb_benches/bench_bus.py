"""The address map behind the buses."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import FallingEdge, Timer

from hw_tests.cocotb_benches.common import Handle, given, start


@cocotb.test()
async def map_(dut: Handle) -> None:
    """What is written, refused and read at every address, whole words and parts of one."""
    p, upper = given(), 0
    await start(dut.clk, dut.rst, dut.write, dut.cfg_ready)
    base = 1 << p["WINDEX"]
    for _ in range(1500):
        word, strobes = random.randrange(2 * base), random.choice((15, 15, 15, 7, 0))
        data, ready, asked = random.getrandbits(32), random.randrange(2), random.randrange(2 * base)
        dut.write.value, dut.write_address.value = 1, 4 * word + random.randrange(4)
        dut.write_data.value, dut.write_bytes.value = data, strobes
        dut.cfg_ready.value, dut.read_address.value = ready, 4 * asked
        await Timer(1, unit="ns")
        number = word < p["WORDS"] and strobes == 15
        special = word == base + 3 and strobes == 15
        assert bool(dut.cfg_valid.value) == number
        assert bool(dut.write_done.value) == (bool(ready) or not number)
        assert bool(dut.write_bad.value) == (not number and not special)
        if number:
            assert int(dut.cfg_address.value) == word
            assert int(dut.cfg_data.value) == upper << 32 | data
        readable = [0x43525953, p["WORDS"], p["W"], upper]
        good = 0 <= asked - base < len(readable)
        assert bool(dut.read_bad.value) == (not good)
        assert int(dut.read_data.value) == (readable[asked - base] if good else 0)
        if special:
            upper = data & ((1 << (p["W"] - 32)) - 1)
        await FallingEdge(dut.clk)
    dut.write.value = 0
