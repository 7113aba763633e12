"""Training for parts that vary: the crossbar's amplifiers with parts drawn anew for every step.

An amplifier makes  v(out) = - sum v(rail) Rf / R + offset (1 + sum Rf / R);  a positive gain takes
the rail's inverse, an amplifier of its own. Those are the equations that ``crystalc montecarlo``
solves, with the same spreads: of resistors, of offset voltages, and of the gain before a kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from crystalc.nn.classifier import CrystalClassifier
from crystalc.nn.field import LAPLACE_FLOOR, GeometricField
from crystalc.training.dataset import Dataset
from crystalc.training.epoch import evaluate
from crystalc.training.finetune import fine_tune
from crystalc.training.loop import Result
from crystalc.training.recipe import Recipe

CHIPS = 8
"""Sets of parts for each batch: every one sees its share of the samples."""

JUDGES = 8
"""Sets of parts that an epoch is judged by, always the same ones."""

RATE, EPOCHS = 3.0, 60
"""Learning rate over the recipe's: the way to calmer places is long; and for how many epochs."""

NARROWEST = 0.05
"""Least temperature, as a share of the median: near 0 the kernels have a pole."""


@dataclass(frozen=True)
class Tolerance:
    """Standard deviations: ``ohms`` of a resistor, relative; ``offset`` in volts; ``temperature``
    of the gain before a kernel, relative.
    """

    ohms: float
    offset: float
    temperature: float


class Chip:
    """One set of parts, drawn as the amplifiers come."""

    def __init__(self, spread: Tolerance, generator: torch.Generator) -> None:
        self.spread, self.generator = spread, generator

    def factor(self, *shape: int, sigma: float | None = None) -> Tensor:
        """What a conductance is over its nominal one."""
        drawn = torch.randn(shape, generator=self.generator)
        return 1.0 / (1.0 + (self.spread.ohms if sigma is None else sigma) * drawn)

    def offset(self, *shape: int) -> Tensor:
        """Volts."""
        return self.spread.offset * torch.randn(shape, generator=self.generator)

    def inverses(self, rails: Tensor) -> Tensor:
        """[B, M]: minus the inverted rails, that is the rails as positive gains meet them."""
        size = rails.shape[1]
        return rails * self.factor(size) / self.factor(size) - 2.0 * self.offset(size)

    def amplifier(self, rails: Tensor, gains: Tensor, score: bool = False) -> Tensor:
        """[B, M] rails, [N, M] gains -> [B, N]; ``score``: before a kernel."""
        met = gains * self.factor(*gains.shape)
        sums = self.inverses(rails) @ met.clamp_min(0).t() + rails @ met.clamp_max(0).t()
        sigma = self.spread.temperature if score else 0.0
        feedback = self.factor(len(gains)) * self.factor(len(gains), sigma=sigma)
        offset = self.offset(len(gains)) * (1.0 + met.abs().sum(dim=1))
        return (sums + offset) / feedback


def circuit(model: CrystalClassifier, x: Tensor, chip: Chip, gain: float = 1.0) -> Tensor:
    """[B, I] -> [B, O] volts of the crossbar that ``model`` becomes, with the parts of ``chip``.

    ``gain``: what the field's values lack.
    """
    field = model.field
    assert isinstance(field, GeometricField)
    w = field.weights(_scores(field, x, chip))
    values, bias = _outputs(model, field.values * gain)
    one = torch.ones(len(x), 1)
    return chip.amplifier(torch.cat([w, one], dim=1), torch.cat([values, bias], dim=1))


def _outputs(model: CrystalClassifier, values: Tensor) -> tuple[Tensor, Tensor]:
    """Gains [O, N] of the kernels and [O, 1] of the constant, a head folded in."""
    if model.head is not None:
        return model.head.weight @ values.t(), model.head.bias[:, None]
    bias = torch.zeros(values.shape[1]) if model.bias is None else model.bias
    return values.t(), bias[:, None]


