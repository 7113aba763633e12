"""Bus wrappers of a design with active neurons: their address map and their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from crystalc.render import render

BUS_PARTS = ("map.v", "axi_lite.v", "wishbone.v")
"""Files of the primitives that the wrappers need."""

WORD_BYTES = 4
IDENTITY = 0x43525953
"""What the first special register reads: "CRYS"."""


@dataclass(frozen=True)
class Sizes:
    """Wires and words of the plain bus and of a vector at either end."""

    words: int
    address_bits: int
    data_bits: int
    input_bits: int
    output_bits: int

    @property
    def bus_bits(self) -> int:
        """Wires of a byte address: the numbers below, the special registers above."""
        return max(self.address_bits, 2) + 3


@dataclass(frozen=True)
class _Bus:
    suffix: str
    title: str
    clock: str
    ports: Sequence[str]
    adapter: Sequence[str]


@dataclass(frozen=True)
class Context:
    """Everything ``bus.v.j2`` may read. No string in it comes from the model."""

    name: str
    header: Sequence[str]
    suffix: str
    title: str
    clock: str
    ports: Sequence[str]
    adapter: Sequence[str]
    words: int
    address_bits: int
    data_bits: int
    bus_bits: int
    input_bits: int
    output_bits: int
    input_stream: int
    output_stream: int


def wrappers(name: str, sizes: Sizes, header: Sequence[str]) -> dict[PurePosixPath, str]:
    """NAME_axil.v and NAME_wb.v."""
    return {
        PurePosixPath(f"{name}_{bus.suffix}.v"): render(
            "verilog/bus.v.j2",
            Context(
                name=name,
                header=header,
                **vars(bus),
                **vars(sizes),
                bus_bits=sizes.bus_bits,
                input_stream=_bytes(sizes.input_bits),
                output_stream=_bytes(sizes.output_bits),
            ),
        )
        for bus in (_axi_lite(sizes.bus_bits), _wishbone(sizes.bus_bits))
    }


def byte_map(sizes: Sizes) -> Mapping[str, Any]:
    """The map of the buses, for programs: byte addresses, and what the special registers read."""
    base = WORD_BYTES << (sizes.bus_bits - 3)
    special = {"identity": IDENTITY, "words": sizes.words, "data_bits": sizes.data_bits}
    registers: dict[str, Any] = {
        key: {"byte_address": base + WORD_BYTES * k, "reads": value}
        for k, (key, value) in enumerate(special.items())
    }
    if sizes.data_bits > 8 * WORD_BYTES:
        registers["upper_bits"] = {"byte_address": base + WORD_BYTES * len(special)}
    return {"byte_address_bits": sizes.bus_bits, "registers": registers}


def _bytes(bits: int) -> int:
    """Wires of a stream that carries whole bytes."""
    return -(-bits // 8) * 8


def _axi_lite(bits: int) -> _Bus:
    span = f"[{bits - 1}:0]"
    return _Bus(
        "axil",
        "AXI4-Lite",
        "aclk",
        [
            "input  wire aclk",
            "input  wire aresetn",
            "input  wire s_axi_awvalid",
            "output wire s_axi_awready",
            f"input  wire {span} s_axi_awaddr",
            "input  wire [2:0] s_axi_awprot",
            "input  wire s_axi_wvalid",
            "output wire s_axi_wready",
            "input  wire [31:0] s_axi_wdata",
            "input  wire [3:0] s_axi_wstrb",
            "output wire s_axi_bvalid",
            "input  wire s_axi_bready",
            "output wire [1:0] s_axi_bresp",
            "input  wire s_axi_arvalid",
            "output wire s_axi_arready",
            f"input  wire {span} s_axi_araddr",
            "input  wire [2:0] s_axi_arprot",
            "output wire s_axi_rvalid",
            "input  wire s_axi_rready",
            "output wire [31:0] s_axi_rdata",
            "output wire [1:0] s_axi_rresp",
        ],
        [
            "wire rst = ~aresetn;",
            "wire unused_prot = &{1'b0, s_axi_awprot, s_axi_arprot};",
            f"crystal_axi_lite #({bits}) bus (",
            "    aclk, rst, s_axi_awvalid, s_axi_awready, s_axi_awaddr,",
            "    s_axi_wvalid, s_axi_wready, s_axi_wdata, s_axi_wstrb,",
            "    s_axi_bvalid, s_axi_bready, s_axi_bresp,",
            "    s_axi_arvalid, s_axi_arready, s_axi_araddr,",
            "    s_axi_rvalid, s_axi_rready, s_axi_rdata, s_axi_rresp,",
            *_TO_MAP,
        ],
    )


def _wishbone(bits: int) -> _Bus:
    return _Bus(
        "wb",
        "Wishbone B4 (classic)",
        "clk_i",
        [
            "input  wire clk_i",
            "input  wire rst_i",
            "input  wire cyc_i",
            "input  wire stb_i",
            "input  wire we_i",
            f"input  wire [{bits - 1}:0] adr_i",
            "input  wire [31:0] dat_i",
            "input  wire [3:0] sel_i",
            "output wire [31:0] dat_o",
            "output wire ack_o",
            "output wire err_o",
        ],
        [
            "wire rst = rst_i;",
            f"crystal_wishbone #({bits}) bus (",
            "    clk_i, rst, cyc_i, stb_i, we_i, adr_i, dat_i, sel_i, dat_o, ack_o, err_o,",
            *_TO_MAP,
        ],
    )


_TO_MAP = (
    "    write, write_address, write_data, write_bytes, write_done, write_bad,",
    "    read_address, read_data, read_bad",
    ");",
)
