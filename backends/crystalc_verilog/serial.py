"""The byte-serial wrapper that lets a design fit the pins of a package, and its testbench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import __version__
from crystalc.render import render, source
from crystalc_verilog.files import PATIENCE, Context

HEAD = (
    f"// made by crystalc {__version__}; do not edit\n\n"
    "`default_nettype none\n// verilator lint_off DECLFILENAME\n"
)
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Serial:
    """What the templates of the wrapper read."""

    name: str
    input_bits: int
    output_bits: int
    input_bytes: int
    output_bytes: int
    config_bits: int
    data_bits: int


def wrapper(facts: Facts) -> Serial:
    """The wrapper of the design that NAME.json describes."""
    ins, outs = (_bits(facts[end]) for end in ("input", "output"))
    return Serial(
        name=facts["top"],
        input_bits=ins,
        output_bits=outs,
        input_bytes=-(-ins // 8),
        output_bytes=-(-outs // 8),
        config_bits=facts["address_bits"] + facts["data_bits"],
        data_bits=facts["data_bits"],
    )


def _bits(port: Facts) -> int:
    """Wires of a beat."""
    return int(port["elements"]) * int(port["width"]) // int(port["beats"])


def files(facts: Facts) -> dict[PurePosixPath, str]:
    """NAME_serial.v, with its primitives; NAME_bytes.v and its testbench, for simulation."""
    serial, name = wrapper(facts), facts["top"]
    parts = [source("verilog/gather.v"), source("verilog/scatter.v")]
    wrapped = render("verilog/serial.v.j2", serial)
    design = "\n".join([HEAD, *parts, wrapped, "`default_nettype wire\n"])
    return {
        PurePosixPath(f"{name}_serial.v"): design,
        PurePosixPath(f"{name}_bytes.v"): render("verilog/serial_sim.v.j2", serial),
        PurePosixPath(f"{name}_bytes_tb.v"): render("verilog/tb.v.j2", _testbench(facts, serial)),
    }


def _testbench(facts: Facts, serial: Serial) -> Context:
    """The streaming testbench with bytes for beats."""
    beats_in, beats_out = (facts[end]["beats"] for end in ("input", "output"))
    clocks = serial.input_bytes * beats_in + serial.output_bytes * beats_out
    return Context(
        name=f"{serial.name}_bytes",
        header=["testbench of the byte-serial wrapper"],
        interface=[],
        modules=[],
        input_bits=8,
        output_bits=8,
        input_beats=serial.input_bytes * beats_in,
        output_beats=serial.output_bytes * beats_out,
        address_bits=0,
        data_bits=0,
        latency=0,
        interval=2,
        buses=(),
        patience=PATIENCE + 4 * (facts["latency"] + facts["interval"] + clocks),
    )


def to_bytes(vectors: NDArray[Any], port: Facts) -> str:
    """Vectors [n, elements] as the wrapper takes them, one byte a line."""
    width, beats = int(port["width"]), int(port["beats"])
    count, mask = -(-_bits(port) // 8), (1 << width) - 1
    lines = []
    for row in vectors.astype(np.int64).reshape(len(vectors) * beats, -1).tolist():
        total = sum((value & mask) << (k * width) for k, value in enumerate(row))
        lines += [f"{total >> (8 * k) & 255:x}\n" for k in range(count)]
    return "".join(lines)


def from_bytes(text: str, port: Facts) -> NDArray[np.int64]:
    """The vectors [n, elements] in what the wrapper gave."""
    width, beats, elements = (int(port[k]) for k in ("width", "beats", "elements"))
    count, each = -(-_bits(port) // 8), elements // beats
    found = [int(line, 16) for line in text.split()]
    words = [found[k : k + count] for k in range(0, len(found), count)]
    totals = [sum(b << (8 * k) for k, b in enumerate(word)) for word in words]
    values = [total >> (k * width) & (1 << width) - 1 for total in totals for k in range(each)]
    half = 1 << (width - 1) if port["signed"] else 1 << width
    signed = [v - (1 << width) if v >= half else v for v in values]
    return np.array(signed, dtype=np.int64).reshape(-1, elements)
