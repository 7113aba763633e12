"""Recipes that were found to work, per data set, chosen on validation accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crystalc.checkpoint import Kernel, Metric
from crystalc.training.recipe import Recipe

RECIPES = {
    "digits": Recipe(neurons=64, epochs=160, batch=64, lr=0.02, noise=0.2, calm=0.04),
    "mnist": Recipe(
        neurons=128,
        epochs=12,
        batch=128,
        lr=0.02,
        gain=3.0,
        noise=0.1,
        start_share=0.75,
        grow_end=0.1,
        calm=0.2,
        calm_epochs=1,
    ),
    "letter": Recipe(
        neurons=128, epochs=100, batch=128, lr=0.02, gain=5.0, noise=0.02, calm=0.1, calm_epochs=2
    ),
    "nsl-kdd": Recipe(neurons=64, epochs=20, batch=128, calm=0.15, calm_epochs=1),
}
EXPONENTIAL: dict[Kernel, dict[str, Any]] = {  # all weights positive: a larger output helps
    "gauss": {"lr": 0.02, "gain": 3.0},
    "laplace": {"lr": 0.02, "gain": 10.0},
}


def recipe_for(
    name: str,
    kernel: Kernel | None = None,
    metric: Metric | None = None,
    projection: int | None = None,
) -> Recipe:
    """The recipe of a data set, changed where an option needs other numbers.

    An l1 distance grows with input noise in a way that cannot be taken off again: no noise there.
    A projection moves every distance at once: small steps.
    """
    recipe = RECIPES[name]
    if kernel not in (None, recipe.kernel):
        recipe = replace(recipe, kernel=kernel, activation=None, **EXPONENTIAL[kernel])
    if projection:
        recipe = replace(recipe, lr=recipe.lr / 5)
    return replace(recipe, metric="l1", noise=0.0) if metric == "l1" else recipe
