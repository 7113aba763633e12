"""The area of a design before any synthesis: features times what they cost on a device.

``figures.json`` holds the costs, their Yosys, and the errors they had on designs that took no part
in finding them; ``python -m benchmarks.estimate`` makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FIGURES = Path(__file__).parent / "figures.json"


@dataclass(frozen=True)
class Figures:
    """``costs``: {resource: {feature: cost}}; ``held`` and ``errors``: {resource: largest relative
    error of the designs that are never fitted on, and of all, each left out once}; ``yosys`` that
    measured; ``held_out`` and ``designs``: how many there are.
    """

    costs: Mapping[str, Mapping[str, float]]
    held: Mapping[str, float]
    errors: Mapping[str, float]
    yosys: str
    held_out: int
    designs: int


@dataclass(frozen=True)
class Estimate:
    """A count before synthesis; ``held`` and ``error``: see Figures."""

    count: int
    held: float
    error: float


def arch_of(area: Mapping[str, int]) -> str:
    """Which architecture has these features."""
    return "folded" if area.get("units") else "parallel"


def kind(device: str, arch: str) -> str:
    """The key of ``figures.json``: each architecture on each device has its own costs."""
    return f"{device} {arch}"


@cache
def figures(key: str) -> Figures | None:
    """What is known of a kind; None where too few designs were measured."""
    found = json.loads(FIGURES.read_text(encoding="utf-8"))["kinds"].get(key)
    return Figures(**found) if found else None


def estimate(area: Mapping[str, int], device: str) -> dict[str, Estimate]:
    """Estimates by resource from the features in NAME.json; none where nothing is known."""
    known = figures(kind(device, arch_of(area)))
    if known is None:
        return {}
    return {
        resource: Estimate(
            max(0, round(total(area, costs))), known.held[resource], known.errors[resource]
        )
        for resource, costs in known.costs.items()
    }


def total(area: Mapping[str, int], costs: Mapping[str, float]) -> float:
    """Sum of features times costs."""
    return sum(area.get(feature, 0) * cost for feature, cost in costs.items())
