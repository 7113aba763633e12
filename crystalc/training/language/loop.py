"""The training loop of language models: steps, looks at validation, resume, a polite stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.diagnostics import refuse
from crystalc.language import LanguageModel
from crystalc.nn.language import LanguageNet
from crystalc.training.language.data import LanguageData
from crystalc.training.language.living import LivingNet
from crystalc.training.language.recipe import LanguageRecipe
from crystalc.training.language.team import Team
from crystalc.training.state import read_state, write_state
from crystalc.training.windows import TokenFile, Windows, whole

SAVE_EVERY = 30.0  # seconds between resume files
CLIP = 1.0  # largest norm of a gradient
LOOKED_AT = 512  # windows of validation that a look sees
SAMPLE = 32  # windows that neurons are born from
BATCH = 64  # windows at a time where nothing is learned


@dataclass(frozen=True)
class Look:
    """What the steps up to ``step`` came to. Losses are nats a token, ``frozen`` a share."""

    step: int
    loss: float
    validation: float
    neurons: int
    frozen: float


@dataclass
class Result:
    """A finished or interrupted run. ``net`` is the best on validation once it was whole."""

    net: LanguageNet
    history: list[Look] = field(default_factory=list)
    best: Look | None = None
    interrupted: bool = False


@dataclass
class _Best:
    look: Look
    model: LanguageModel


def fit(
    recipe: LanguageRecipe,
    data: LanguageData,
    team: Team,
    *,
    observe: Callable[[Look], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    state: Path | None = None,
    resume: bool = False,
) -> Result:
    """Train on the first part of ``data``, keep the best on the second.

    ``stop`` is asked after every step; when it says yes the state is written and the result is
    marked as interrupted. A run that is resumed ends bit-equal to one that was never interrupted.
    """
    run = _Run(recipe, data, team)
    if resume and state:
        run.restore(read_state(state, recipe.to_dict(), data.text_sha256))
        for seen in run.history:
            observe(seen)
    saved = monotonic()
    while not run.over:
        look = run.advance()
        if look:
            observe(look)
        interrupted = team.any(stop()) and not run.over
        if state and team.leads and (interrupted or monotonic() - saved > SAVE_EVERY):
            write_state(state, run.state())
            saved = monotonic()
        if interrupted:
            return run.result(interrupted=True)
    if state and team.leads:
        state.unlink(missing_ok=True)
    return run.result()


class _Run:
    """The mutable state of one run."""

    def __init__(self, recipe: LanguageRecipe, data: LanguageData, team: Team) -> None:
        if recipe.batch % team.ranks:
            raise refuse(f"{team.ranks} processes cannot share a batch of {recipe.batch}")
        self.recipe, self.data, self.team = recipe, data, team
        self.windows = Windows(
            data.file, 0, data.split, recipe.context, recipe.batch, recipe.windows, recipe.seed
        )
        sample = Windows(data.file, 0, data.split, recipe.context, SAMPLE, "random", recipe.seed)
        x, y = (t.to(team.device) for t in sample.batch_of(-1 & 0xFFFF_FFFF))
        self.living = LivingNet(recipe, data.vocabulary.size, x, y)
        self.shared = self._share()
        self.step = 0
        self.total = torch.zeros((), device=team.device)  # of the losses since the last look
        self.history: list[Look] = []
        self.best: _Best | None = None

    def _share(self) -> nn.Module:
        net: nn.Module = self.living.net
        if self.recipe.compiled and self.team.device.type == "cuda":
            net = torch.compile(net)  # type: ignore[assignment]
        return self.team.share(net)

    @property
    def over(self) -> bool:
        waited = (self.step - self.best.look.step) // self.recipe.interval if self.best else 0
        return self.step >= self.recipe.steps or waited >= self.recipe.patience

    def advance(self) -> Look | None:
        """One step, and a look at validation where a stage ends."""
        if self.step % self.recipe.interval == 0 and self.step and self.living.change(self.step):
            self.shared = self._share()
        self.total += self._train()
        self.step += 1
        if self.step % self.recipe.interval and self.step < self.recipe.steps:
            return None
        return self._look()

    def _train(self) -> Tensor:
        """One step of the optimiser; returns this process's loss."""
        recipe, team, adam = self.recipe, self.team, self.living.adam
        x, y = self.windows.batch_of(self.step, team.rank, team.ranks)
        torch.manual_seed((recipe.seed * 999_979 + self.step) * team.ranks + team.rank)
        for group in adam.param_groups:
            group["lr"] = recipe.rate(self.step)
        self.shared.train()
        with torch.autocast(team.device.type, torch.bfloat16, recipe.precision == "bf16"):
            logits = self.shared(x.to(team.device))
        loss = F.cross_entropy(logits.float().flatten(0, 1), y.to(team.device).flatten())
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.living.net.parameters(), CLIP)
        adam.step()
        return loss.detach()

    def _look(self) -> Look:
        since = (self.step - 1) % self.recipe.interval + 1
        loss = float(self.team.mean(self.total)) / since
        self.total = torch.zeros_like(self.total)
        if not loss < float("inf"):
            raise refuse(f"training diverged before step {self.step}", hint="a smaller --lr")
        validation = self._validate()
        living = self.living
        look = Look(self.step, loss, validation, living.neurons, living.frozen_share)
        self.history.append(look)
        if self.step >= self.recipe.whole and (
            self.best is None or validation < self.best.look.validation
        ):
            self.best = _Best(look, living.finished().to_model())
        return look

    def _validate(self) -> float:
        """Mean loss over windows of validation, each process looking at its share."""
        file, split, recipe, team = self.data.file, self.data.split, self.recipe, self.team
        starts = whole(file, split, len(file), recipe.context, LOOKED_AT)
        net = self.living.net.eval()
        for module in self.living.fields:
            module.train()  # the expanded form, as in training: many times faster
        own = starts[team.rank :: team.ranks]
        weight = len(own) * team.ranks / len(starts)
        loss = weight * mean_loss(net, file, own, recipe.context, team.device) if len(own) else 0.0
        return float(team.mean(torch.tensor(loss, device=team.device)))

    def state(self) -> dict[str, Any]:
        best = self.best
        return {
            "kind": "crystalc training state",
            "recipe": self.recipe.to_dict(),
            "data": self.data.text_sha256,
            "step": self.step,
            "total": self.total,
            "history": [asdict(look) for look in self.history],
            "living": self.living.state(),
            "best_look": best and asdict(best.look),
            "best": best and {k: torch.from_numpy(v) for k, v in best.model.tensors.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.total = state["step"], state["total"].to(self.team.device)
        self.history = [Look(**look) for look in state["history"]]
        self.living.restore(state["living"])
        if state["best"] is not None:
            tensors = {key: tensor.numpy() for key, tensor in state["best"].items()}
            config = self.living.finished().config
            self.best = _Best(Look(**state["best_look"]), LanguageModel(config, tensors))
        self.shared = self._share()

    def result(self, interrupted: bool = False) -> Result:
        if self.best is None:
            return Result(self.living.finished(), self.history, None, interrupted)
        net = LanguageNet.from_model(self.best.model)
        return Result(net, self.history, self.best.look, interrupted)


@torch.no_grad()
def mean_loss(
    net: nn.Module,
    file: TokenFile,
    starts: np.ndarray[Any, np.dtype[np.int64]],
    context: int,
    device: torch.device,
) -> float:
    """Mean cross-entropy of the windows that begin at ``starts``, nats a token."""
    total = 0.0
    for part in np.array_split(starts, -(-len(starts) // BATCH)):
        ids = torch.from_numpy(file.windows(part, context + 1)).to(device)
        logits = net(ids[:, :-1]).float().flatten(0, 1)
        total += float(F.cross_entropy(logits, ids[:, 1:].flatten())) * len(part)
    return total / len(starts)
