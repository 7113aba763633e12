"""The binary raw file that ``ngspice -b -r`` writes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import ToolError

BINARY = b"Binary:\n"


def read_raw(content: bytes) -> dict[str, NDArray[np.float64]]:
    """The vectors of the first plot by name: real numbers, one for each point of the sweep.

    Raises ToolError for anything else.
    """
    head, mark, body = content.partition(BINARY)
    if not mark:
        raise ToolError("ngspice wrote no binary raw file")
    lines = head.decode(errors="replace").splitlines()
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    if facts.get("Flags", "") != "real":
        raise ToolError(f"a raw file of {facts.get('Flags', 'no')} numbers, not of real ones")
    names = [line.split()[1] for line in lines if line.startswith("\t") and len(line.split()) > 2]
    points = int(facts["No. Points"])
    if len(names) != int(facts["No. Variables"]) or len(body) < 8 * points * len(names):
        raise ToolError("the raw file ends early")
    table = np.frombuffer(body, "<f8", points * len(names)).reshape(points, len(names))
    return {name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(names)}
