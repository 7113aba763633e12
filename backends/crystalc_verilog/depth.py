"""How many LUTs or gates stand in a row between registers of a mapped netlist."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from crystalc_verilog.devices import Device


def logic_depth(text: str, top: str, aim: Device) -> int:
    """The longest path of the netlist that ``write_json`` wrote, in cells that count."""
    cells = json.loads(text)["modules"][top]["cells"].values()
    weights = [_weight(cell["type"], aim) for cell in cells]
    nodes = [(cell, w) for cell, w in zip(cells, weights, strict=True) if w is not None]
    return _longest([_ends(cell) for cell, _ in nodes], [w for _, w in nodes])


def _weight(kind: str, aim: Device) -> int | None:
    """1 for a cell that counts, 0 for one that a path goes through, None for one that ends it."""
    if re.fullmatch(aim.levels, kind):
        return 1
    return 0 if re.fullmatch(aim.through, kind) else None


def _ends(cell: Mapping[str, Any]) -> tuple[set[int], set[int]]:
    """Nets read and nets driven."""
    ends: dict[str, set[int]] = {"input": set(), "output": set()}
    for port, bits in cell["connections"].items():
        way = cell["port_directions"].get(port)
        if way in ends:
            ends[way].update(b for b in bits if isinstance(b, int))
    return ends["input"], ends["output"]


def _longest(ends: list[tuple[set[int], set[int]]], weights: list[int]) -> int:
    """Kahn's order; cells on a combinational loop are left out."""
    driver = {net: k for k, (_, driven) in enumerate(ends) for net in driven}
    after: defaultdict[int, list[int]] = defaultdict(list)
    waits = [0] * len(ends)
    for k, (read, _) in enumerate(ends):
        for before in {driver[net] for net in read if net in driver}:
            after[before].append(k)
            waits[k] += 1
    depth = list(weights)
    ready = [k for k, n in enumerate(waits) if not n]
    while ready:
        k = ready.pop()
        for n in after[k]:
            depth[n] = max(depth[n], depth[k] + weights[n])
            waits[n] -= 1
            if not waits[n]:
                ready.append(n)
    return max(depth, default=0)
