"""The binary raw file that ``ngspice -b -r`` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import ToolError

BINARY = b"Binary:\n"

Plot = dict[str, NDArray[np.float64]]


def read_raw(content: bytes) -> Plot:
    """The vectors of the first plot by name: real numbers, one for each point of the sweep.

    Raises ToolError for anything else.
    """
    return next(read_plots(content))


def read_plots(content: bytes) -> Iterator[Plot]:
    """Every plot, one for each analysis. Raises ToolError where there is none."""
    while True:
        head, mark, body = content.partition(BINARY)
        if not mark:
            raise ToolError("ngspice wrote no binary raw file")
        plot, size = _plot(head.decode(errors="replace").splitlines(), body)
        yield plot
        content = body[size:]
        if not content.strip():
            return


def _plot(lines: Sequence[str], body: bytes) -> tuple[Plot, int]:
    """One plot and how many bytes its numbers take."""
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    if facts.get("Flags", "") != "real":
        raise ToolError(f"a raw file of {facts.get('Flags', 'no')} numbers, not of real ones")
    names = [line.split()[1] for line in lines if line.startswith("\t") and len(line.split()) > 2]
    points = int(facts["No. Points"])
    count = points * len(names)
    if len(names) != int(facts["No. Variables"]) or len(body) < 8 * count:
        raise ToolError("the raw file ends early")
    table = np.frombuffer(body, "<f8", count).reshape(points, len(names))
    return {name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(names)}, 8 * count
