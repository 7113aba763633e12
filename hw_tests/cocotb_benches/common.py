"""What the cocotb benches share: clock, reset, and streams with gaps."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

Handle = Any
PERIOD = 10


def given() -> Any:
    """What the pytest side handed over."""
    return json.loads(Path(os.environ["CRYSTAL_BENCH"]).read_text())


async def start(clk: Handle, rst: Handle, *quiet: Handle, active: int = 1) -> None:
    """Start the clock, put 0 on ``quiet`` and reset for two clocks."""
    for signal in quiet:
        signal.value = 0
    rst.value = active
    cocotb.start_soon(Clock(clk, PERIOD, unit="ns").start())
    for _ in range(2):
        await RisingEdge(clk)
    await FallingEdge(clk)
    rst.value = 1 - active


async def send(
    clk: Handle, port: tuple[Handle, Handle, Handle], words: Sequence[int], stall: float = 0.0
) -> None:
    """Offer ``words`` on (valid, ready, data), each until it is taken, with random gaps."""
    valid, ready, data = port
    for word in words:
        while random.random() < stall:
            await FallingEdge(clk)
        valid.value, data.value = 1, word
        taken = False
        while not taken:
            await RisingEdge(clk)
            taken = bool(ready.value)
            await FallingEdge(clk)
        valid.value = 0


async def receive(
    clk: Handle, port: tuple[Handle, Handle, Handle], count: int, stall: float = 0.0
) -> list[int]:
    """``count`` words of (valid, ready, data); what is offered must stay until it is taken."""
    valid, ready, data = port
    words: list[int] = []
    held: int | None = None
    while len(words) < count:
        ready.value = int(random.random() >= stall)
        await RisingEdge(clk)
        if valid.value:
            word = int(data.value)
            assert held in (None, word), "data moved while it waited"
            held = word
            if ready.value:
                words.append(word)
                held = None
        else:
            assert held is None, "valid fell while it waited"
        await FallingEdge(clk)
    ready.value = 0
    return words
