"""The training loop: epochs, validation, the best model kept, resume, and a polite stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from crystalc.checkpoint import Checkpoint
from crystalc.nn.classifier import CrystalClassifier
from crystalc.training.crystal import Crystal
from crystalc.training.dataset import Dataset
from crystalc.training.epoch import evaluate, run_epoch
from crystalc.training.recipe import Recipe
from crystalc.training.state import read_state, write_state

SAVE_EVERY = 10.0  # seconds between resume files


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to. ``validation`` is accuracy in 0..1, ``frozen`` a share."""

    epoch: int
    loss: float
    validation: float
    validation_loss: float
    neurons: int
    frozen: float


@dataclass
class Result:
    """A finished or interrupted run. ``model`` is the best on validation once it was whole."""

    model: CrystalClassifier
    history: list[Epoch] = field(default_factory=list)
    best: Epoch | None = None
    interrupted: bool = False


@dataclass
class _Best:
    epoch: Epoch
    model: Checkpoint


def fit(
    recipe: Recipe,
    data: Dataset,
    *,
    observe: Callable[[Epoch], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    state: Path | None = None,
    resume: bool = False,
) -> Result:
    """Train a crystal on ``data.train``; the best on ``data.validation`` is kept.

    ``stop`` is asked after every epoch; when it says yes the state is written and the result is
    marked as interrupted. A run that is resumed ends bit-equal to one that was never interrupted.
    """
    run = _Run(recipe, data)
    if resume and state:
        run.restore(read_state(state, recipe.to_dict(), data.sha256))
        for epoch in run.history:
            observe(epoch)
    saved = monotonic()
    while not run.over:
        observe(run.step())
        interrupted = stop() and not run.over
        if state and (interrupted or monotonic() - saved > SAVE_EVERY):
            write_state(state, run.state())
            saved = monotonic()
        if interrupted:
            return run.result(interrupted=True)
    if state:
        state.unlink(missing_ok=True)
    return run.result()


class _Run:
    """The mutable state of one run."""

    def __init__(self, recipe: Recipe, data: Dataset) -> None:
        self.recipe, self.data = recipe, data
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.x, self.y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
        self.crystal = Crystal(recipe, self.x, self.y, data.classes, self.generator)
        self.validation = torch.from_numpy(data.validation.x), torch.from_numpy(data.validation.y)
        self.history: list[Epoch] = []
        self.best: _Best | None = None

    @property
    def over(self) -> bool:
        done = len(self.history)
        waited = done - 1 - self.best.epoch.epoch if self.best else 0
        return done >= self.recipe.epochs or waited >= self.recipe.patience

    def step(self) -> Epoch:
        """One epoch of training, one look at validation."""
        number, crystal = len(self.history), self.crystal
        crystal.begin_epoch(number)
        loss = run_epoch(
            crystal.predict,
            crystal.adam,
            self.recipe,
            number,
            self.x,
            self.y,
            self.generator,
            crystal.cache,
        )
        crystal.end_epoch()
        model = crystal.finished()
        accuracy, validation_loss = evaluate(model, *self.validation)
        frozen = crystal.field.frozen_share
        epoch = Epoch(number, loss, accuracy, validation_loss, len(crystal.field), frozen)
        self.history.append(epoch)
        if number >= self.recipe.whole and self._better(epoch):
            self.best = _Best(epoch, model.to_checkpoint())
        return epoch

    def _better(self, epoch: Epoch) -> bool:
        return self.best is None or merit(epoch) > merit(self.best.epoch)

    def state(self) -> dict[str, Any]:
        best = self.best
        return {
            "kind": "crystalc training state",
            "recipe": self.recipe.to_dict(),
            "data": self.data.sha256,
            "generator": self.generator.get_state(),
            "history": [asdict(epoch) for epoch in self.history],
            "crystal": self.crystal.state(),
            "best_epoch": best and best.epoch.epoch,
            "best": best and {k: torch.from_numpy(v) for k, v in best.model.tensors.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.crystal.restore(state["crystal"])
        if state["best"] is not None:
            tensors = {key: tensor.numpy() for key, tensor in state["best"].items()}
            config = self.crystal.finished().config()
            self.best = _Best(self.history[state["best_epoch"]], Checkpoint(config, tensors))

    def result(self, interrupted: bool = False) -> Result:
        if self.best is None:
            return Result(self.crystal.finished(), self.history, None, interrupted)
        model = CrystalClassifier.from_checkpoint(self.best.model)
        return Result(model, self.history, self.best.epoch, interrupted)


def merit(epoch: Epoch) -> tuple[float, float, float]:
    """What epochs are compared by: frozen share, then validation accuracy, then its loss."""
    return epoch.frozen, epoch.validation, -epoch.validation_loss
