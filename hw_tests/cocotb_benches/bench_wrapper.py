"""A whole design behind a bus: its vectors as AXI-Stream, its state rewritten, wrong addresses."""

from __future__ import annotations

from typing import Any

import cocotb

from hw_tests.cocotb_benches.buses import AxiLite, Master, Wishbone
from hw_tests.cocotb_benches.common import Handle, given, receive, send, start

WORD = (1 << 32) - 1


async def rewrite(bus: Master, case: Any) -> None:
    """Every number of ``writes``; the upper bits first where numbers are wider than a word."""
    upper = case["bus"]["registers"].get("upper_bits")
    for address, value in case["writes"]:
        code = value & ((1 << case["data_bits"]) - 1)
        if upper:
            assert not await bus.write(upper["byte_address"], code >> 32)
        assert not await bus.write(4 * address, code & WORD)


async def wrong_addresses(bus: Master, case: Any) -> None:
    """What is not in the map is refused and changes nothing; what identifies it reads back."""
    registers = case["bus"]["registers"]
    for register in registers.values():
        if "reads" in register:
            assert await bus.read(register["byte_address"]) == (register["reads"], False)
            assert await bus.write(register["byte_address"], 7)
    words, top = registers["words"]["reads"], 1 << case["bus"]["byte_address_bits"]
    if 4 * words < registers["identity"]["byte_address"]:
        assert await bus.write(4 * words, 1)
    if top - 4 not in [register["byte_address"] for register in registers.values()]:
        assert await bus.write(top - 4, 1)
        assert (await bus.read(top - 4))[1]
    assert await bus.write(0, 1, strobes=7)
    assert (await bus.read(0))[1]


@cocotb.test()
async def state_is_rewritten(dut: Handle) -> None:
    """Vectors see the old state before the writes and the new one after, whatever stalls."""
    case = given()
    bus: AxiLite | Wishbone = AxiLite(dut) if case["suffix"] == "axil" else Wishbone(dut)
    reset = dut.aresetn if case["suffix"] == "axil" else dut.rst_i
    source = (dut.s_axis_tvalid, dut.s_axis_tready, dut.s_axis_tdata)
    sink = (dut.m_axis_tvalid, dut.m_axis_tready, dut.m_axis_tdata)
    active = int(case["suffix"] == "wb")
    await start(bus.clk, reset, *bus.quiet, dut.s_axis_tvalid, dut.m_axis_tready, active=active)
    for stall, wanted in ((0.0, case["before"]), (0.4, case["before"])):
        cocotb.start_soon(send(bus.clk, source, case["inputs"], stall))
        assert await receive(bus.clk, sink, len(wanted), stall) == wanted
        await wrong_addresses(bus, case)
    for stall in (0.0, 0.4):  # the first write comes while vectors are on their way
        flying = cocotb.start_soon(send(bus.clk, source, case["inputs"][:3], 0.0))
        taken = cocotb.start_soon(receive(bus.clk, sink, 3, stall))
        await flying
        await rewrite(bus, case)
        assert await taken == (case["before"] if stall == 0 else case["after"])[:3]
        cocotb.start_soon(send(bus.clk, source, case["inputs"], stall))
        assert await receive(bus.clk, sink, len(case["after"]), stall) == case["after"]
