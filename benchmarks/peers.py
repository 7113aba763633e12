"""The models a crystal is compared with: an MLP trained by the same loop, SVC and k-NN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from crystalc.training import optimizer
from crystalc.training.dataset import Dataset, Part
from crystalc.training.epoch import evaluate, run_epoch
from crystalc.training.loop import fit
from crystalc.training.recipe import Recipe


@dataclass(frozen=True)
class Score:
    """Accuracies in 0..1 of one trained model, its size, and the share that is frozen."""

    train: float
    validation: float
    validation_loss: float
    test: float
    parameters: int
    frozen: float = 0.0


def _accuracy(model: Callable[[torch.Tensor], torch.Tensor], part: Part) -> tuple[float, float]:
    return evaluate(model, torch.from_numpy(part.x), torch.from_numpy(part.y))


def score(model: nn.Module, data: Dataset, frozen: float = 0.0) -> Score:
    """All three parts, once, after training is over."""
    validation, loss = _accuracy(model, data.validation)
    size = sum(p.numel() for p in model.parameters())
    train, test = _accuracy(model, data.train)[0], _accuracy(model, data.test)[0]
    return Score(train, validation, loss, test, size, frozen)


def crystal(recipe: Recipe, data: Dataset) -> Score:
    """The grown and frozen crystal of this recipe."""
    result = fit(recipe, data)
    return score(result.model, data, float(result.model.to_checkpoint().frozen.mean()))


def crystal_size(recipe: Recipe, data: Dataset) -> int:
    """Parameters of a crystal: N positions, values, temperatures, radii, and one bias."""
    radius = 1 if recipe.kernel == "radial" else 0
    return recipe.neurons * (data.inputs + data.classes + 1 + radius) + data.classes


def hidden_units(parameters: int, data: Dataset) -> int:
    """The smallest hidden layer whose MLP has at least ``parameters``."""
    return -(-(parameters - data.classes) // (data.inputs + data.classes + 1))


def mlp(recipe: Recipe, data: Dataset, activation: type[nn.Module]) -> Score:
    """inputs -> hidden -> classes with at least the crystal's parameters; best epoch kept."""
    generator = torch.Generator().manual_seed(recipe.seed)
    hidden = hidden_units(crystal_size(recipe, data), data)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        layers = nn.Linear(data.inputs, hidden), activation(), nn.Linear(hidden, data.classes)
    model = nn.Sequential(*layers)
    adam = optimizer.adam(model)
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    best, kept = (-1.0, 0.0), model.state_dict()
    for epoch in range(recipe.epochs):
        run_epoch(lambda xb, _: model(xb), adam, recipe, epoch, x, y, generator)
        accuracy, loss = _accuracy(model, data.validation)
        if (accuracy, -loss) > best:
            best = accuracy, -loss
            kept = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(kept)
    return score(model, data)


def ceiling(name: str, data: Dataset, seed: int) -> Score:
    """``svc`` (rbf, C=10) or ``knn`` (3 neighbours); size counts the stored vectors' numbers."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    model = SVC(C=10, random_state=seed) if name == "svc" else KNeighborsClassifier(3)
    model.fit(data.train.x, data.train.y)
    stored = len(model.support_) if name == "svc" else len(data.train)
    train = float("nan")  # says nothing about a model that stores its training data
    validation, test = (model.score(p.x, p.y) for p in (data.validation, data.test))
    return Score(train, validation, float("nan"), test, stored * data.inputs)
