"""A field in two halves while it trains: settled neurons that cannot move, active ones that can."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystalc.nn.field import FieldShape, GeometricField
from crystalc.training.centred import CentredField, Rows, can_centre, to_offset, to_radius

ROWS = ("positions", "values", "temperature", "radius")  # per-neuron tensors of a field


def rows_of(field: GeometricField) -> Rows:
    """Copies of the per-neuron tensors as the field holds them."""
    found = {name: getattr(field, name) for name in ROWS if getattr(field, name) is not None}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def take(rows: Rows, index: Tensor) -> Rows:
    """The neurons of ``index``."""
    return {name: tensor[index] for name, tensor in rows.items()}


def join(first: Rows, second: Rows) -> Rows:
    """The neurons of both, ``first`` leading."""
    return {name: torch.cat([first[name], second[name]]) for name in first}


@torch.no_grad()
def fill(field: GeometricField, rows: Rows, noise_energy: float = 0.0) -> GeometricField:
    """``field`` with these per-neuron tensors."""
    field.noise_energy = noise_energy
    for name, tensor in rows.items():
        getattr(field, name).copy_(tensor)
    return field


class SplitField(nn.Module):
    """[B, D] -> [B, O]. ``settled`` takes no gradient and never moves; ``active`` trains.

    ``*_born`` hold each neuron's number of birth, so that merging restores the order of birth.
    ``gain`` scales the output; ``noise_energy`` is that of GeometricField. ``centre`` [D] is a
    point amid the data: where the shape allows it, ``active`` is a CentredField about it.
    """

    settled_born: Tensor
    active_born: Tensor

    def __init__(
        self,
        shape: FieldShape,
        born: Rows,
        centre: Tensor,
        gain: float = 1.0,
        noise_energy: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape, self.gain, self.noise_energy = shape, gain, noise_energy
        self.centre = centre
        nothing = {name: tensor[:0] for name, tensor in born.items()}
        numbers = torch.arange(len(born["positions"]), device=centre.device)
        self.register_buffer("settled_born", numbers[:0])
        self.register_buffer("active_born", numbers)
        self.replace(nothing, self._hold(born))

    def __len__(self) -> int:
        return len(self.settled) + len(self.active)

    @property
    def frozen_share(self) -> float:
        """Share of the neurons that cannot move any more."""
        return len(self.settled) / len(self)

    def _hold(self, rows: Rows) -> Rows:
        """Rows of a plain field as ``active`` holds them."""
        return to_offset(rows, self.centre) if can_centre(self.shape) else rows

    def _plain(self, rows: Rows) -> Rows:
        """Rows that ``active`` holds as those of a plain field."""
        return to_radius(rows, self.centre) if can_centre(self.shape) else rows

    def replace(self, settled: Rows, active: Rows) -> None:
        """Put these neurons, as they are held, into the two halves, which are new modules."""
        device = self.centre.device
        plain = GeometricField(self.shape, len(settled["positions"])).to(device)
        self.settled = fill(plain, settled, self.noise_energy).requires_grad_(False)
        count = len(active["positions"])
        field = (
            CentredField(self.shape, count, self.centre)
            if can_centre(self.shape)
            else GeometricField(self.shape, count)
        )
        self.active = fill(field.to(device), active, self.noise_energy)

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
        rows = rows_of(self.active)
        self.settled_born = torch.cat([self.settled_born, self.active_born[moved]])
        self.active_born = self.active_born[kept]
        settled = join(rows_of(self.settled), self._plain(take(rows, moved)))
        self.replace(settled, take(rows, kept))

    def grow(self, born: Rows) -> None:
        """Add active neurons. ``active`` is a new module."""
        last = len(self) + len(born["positions"])
        numbers = torch.arange(len(self), last, device=self.centre.device)
        self.replace(rows_of(self.settled), join(rows_of(self.active), self._hold(born)))
        self.active_born = torch.cat([self.active_born, numbers])

    @torch.no_grad()
    def merged(self) -> GeometricField:
        """One field in order of birth, gain folded into the values, ``frozen`` set."""
        order = torch.cat([self.settled_born, self.active_born]).argsort()
        rows = join(rows_of(self.settled), self._plain(rows_of(self.active)))
        plain = GeometricField(self.shape, len(order)).to(self.centre.device)
        field = fill(plain, take(rows, order))
        field.values.mul_(self.gain)
        field.frozen.copy_(order < len(self.settled))
        return field
