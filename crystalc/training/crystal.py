"""A crystal while it lives: born small, grown where the error is, frozen where it is calm."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.nn.classifier import CrystalClassifier
from crystalc.training import freezing, growth, optimizer
from crystalc.training.recipe import Recipe
from crystalc.training.split import SplitField, rows_of

ACTIVE = "field.active."
NARROWEST = 0.05  # least temperature, as a share of the median at birth


class Crystal:
    """The model of a run with its optimiser, its calm counters and its cache.

    ``x`` [n, I] and ``y`` [n] are the training samples; nothing else is ever looked at.
    """

    def __init__(
        self, recipe: Recipe, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
    ) -> None:
        self.recipe, self.x, self.y, self.generator = recipe, x, y, generator
        self.model = _newborn(recipe, x, classes, generator)
        self.narrowest = NARROWEST * float(self.field.active.temperature.detach().median())
        self.adam = self._adam({})
        self.calm = torch.zeros(len(self.field.active), dtype=torch.long)
        self.movement = torch.zeros(len(self.field.active))
        self.radius = freezing.data_radius(self._embedded())
        self.cache: Tensor | None = None
        self._before = self.field.active.positions.detach().clone()

    @property
    def field(self) -> SplitField:
        """The field in two halves."""
        field = self.model.field
        assert isinstance(field, SplitField)
        return field

    @property
    def caches(self) -> bool:
        """True when the settled half's output for each sample is a constant of the run."""
        recipe = self.recipe
        return not (recipe.noise or recipe.projection or recipe.normalized)

    @torch.no_grad()
    def _embedded(self) -> Tensor:
        return self.model.embed(self.x)

    def _adam(self, moments: optimizer.Moments) -> torch.optim.Adam:
        """Adam that never lets a temperature come near 0, where the kernels have a pole."""
        adam = optimizer.adam(self.model, moments)
        temperature = self.field.active.temperature

        def widen(*_: Any) -> None:
            temperature.data.clamp_(min=self.narrowest)

        adam.register_step_post_hook(widen)
        return adam

    def begin_epoch(self, epoch: int) -> None:
        """Freeze and grow what is due, then renew the cache."""
        self.model.train()
        changed = self._freeze(epoch) | self._grow(epoch)
        if self.caches and len(self.field.settled) and (changed or self.cache is None):
            self.cache = self.field.settled_output(self.x)
        self._before = self.field.active.positions.detach().clone()

    def end_epoch(self) -> None:
        """Count the epochs that each neuron has been calm for."""
        after = self.field.active.positions.detach()
        self.movement = (after - self._before).norm(dim=1) / self.radius
        self.calm = torch.where(self.movement < self.recipe.calm, self.calm + 1, 0)

    def predict(self, x: Tensor, settled: Tensor | None = None) -> Tensor:
        """[B, I] -> [B, classes] logits; ``settled`` is the cache's rows for these samples."""
        return self.model.finish(self.field(self.model.embed(x), settled))

    def _freeze(self, epoch: int) -> bool:
        room = freezing.allowance(self.recipe, epoch, len(self.field)) - len(self.field.settled)
        ready = self.calm >= self.recipe.calm_epochs
        mask = freezing.neurons_to_freeze(self.movement, ready, room)
        if not bool(mask.any()):
            return False
        moments = optimizer.moments_of(self.adam, self.model)
        kept = torch.nonzero(~mask).flatten()
        self.field.settle(mask)
        self.calm, self.movement = self.calm[kept], self.movement[kept]
        self.adam = self._adam(optimizer.keep_rows(moments, ACTIVE, kept))
        return True

    def _grow(self, epoch: int) -> bool:
        count = growth.neurons_due(self.recipe, epoch) - len(self.field)
        if count <= 0:
            return False
        moments = optimizer.moments_of(self.adam, self.model)
        born = growth.new_neurons(
            self.field.shape, count, self._embedded(), self.error(), self.generator
        )
        self.field.grow(born)
        count = len(born["positions"])
        self.calm = torch.cat([self.calm, self.calm.new_zeros(count)])
        self.movement = torch.cat([self.movement, self.movement.new_zeros(count)])
        self.adam = self._adam(optimizer.add_rows(moments, ACTIVE, count))
        return True

    @torch.no_grad()
    def error(self) -> Tensor:
        """[n]: one minus the probability given to the right class of each training sample."""
        logits = torch.cat([self.predict(part) for part in torch.split(self.x, 4096)])
        return 1 - F.softmax(logits, dim=1).gather(1, self.y[:, None]).flatten()

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs, as plain values and copies of tensors."""
        outside = {
            k: t.clone() for k, t in self.model.state_dict().items() if not k.startswith("field.")
        }
        return {
            "outside": outside,
            "settled": rows_of(self.field.settled),
            "active": rows_of(self.field.active),
            "settled_born": self.field.settled_born,
            "active_born": self.field.active_born,
            "moments": optimizer.moments_of(self.adam, self.model),
            "calm": self.calm,
            "movement": self.movement,
            "radius": self.radius,
            "narrowest": self.narrowest,
            "centre": self.field.centre,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the crystal that ``state`` was taken from, bit for bit."""
        self.model.load_state_dict(state["outside"], strict=False)
        self.field.centre = state["centre"]
        self.field.replace(state["settled"], state["active"])
        self.field.settled_born, self.field.active_born = (
            state["settled_born"],
            state["active_born"],
        )
        self.narrowest = state["narrowest"]
        self.adam = self._adam(state["moments"])
        self.calm, self.movement, self.radius = state["calm"], state["movement"], state["radius"]
        self.cache = None

    def finished(self) -> CrystalClassifier:
        """The model with one merged field, in eval mode; the run itself is left as it is."""
        model = self.model
        merged = CrystalClassifier(self.field.merged(), model.projection, model.head, model.bias)
        return merged.eval()


def _newborn(
    recipe: Recipe, x: Tensor, classes: int, generator: torch.Generator
) -> CrystalClassifier:
    projection = _principal(x, recipe.projection) if recipe.projection else None
    head = _linear(recipe.hidden, classes, generator) if recipe.hidden else None
    shape = recipe.shape(x.shape[1], classes)
    with torch.no_grad():
        points = x if projection is None else projection(x)
    born = growth.first_neurons(shape, recipe, points, generator)
    energy = recipe.noise**2 * points.shape[1]  # with a projection: as long as its axes are unit
    field = SplitField(shape, born, points.mean(dim=0), recipe.gain, energy)
    return CrystalClassifier(field, projection, head, None if head else torch.zeros(classes))


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer


@torch.no_grad()
def _principal(x: Tensor, dim: int) -> nn.Linear:
    """Onto the ``dim`` widest directions of the data [n, I], about their mean.

    Such a projection keeps the distances as well as a linear one can. Dimensions beyond those of
    the data start at 0.
    """
    mean = x.mean(dim=0)
    centred = x - mean
    _, axes = torch.linalg.eigh(centred.t() @ centred)  # widths rise
    layer = nn.Linear(x.shape[1], dim)
    weight = axes.flip(1)[:, :dim].t()
    layer.weight.zero_()[: len(weight)] = weight
    layer.bias.copy_(-(layer.weight @ mean))
    return layer
