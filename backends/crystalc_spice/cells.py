"""What a macro circuit is made of, as data: one class for each kind of stage.

``resistors`` are (name, net at the other end, ohms); ``offset`` names the source of an amplifier's
offset voltage. ``equations`` solves them in the order of signal flow.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

BOLTZMANN = 1.380649e-23
CHARGE = 1.602176634e-19

Resistors = tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Amplifier:
    """out = - sum rail R0 / R; the first resistor is the feedback. ``gain``: open loop."""

    out: str
    offset: str
    resistors: Resistors
    gain: float


@dataclass(frozen=True)
class Rectifier(Amplifier):
    """max(0, out) of the amplifier: a diode in the loop."""


@dataclass(frozen=True)
class Log(Amplifier):
    """out = Vt ln(I / Is), I the current that the resistors draw from the virtual ground."""


@dataclass(frozen=True)
class Follower(Amplifier):
    """The mean of two nets by the resistors' conductances, buffered."""


@dataclass(frozen=True)
class Antilog(Amplifier):
    """out = - R Is exp(V(emitter) / Vt), R the resistor."""

    emitter: str


@dataclass(frozen=True)
class Reference(Amplifier):
    """The emitter voltage at which a transistor whose base hangs on the divider of the last two
    resistors carries the current of the first.
    """


@dataclass(frozen=True)
class Exponential(Amplifier):
    """out = R Is exp((V(base) - V(emitter)) / Vt): feedback, and a divider that feeds the base."""

    emitter: str


@dataclass(frozen=True)
class Source:
    """An ideal source: ``out`` is the sum of the expressions."""

    out: str
    expressions: tuple[str, ...]


Stage = Amplifier | Source


def as_data(stage: Stage) -> dict[str, Any]:
    """JSON types; ``kind`` is the class."""
    return {"kind": type(stage).__name__.lower(), **asdict(stage)}
