"""A field in two halves while it trains: settled neurons that cannot move, active ones that can."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystalc.nn.field import FieldShape, GeometricField

ROWS = ("positions", "values", "temperature", "radius")  # per-neuron tensors of a field
Rows = dict[str, Tensor]


def rows_of(field: GeometricField, index: Tensor | None = None) -> Rows:
    """Copies of the per-neuron tensors, of every neuron or of those in ``index``."""
    found = {name: getattr(field, name) for name in ROWS if getattr(field, name) is not None}
    return {n: (t if index is None else t[index]).detach().clone() for n, t in found.items()}


def field_of(shape: FieldShape, rows: Rows, noise_energy: float = 0.0) -> GeometricField:
    """A field with these per-neuron tensors."""
    field = GeometricField(shape, len(rows["positions"]))
    field.noise_energy = noise_energy
    with torch.no_grad():
        for name, tensor in rows.items():
            getattr(field, name).copy_(tensor)
    return field


def join(first: Rows, second: Rows) -> Rows:
    """The neurons of both, ``first`` leading."""
    return {name: torch.cat([first[name], second[name]]) for name in first}


class SplitField(nn.Module):
    """[B, D] -> [B, O]. ``settled`` takes no gradient and never moves; ``active`` trains.

    ``*_born`` hold each neuron's number of birth, so that merging restores the order of birth.
    ``gain`` scales the output; ``noise_energy`` is that of GeometricField.
    """

    settled_born: Tensor
    active_born: Tensor

    def __init__(
        self, shape: FieldShape, born: Rows, gain: float = 1.0, noise_energy: float = 0.0
    ) -> None:
        super().__init__()
        self.shape, self.gain, self.noise_energy = shape, gain, noise_energy
        nothing = {name: tensor[:0] for name, tensor in born.items()}
        self.register_buffer("settled_born", torch.zeros(0, dtype=torch.long))
        self.register_buffer("active_born", torch.arange(len(born["positions"])))
        self.replace(nothing, born)

    def replace(self, settled: Rows, active: Rows) -> None:
        """Put these neurons into the two halves, which are new modules."""
        self.settled = field_of(self.shape, settled, self.noise_energy).requires_grad_(False)
        self.active = field_of(self.shape, active, self.noise_energy)

    def __len__(self) -> int:
        return len(self.settled) + len(self.active)

    @property
    def frozen_share(self) -> float:
        """Share of the neurons that cannot move any more."""
        return len(self.settled) / len(self)

    def forward(self, x: Tensor, settled: Tensor | None = None) -> Tensor:
        """``settled`` [B, O]: the output of the settled half for these samples, if known."""
        if self.shape.normalized:
            return self._normalized(x)
        y: Tensor = self.active(x)
        if settled is not None:
            y = y + settled
        elif len(self.settled):
            y = y + self.settled(x)
        return y * self.gain

    def _normalized(self, x: Tensor) -> Tensor:
        scores = torch.cat([self.settled.scores(x), self.active.scores(x)], dim=1)
        values = torch.cat([self.settled.values, self.active.values])
        return self.active.weights(scores) @ values * self.gain

    @torch.no_grad()
    def settled_output(self, x: Tensor, chunk: int = 4096) -> Tensor:
        """[B, D] -> [B, O]: what the settled half adds before the gain; the cache of training."""
        return torch.cat([self.settled(part) for part in torch.split(x, chunk)])

    def settle(self, mask: Tensor) -> None:
        """Freeze the active neurons of ``mask`` [active] for good. ``active`` is a new module."""
        moved, kept = torch.nonzero(mask).flatten(), torch.nonzero(~mask).flatten()
        settled = join(rows_of(self.settled), rows_of(self.active, moved))
        active = rows_of(self.active, kept)
        self.settled_born = torch.cat([self.settled_born, self.active_born[moved]])
        self.active_born = self.active_born[kept]
        self.replace(settled, active)

    def grow(self, born: Rows) -> None:
        """Add active neurons. ``active`` is a new module."""
        numbers = torch.arange(len(self), len(self) + len(born["positions"]))
        self.replace(rows_of(self.settled), join(rows_of(self.active), born))
        self.active_born = torch.cat([self.active_born, numbers])

    @torch.no_grad()
    def merged(self) -> GeometricField:
        """One field in order of birth, gain folded into the values, ``frozen`` set."""
        order = torch.cat([self.settled_born, self.active_born]).argsort()
        rows = join(rows_of(self.settled), rows_of(self.active))
        field = field_of(self.shape, {name: tensor[order] for name, tensor in rows.items()})
        field.values.mul_(self.gain)
        field.frozen.copy_(order < len(self.settled))
        return field
