"""Every number that decides a language run, in one frozen value, and recipes that were tried."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crystalc.checkpoint import Activation, Kernel, Metric
from crystalc.diagnostics import CompileError, Diagnostic, refuse
from crystalc.language import Kind, LanguageConfig
from crystalc.training.windows import Order


@dataclass(frozen=True)
class LanguageRecipe:
    """How to train one language model. Shares and ``*_start`` / ``*_end`` are fractions in 0..1."""

    # model
    kind: Kind = "causal_lm"
    dim: int = 128
    heads: int = 4
    context: int = 64
    blocks: int = 2
    neurons: int = 256  # of each block's field, once grown
    ffn: int = 0
    kernel: Kernel = "radial"
    activation: Activation | None = "gelu"
    metric: Metric = "l2"
    normalized: bool = False
    # optimisation
    steps: int = 1500
    batch: int = 32
    windows: Order = "random"
    lr: float = 6e-3
    lr_floor: float = 0.1  # share of lr that the cosine ends at
    warm_up: float = 0.033  # share of the steps that the learning rate rises for
    decay: float = 0.01
    dropout: float = 0.0
    spread: float = 0.1  # standard deviation of positions at birth; 0 = on activations
    gain: float = 1.0  # a field's output is scaled by this; folded into the values when saved
    precision: str = "float32"
    compiled: bool = False
    # growth
    start_share: float = 0.25  # share of the neurons that are there at birth
    grow_end: float = 0.3  # growth is over at this share of the steps
    # freezing
    frozen: float = 0.72  # share of the neurons that the schedule may freeze
    freeze_start: float = 0.4
    freeze_end: float = 0.9
    calm: float = 0.5  # a neuron is calm below this movement per 100 steps (in position norms)
    # looking, stopping
    stage: int = 50  # most steps between two looks at validation, where it grows and freezes
    patience: int = 10  # looks without a better validation loss
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [Diagnostic(text) for bad, text in self._rules() if bad]
        if problems:
            raise CompileError(*problems)

    def _rules(self) -> list[tuple[bool, str]]:
        shares = ("start_share", "grow_end", "frozen", "freeze_start", "freeze_end", "lr_floor")
        outside = [n for n in (*shares, "warm_up") if not 0 <= getattr(self, n) <= 1]
        counts = ("dim", "heads", "context", "blocks", "neurons", "steps", "batch", "stage")
        small = [n for n in (*counts, "patience") if getattr(self, n) < 1]
        positive = [n for n in ("lr", "gain", "calm") if not _above_zero(getattr(self, n))]
        negative = [n for n in ("ffn", "seed", "decay", "spread") if not getattr(self, n) >= 0]
        return [
            *((True, f"{name} must be between 0 and 1") for name in outside),
            *((True, f"{name} must be at least 1") for name in small),
            *((True, f"{name} must be a number above 0") for name in positive),
            *((True, f"{name} must not be negative") for name in negative),
            (not 0 <= self.dropout < 1, "dropout must be at least 0 and below 1"),
            (self.heads > 0 and self.dim % self.heads != 0, "heads must divide dim"),
            (self.freeze_end < self.freeze_start, "freeze_end must not be before freeze_start"),
            (self.precision not in ("float32", "bf16"), "precision must be float32 or bf16"),
        ]

    def config(self, vocabulary: int, neurons: int) -> LanguageConfig:
        """Shapes of the model when every block has so many neurons."""
        return LanguageConfig(
            kind=self.kind,
            vocabulary=vocabulary,
            dim=self.dim,
            context=self.context,
            heads=self.heads if self.kind == "causal_lm" else 1,
            neurons=(neurons,) * self.blocks,
            ffn=self.ffn,
            metric=self.metric,
            kernel=self.kernel,
            activation=self.activation,
            normalized=self.normalized,
        )

    @property
    def neurons_at_birth(self) -> int:
        """Neurons of a block before any growth, at least one."""
        return max(1, round(self.neurons * self.start_share))

    @property
    def interval(self) -> int:
        """Steps between two looks: there are at least ten."""
        return max(1, min(self.stage, self.steps // 10))

    def _until(self, share: float) -> float:
        """Step at this share of the run, or the last at which the model can change."""
        return min(share * self.steps, (self.steps - 1) // self.interval * self.interval)

    def neurons_due(self, step: int) -> int:
        """Neurons that each block should have at this step: a straight line to the last."""
        share = min(1.0, step / max(1.0, self._until(self.grow_end)))
        return self.neurons_at_birth + int(share * (self.neurons - self.neurons_at_birth))

    def frozen_due(self, step: int, neurons: int) -> int:
        """How many of ``neurons`` may be frozen at this step: a ramp up to ``frozen``."""
        start, end = self._until(self.freeze_start), self._until(self.freeze_end)
        share = 1.0 if step >= end else max(0.0, (step - start) / (end - start))
        return math.floor(self.frozen * neurons * share)

    @property
    def whole(self) -> int:
        """Step from which growth and freezing are over: only then is a model kept."""
        last = self._until(max(self.grow_end, self.freeze_end if self.frozen else 0.0))
        return math.ceil(last / self.interval) * self.interval

    def rate(self, step: int) -> float:
        """Learning rate of a step: a straight rise, then a cosine down to the floor."""
        rise = min(1.0, (step + 1) / max(1.0, self.warm_up * self.steps))
        wave = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.lr * rise * (self.lr_floor + (1 - self.lr_floor) * wave)

    def to_dict(self) -> dict[str, Any]:
        """Plain dict of JSON types."""
        return dataclasses.asdict(self)

    def with_options(self, options: Mapping[str, Any]) -> LanguageRecipe:
        """The recipe with every option that is not None put in its place.

        The exponential kernels want other numbers, which come with them: neurons born on
        activations and, as all weights are positive, a larger output.
        """
        given = {key: value for key, value in options.items() if value is not None}
        if given.get("kernel", self.kernel) != "radial" and self.kernel == "radial":
            given = {"activation": None, "spread": 0.0, "gain": 16.0, **given}
        return dataclasses.replace(self, **given)


def _above_zero(value: float) -> bool:
    return math.isfinite(value) and value > 0


ORIGINAL_STEPS = 600 * 166  # 600 epochs of 10,562 windows in batches of 64
RECIPES = {
    "small": LanguageRecipe(),
    "short": LanguageRecipe(dropout=0.1),  # for a text that is seen ten times over
    "original": LanguageRecipe(
        blocks=1,
        neurons=788,
        ffn=256,
        kernel="laplace",
        activation=None,
        steps=ORIGINAL_STEPS,
        batch=64,
        windows="stride",
        lr=1e-3,
        spread=0.0,
        gain=16.0,
        start_share=64 / 788,
        precision="bf16",
        compiled=True,
        stage=1660,
        patience=ORIGINAL_STEPS,
    ),
    "gpu": LanguageRecipe(
        dim=384,
        heads=6,
        context=256,
        blocks=6,
        neurons=1536,
        steps=5000,
        batch=64,
        lr=1e-3,
        warm_up=0.02,
        dropout=0.2,
        decay=0.1,
        precision="bf16",
        compiled=True,
        stage=250,
    ),
}


def recipe_named(name: str | None, corpus: bool = True) -> LanguageRecipe:
    """One of RECIPES; without a name the usual one, for a text given or none.

    Raises CompileError.
    """
    name = name or ("small" if corpus else "short")
    if name not in RECIPES:
        raise refuse(f"there is no recipe {name}", hint=", ".join(RECIPES))
    return RECIPES[name]
