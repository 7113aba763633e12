"""Masters of the two buses: ``write`` and ``read`` say whether the slave refused."""

from __future__ import annotations

import random
from typing import Protocol

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from hw_tests.cocotb_benches.common import Handle

PATIENCE = 2000
"""Clocks after which a slave that does not answer has failed."""


class Master(Protocol):
    """Either bus."""

    clk: Handle

    async def write(self, address: int, data: int, strobes: int = 15) -> bool: ...

    async def read(self, address: int) -> tuple[int, bool]: ...


async def until(clk: Handle, signal: Handle) -> None:
    """Wait for a rising edge at which ``signal`` is 1, then for the falling one."""
    for _ in range(PATIENCE):
        await RisingEdge(clk)
        taken = bool(signal.value)
        await FallingEdge(clk)
        if taken:
            return
    raise AssertionError(f"{signal._name} stays 0")


async def pause(clk: Handle, most: int) -> None:
    for _ in range(random.randint(0, most)):
        await FallingEdge(clk)


class AxiLite:
    """AXI4-Lite: address and data of a write come in any order, answers wait at random."""

    def __init__(self, dut: Handle) -> None:
        self.dut, self.clk = dut, dut.aclk
        self.quiet = [
            dut.s_axi_awvalid, dut.s_axi_wvalid, dut.s_axi_bready, dut.s_axi_arvalid,
            dut.s_axi_rready, dut.s_axi_awprot, dut.s_axi_arprot,
        ]  # fmt: skip

    async def channel(self, valid: Handle, ready: Handle, most: int) -> None:
        """Offer what stands on a channel until it is taken."""
        await pause(self.clk, most)
        valid.value = 1
        await until(self.clk, ready)
        valid.value = 0

    async def write(self, address: int, data: int, strobes: int = 15) -> bool:
        dut = self.dut
        dut.s_axi_awaddr.value, dut.s_axi_wdata.value = address, data
        dut.s_axi_wstrb.value = strobes
        late = random.choice(((0, 0), (6, 0), (0, 6)))
        address_sent = cocotb.start_soon(
            self.channel(dut.s_axi_awvalid, dut.s_axi_awready, late[0])
        )
        await self.channel(dut.s_axi_wvalid, dut.s_axi_wready, late[1])
        await address_sent
        await pause(self.clk, 3)
        dut.s_axi_bready.value = 1
        await until(self.clk, dut.s_axi_bvalid)
        dut.s_axi_bready.value = 0
        return bool(dut.s_axi_bresp.value)

    async def read(self, address: int) -> tuple[int, bool]:
        dut = self.dut
        dut.s_axi_araddr.value = address
        await self.channel(dut.s_axi_arvalid, dut.s_axi_arready, 2)
        await pause(self.clk, 3)
        assert dut.s_axi_rvalid.value, "an answer is lost while the master waits"
        data, refused = int(dut.s_axi_rdata.value), bool(dut.s_axi_rresp.value)
        dut.s_axi_rready.value = 1
        await until(self.clk, dut.s_axi_rvalid)
        dut.s_axi_rready.value = 0
        return data, refused


class Wishbone:
    """Wishbone B4 classic, STB and CYC together."""

    def __init__(self, dut: Handle) -> None:
        self.dut, self.clk = dut, dut.clk_i
        self.quiet = [dut.cyc_i, dut.stb_i, dut.we_i]

    async def cycle(self, we: int, address: int) -> bool:
        dut = self.dut
        await pause(self.clk, 3)
        dut.cyc_i.value, dut.stb_i.value, dut.we_i.value, dut.adr_i.value = 1, 1, we, address
        for _ in range(PATIENCE):
            await RisingEdge(self.clk)
            ended, refused = bool(dut.ack_o.value) or bool(dut.err_o.value), bool(dut.err_o.value)
            await FallingEdge(self.clk)
            if ended:
                dut.cyc_i.value = dut.stb_i.value = 0
                return refused
        raise AssertionError("the cycle does not end")

    async def write(self, address: int, data: int, strobes: int = 15) -> bool:
        self.dut.dat_i.value, self.dut.sel_i.value = data, strobes
        return await self.cycle(1, address)

    async def read(self, address: int) -> tuple[int, bool]:
        refused = await self.cycle(0, address)
        return int(self.dut.dat_o.value), refused
