"""Very many vectors: an emitted design against the oracle, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.check import judge
from crystalc.diagnostics import refuse
from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph
from crystalc.stored import from_json
from crystalc_verilog.cxxrtl import Program

BATCH = 4096
SUFFIX = ".graph.json"

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """How a design fared. ``seconds``: of the compiled design alone; ``reason``: the first
    difference, empty when there is none.
    """

    vectors: int
    seconds: float
    reason: str


def find(build: Path) -> tuple[str, Graph]:
    """Name and fixed graph of the design in ``build``. Raises CompileError."""
    found = sorted(build.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        hint = "compile one there: crystalc MODEL --target verilog -o FOLDER"
        raise refuse(f"{build}: {len(found)} designs in this folder, not one", hint=hint)
    try:
        text = found[0].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"{found[0]}: cannot be read: {error}") from None
    return found[0].name.removesuffix(SUFFIX), from_json(text)


def vectors(graph: Graph, count: int, seed: int) -> Iterator[Array]:
    """``count`` inputs in batches [n, I]: uniform, sparse, near each other, and the ends."""
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    rng = np.random.default_rng(seed)
    size, low, high = graph.input.type.shape[0], elem.low, elem.high
    for first in range(0, count, BATCH):
        n = min(BATCH, count - first)
        x = rng.integers(low, high + 1, (n, size))
        ends = rng.choice(np.array([low, high, 0]), (n, size))
        centre = rng.integers(low, high + 1, (1, size))
        near = np.clip(centre + rng.integers(-2, 3, (n, size)), low, high)
        kind = rng.integers(0, 4, (n, 1))
        share = rng.random((n, 1))
        sparse = np.where(rng.random((n, size)) < share, x, 0 if low <= 0 <= high else low)
        yield np.select([kind == 0, kind == 1, kind == 2], [sparse, ends, near], x)


def check(
    build: Path, count: int, seed: int, progress: Callable[[int], None] = lambda done: None
) -> Result:
    """Compare ``count`` vectors; stops at the first batch that differs. Raises ToolError."""
    name, graph = find(build)
    done, seconds = 0, 0.0
    with Program(build, name) as program:
        for x in vectors(graph, count, seed):
            wanted = interpret(graph, x)
            got = program.run(x, stall=0 if done % (2 * BATCH) else 20)
            seconds += program.seconds
            done += len(x)
            reason = judge(wanted, got, np.zeros(wanted.shape)).reason
            if reason:
                return Result(done, seconds, reason)
            progress(done)
    return Result(done, seconds, "")