def _scores(field: GeometricField, x: Tensor, chip: Chip) -> Tensor:
    """[B, N]: what kernels take, as the circuit makes it."""
    shape, t = field.shape, field.temperature
    tau = t.abs() + LAPLACE_FLOOR if shape.kernel == "laplace" else t
    tau = t.square() if shape.kernel == "gauss" else tau
    constant = torch.zeros_like(t) if field.radius is None else cast(Tensor, field.radius)
    if shape.metric == "l1":
        distance = torch.cdist(x, field.positions, p=1.0)
    elif shape.kernel == "laplace":
        squared = chip.amplifier(*_expanded(field, x, torch.ones_like(t), constant))
        distance = squared.clamp_min(1e-12).sqrt()
    else:
        return chip.amplifier(*_expanded(field, x, -1.0 / tau, constant), score=True)
    if shape.kernel != "laplace":
        distance = distance.square()
    return _each(distance, -1.0 / tau, constant / tau, chip)


def _expanded(
    field: GeometricField, x: Tensor, scale: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Rails [B, D + 2] and gains [N, D + 2] of scale (|x - p|^2 - radius)."""
    p = field.positions
    square = (x * x).sum(dim=1, keepdim=True) - field.noise_energy * field.training
    rails = torch.cat([square, torch.ones_like(square), x], dim=1)
    constant = (p * p).sum(dim=1) - radius
    gains = torch.cat([torch.ones_like(constant)[:, None], constant[:, None], -2.0 * p], dim=1)
    return rails, scale[:, None] * gains


def _each(rails: Tensor, gains: Tensor, constant: Tensor, chip: Chip) -> Tensor:
    """[B, N]: one rail, one gain below 0 and a constant for each amplifier, before a kernel."""
    size = len(gains)
    up = chip.inverses(torch.ones(1, 1)) * constant.clamp_min(0) * chip.factor(size)
    down = constant.clamp_max(0) * chip.factor(size)
    offset = chip.offset(size) * (1.0 + gains.abs() + constant.abs())
    feedback = chip.factor(size) * chip.factor(size, sigma=chip.spread.temperature)
    return (rails * gains * chip.factor(size) + up + down + offset) / feedback


def for_parts(recipe: Recipe, data: Dataset, result: Result) -> Result:
    """``result`` with its model fine-tuned for the recipe's spreads.

    Every neuron moves; the frozen flags stay: they say what the compiler may take for constant.
    """
    spread = Tolerance(*recipe.analog)
    model = CrystalClassifier.from_checkpoint(result.model.to_checkpoint())
    generator = torch.Generator().manual_seed(recipe.seed)
    temperature = model.field.temperature
    assert isinstance(temperature, nn.Parameter)
    least = NARROWEST * float(temperature.detach().abs().median())

    def forward(x: Tensor) -> Tensor:
        parts = torch.tensor_split(x, min(CHIPS, len(x)))
        return torch.cat(
            [circuit(model, part, Chip(spread, generator), recipe.gain) for part in parts]
        )

    def judge(x: Tensor, y: Tensor) -> tuple[float, float]:
        drawn = torch.Generator().manual_seed(recipe.seed)
        found = [
            evaluate(lambda part: circuit(model, part, Chip(spread, drawn), recipe.gain), x, y)
            for _ in range(JUDGES)
        ]
        accuracy, loss = zip(*found, strict=True)
        return sum(accuracy) / JUDGES, sum(loss) / JUDGES

    def widen() -> None:
        sign = torch.where(temperature.data < 0, -1.0, 1.0)
        temperature.data.copy_(sign * temperature.data.abs().clamp_min(least))

    values = cast(nn.Parameter, model.field.values).data
    values.div_(recipe.gain)
    fine_tune(model, forward, recipe, data, generator, judge, widen, RATE, EPOCHS)
    values.mul_(recipe.gain)
    return replace(result, model=model.eval())
