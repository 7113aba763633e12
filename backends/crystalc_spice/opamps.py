"""The parts of level ``macro``: operational amplifiers by name, read from ``opamps.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("opamps.json")
DEFAULT = "10MHz"


@dataclass(frozen=True)
class OpAmp:
    """One class of amplifiers. SI units; ``offset`` is a standard deviation, ``current`` what it
    draws at rest, ``compensation`` the capacitor of a log cell around it.
    """

    name: str
    description: str
    gbw: float
    slew: float
    gain: float
    current: float
    offset: float
    noise: float
    resistance: float
    compensation: float


@dataclass(frozen=True)
class Multiplier:
    """Four quadrants, out = x y / 1 V."""

    description: str
    bandwidth: float
    current: float


@dataclass(frozen=True)
class Transistors:
    """Matched pairs: saturation current, current gain, Early voltage, ohms of the emitter."""

    description: str
    saturation: float
    beta: float
    early: float
    emitter: float


@cache
def _data() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return found


def names() -> tuple[str, ...]:
    """The presets."""
    return tuple(_data()["amplifiers"])


def opamp(name: str) -> OpAmp:
    """The preset of that name, one of ``names()``."""
    return OpAmp(name=name, **_data()["amplifiers"][name])


def multiplier() -> Multiplier:
    """The one kind of multiplier."""
    return Multiplier(**_data()["multiplier"])


def transistors() -> Transistors:
    """The one kind of transistor."""
    return Transistors(**_data()["transistors"])


def supply() -> float:
    """Volts of each rail."""
    return float(_data()["supply"])
