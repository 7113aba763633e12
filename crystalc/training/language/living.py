"""A language model while it lives: every block's field grows and freezes between two stages."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.nn.language import LanguageNet, shape_of
from crystalc.training import freezing, growth, optimizer
from crystalc.training.centred import Rows
from crystalc.training.language.recipe import LanguageRecipe
from crystalc.training.split import SplitField, rows_of

BETAS = (0.9, 0.98)
NARROWEST = 0.05  # least temperature, as a share of the median at birth
UNIT = 100  # steps that movement is counted over
SMALL = 0.01  # standard deviation, at birth, of values and of what attention puts out


class LivingNet:
    """The network of a run with its optimiser and the movement of its neurons.

    ``sample`` [B, T] are token ids: activations of them place neurons and scale their kernels.
    """

    def __init__(
        self, recipe: LanguageRecipe, vocabulary: int, sample: Tensor, targets: Tensor
    ) -> None:
        self.recipe, self.sample, self.targets = recipe, sample, targets
        torch.manual_seed(recipe.seed)
        config = recipe.config(vocabulary, recipe.neurons_at_birth)
        silent: list[nn.Module] = [_Silent() for _ in config.neurons]
        self.net = LanguageNet(config, silent, recipe.dropout)
        start(self.net)
        self.net.to(sample.device)
        for b, block in enumerate(self.net.blocks):
            block.field = self._newborn(b)
        temperatures = [f.active.temperature.detach().median() for f in self.fields]
        self.narrowest = [NARROWEST * float(t) for t in temperatures]
        self.adam = self._adam({})
        self.watch()

    @property
    def fields(self) -> list[SplitField]:
        """Each block's field in two halves."""
        return [block.field for block in self.net.blocks]  # type: ignore[misc]

    @property
    def neurons(self) -> int:
        """Of all blocks."""
        return sum(len(field) for field in self.fields)

    @property
    def frozen_share(self) -> float:
        """Share of all neurons that cannot move any more."""
        return sum(len(field.settled) for field in self.fields) / self.neurons

    def watch(self) -> None:
        """Movement counts from here."""
        self.before = [field.active.positions.detach().clone() for field in self.fields]

    def _generator(self, step: int, block: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.recipe.seed * 999_983 + step) * 997 + block)

    @torch.no_grad()
    def activations(self, block: int) -> Tensor:
        """[B * T, D]: what the block's field receives from the sample."""
        found: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found.append(output.flatten(0, 1))

        norm: nn.LayerNorm = self.net.blocks[block].norm2  # type: ignore[assignment]
        handle = norm.register_forward_hook(keep)
        self.net(self.sample)
        handle.remove()
        return found[0]

    @torch.no_grad()
    def error(self) -> Tensor:
        """[B * T]: one minus the probability given to each next token of the sample."""
        logits = self.net(self.sample).flatten(0, 1)
        right = F.softmax(logits, dim=1).gather(1, self.targets.reshape(-1, 1))
        return 1 - right.flatten()

    def _newborn(self, block: int) -> SplitField:
        data = self.activations(block)
        generator = self._generator(0, block)
        count = self.recipe.neurons_at_birth
        rows = self._rows(block, self._places(data, count, None, generator), data)
        values = torch.randn(count, self.recipe.dim, generator=generator)
        rows["values"] = (values * SMALL / self.recipe.gain).to(data.device)
        centre = torch.zeros(self.recipe.dim, device=data.device)
        return SplitField(shape_of(self.net.config), rows, centre, self.recipe.gain)

    def _places(
        self, data: Tensor, count: int, error: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """[count, D] positions: around the origin, or on activations where the error is."""
        if self.recipe.spread:
            drawn = torch.randn(count, self.recipe.dim, generator=generator)
            return (drawn * self.recipe.spread).to(data.device)
        weights = torch.ones(len(data)) if error is None else error.double().cpu() + 1e-9
        chosen = torch.multinomial(weights, count, count > len(data), generator=generator)
        return data[chosen.to(data.device)].clone()

    def _rows(self, block: int, positions: Tensor, data: Tensor) -> Rows:
        shape = shape_of(self.net.config)
        scale = growth.kernel_scale(shape, positions, data)
        return {"positions": positions, "values": torch.zeros_like(positions), **scale}

    def _adam(self, moments: optimizer.Moments) -> torch.optim.AdamW:
        """AdamW that decays matrices only and never lets a temperature come near 0."""
        named = optimizer.trainable(self.net)
        decays = {n for n, p in named.items() if p.dim() > 1 and ".active.positions" not in n}
        groups = [
            {"params": [named[n] for n in named if n in decays], "weight_decay": self.recipe.decay},
            {"params": [named[n] for n in named if n not in decays], "weight_decay": 0.0},
        ]
        adam = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=True)
        for name, parameter in named.items():
            if name in moments:
                adam.state[parameter] = {k: t.clone() for k, t in moments[name].items()}
        pairs = list(zip([f.active.temperature for f in self.fields], self.narrowest, strict=True))

        def widen(*_: Any) -> None:
            for temperature, least in pairs:
                temperature.data.clamp_(min=least)

        adam.register_step_post_hook(widen)
        return adam

    def change(self, step: int) -> bool:
        """Freeze and grow what is due before ``step``; True when parameters were replaced."""
        changed = False
        error = self.error() if self.recipe.neurons_due(step) > len(self.fields[0]) else None
        for block, field in enumerate(self.fields):
            changed |= self._freeze(step, block, field)
            changed |= error is not None and self._grow(step, block, field, error)
        self.watch()
        return changed

    def _freeze(self, step: int, block: int, field: SplitField) -> bool:
        room = self.recipe.frozen_due(step, len(field)) - len(field.settled)
        positions = field.active.positions.detach()
        unit = positions.norm(dim=1).square().mean().sqrt().clamp_min(1e-12)
        moved = (positions - self.before[block]).norm(dim=1) / unit
        moved = moved * UNIT / self.recipe.interval
        mask = freezing.neurons_to_freeze(moved.cpu(), moved.cpu() < self.recipe.calm, room)
        if not bool(mask.any()):
            return False
        moments = optimizer.moments_of(self.adam, self.net)
        mask = mask.to(positions.device)
        field.settle(mask)
        kept = torch.nonzero(~mask).flatten()
        self.adam = self._adam(optimizer.keep_rows(moments, _prefix(block), kept))
        return True

    def _grow(self, step: int, block: int, field: SplitField, error: Tensor) -> bool:
        count = self.recipe.neurons_due(step) - len(field)
        moments = optimizer.moments_of(self.adam, self.net)
        data = self.activations(block)
        places = self._places(data, count, error, self._generator(step, block))
        field.grow(self._rows(block, places, data))
        self.adam = self._adam(optimizer.add_rows(moments, _prefix(block), count))
        return True

    @torch.no_grad()
    def finished(self) -> LanguageNet:
        """A plain model of the present state, in eval mode, on the CPU."""
        fields = [field.merged() for field in self.fields]
        config = self.recipe.config(self.net.config.vocabulary, len(fields[0]))
        net = LanguageNet(config, fields)
        net.load_state_dict(self._outside(), strict=False)
        return net.cpu().eval()

    def _outside(self) -> dict[str, Tensor]:
        state = self.net.state_dict().items()
        return {key: value.clone() for key, value in state if ".field." not in key}

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs, as plain values and copies of tensors."""
        fields = [
            {
                "settled": rows_of(field.settled),
                "active": rows_of(field.active),
                "settled_born": field.settled_born,
                "active_born": field.active_born,
            }
            for field in self.fields
        ]
        return {
            "outside": self._outside(),
            "fields": fields,
            "moments": optimizer.moments_of(self.adam, self.net),
            "before": self.before,
            "narrowest": self.narrowest,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the network that ``state`` was taken from, bit for bit."""
        self.net.load_state_dict(state["outside"], strict=False)
        for field, kept in zip(self.fields, state["fields"], strict=True):
            field.replace(kept["settled"], kept["active"])
            field.settled_born, field.active_born = kept["settled_born"], kept["active_born"]
        self.narrowest, self.before = state["narrowest"], state["before"]
        self.adam = self._adam(state["moments"])


def start(net: LanguageNet) -> None:
    """Weights that a run begins with, fields aside: a stream that each block adds little to."""
    nn.init.normal_(net.tokens.weight, std=net.config.dim**-0.5)
    nn.init.normal_(net.positions.weight, std=0.02)
    for name, parameter in net.named_parameters():
        if name.endswith(("attention.output.weight", "ffn.down.weight")):
            nn.init.normal_(parameter, std=SMALL)


class _Silent(nn.Module):
    """Stands in a field's place before it is born."""

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] -> zeros."""
        return torch.zeros_like(x)


def _prefix(block: int) -> str:
    return f"blocks.{block}.field.active."
