"""Every number that decides a training run, in one frozen value, and the defaults per data set."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crystalc.checkpoint import Activation, Kernel, Metric
from crystalc.diagnostics import CompileError, Diagnostic, refuse
from crystalc.nn.field import FieldShape


@dataclass(frozen=True)
class Recipe:
    """How to train one crystal. Shares and ``*_start`` / ``*_end`` are fractions in 0..1."""

    # model
    neurons: int = 64
    kernel: Kernel = "radial"
    activation: Activation | None = "gelu"
    metric: Metric = "l2"
    normalized: bool = False
    projection: int = 0  # dimensions of a linear layer in front; 0 = none, x is used as it is
    hidden: int = 0  # outputs of the field below a linear head; 0 = no head, values are logits
    # optimisation
    epochs: int = 160
    batch: int = 64
    lr: float = 0.015
    schedule: str = "onecycle"
    gain: float = 1.0  # the field's output is scaled by this; folded into the values when saved
    noise: float = 0.0  # standard deviation of the noise added to training inputs
    # growth
    start_share: float = 0.5  # share of the neurons that are there at birth
    grow_end: float = 0.25  # growth is over at this share of the epochs
    # freezing
    frozen: float = 0.72  # share of the neurons that the schedule may freeze
    freeze_start: float = 0.5
    freeze_end: float = 0.85
    calm: float = 0.02  # a neuron is calm below this movement per epoch (in data radii)
    calm_epochs: int = 3  # and may freeze once it has been calm for so many in a row
    # hardware
    grid: float = 0.0  # the points end as multiples of this, by fine-tuning; 0 = anywhere
    analog_r: float = 0.0  # spread of a circuit's resistors to fine-tune for, relative
    analog_vos: float = 0.0  # of its amplifiers' offsets, volts
    analog_t: float = 0.0  # of the gain before a kernel, relative
    # stopping
    patience: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [Diagnostic(text) for bad, text in self._rules() if bad]
        if problems:
            raise CompileError(*problems)
        self.shape(1, 1)

    def shape(self, inputs: int, classes: int) -> FieldShape:
        """Of the field, for samples [inputs]. Raises CompileError on options that do not go."""
        return FieldShape(
            self.projection or inputs,
            self.hidden or classes,
            self.metric,
            self.kernel,
            self.activation,
            self.normalized,
        )

    def _rules(self) -> list[tuple[bool, str]]:
        shares = ("start_share", "grow_end", "frozen", "freeze_start", "freeze_end")
        outside = [n for n in shares if not 0 <= getattr(self, n) <= 1]
        counts = [
            n
            for n in ("neurons", "epochs", "batch", "patience", "calm_epochs")
            if getattr(self, n) < 1
        ]
        sizes = [n for n in ("projection", "hidden", "seed") if getattr(self, n) < 0]
        positive = [n for n in ("lr", "gain", "calm") if not _is_positive(getattr(self, n))]
        return [
            *((True, f"{name} must be between 0 and 1") for name in outside),
            *((True, f"{name} must be at least 1") for name in counts),
            *((True, f"{name} must not be negative") for name in sizes),
            *((True, f"{name} must be a number above 0") for name in positive),
            (not (math.isfinite(self.noise) and self.noise >= 0), "noise must not be negative"),
            (not _is_grid(self.grid), "grid must be 0 or a multiple of 2**-16 below 1024"),
            (not all(0 <= s < 1 for s in self.analog), "analog noise must be from 0 to below 1"),
            (any(self.analog) and self.projection > 0, "analog noise has no model of a projection"),
            (self.schedule not in ("onecycle", "cosine"), "schedule must be onecycle or cosine"),
            (self.freeze_end < self.freeze_start, "freeze_end must not be before freeze_start"),
        ]

    @property
    def analog(self) -> tuple[float, float, float]:
        """Spreads of parts: resistors, offsets, temperatures."""
        return self.analog_r, self.analog_vos, self.analog_t

    @property
    def neurons_at_birth(self) -> int:
        """Neurons before any growth, at least one."""
        return max(1, round(self.neurons * self.start_share))

    @property
    def grown(self) -> int:
        """Epoch from which every neuron is there."""
        return round(self.grow_end * (self.epochs - 1))

    @property
    def freezing(self) -> tuple[int, int]:
        """Epochs between which the allowance rises from 0 to ``frozen``."""
        last = self.epochs - 1
        return round(self.freeze_start * last), round(self.freeze_end * last)

    @property
    def whole(self) -> int:
        """Epoch from which growth and freezing are over: only then is a model kept."""
        return max(self.grown, self.freezing[1] if self.frozen else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain dict of JSON types."""
        return dataclasses.asdict(self)

    def with_options(self, options: Mapping[str, Any]) -> Recipe:
        """The recipe with every option that is not None put in its place."""
        given = {key: value for key, value in options.items() if value is not None}
        unknown = sorted(set(given) - {f.name for f in dataclasses.fields(self)})
        if unknown:
            raise refuse(f"unknown recipe option: {', '.join(unknown)}")
        return dataclasses.replace(self, **given)


def _is_grid(step: float) -> bool:
    return 0 <= step < 1024 and float(step * 2**16).is_integer()


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
