"""What a proof says about a build: every statement with its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from crystalc_verilog.proof.build import Build
from crystalc_verilog.proof.sat import OPEN, PROVED, REFUTED

ALGEBRA = "integer algebra"
CEC = "ABC cec"
PDR = "ABC pdr"
INDUCTION = "Yosys sat, by induction over clocks"
EXECUTION = "symbolic execution"


@dataclass(frozen=True)
class Item:
    """One statement. ``group``: neuron, function, output, cells, control or handshake;
    ``neuron``: row of the checkpoint; ``detail``: the counterexample, or why it was not proved.
    """

    group: str
    what: str
    status: str
    engine: str
    seconds: float = 0.0
    neuron: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Limits:
    """``jobs`` calls of ABC at a time, of ``seconds`` each; ``only``: one neuron."""

    jobs: int = 1
    seconds: float = 60.0
    only: int | None = None


@dataclass
class Certificate:
    """What was proved about a build, by what."""

    build: Build
    tools: Mapping[str, str]
    items: list[Item] = field(default_factory=list)
    seconds: float = 0.0
    not_proved: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Was everything that was tried proved?"""
        return all(item.status == PROVED for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``proof.json``."""
        return {
            "schema": 1,
            "design": self.build.facts["sha256"],
            "changed_since_compile": self.build.changed,
            "tools": dict(self.tools),
            "seconds": round(self.seconds, 2),
            "ok": self.ok,
            "counts": {s: sum(i.status == s for i in self.items) for s in (PROVED, REFUTED, OPEN)},
            "not_proved": [*self.not_proved, *NOT_PROVED],
            "items": [asdict(item) for item in self.items],
        }


NOT_PROVED = [
    "the passes between the stored graph and the model (property tests)",
    "the testbench, synthesis after Yosys' front end, timing",
]
"""What no item speaks about."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and of how much."""
