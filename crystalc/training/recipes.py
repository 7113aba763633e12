"""Recipes that were found to work, per data set; docs/LOG.md says how they were found."""

from __future__ import annotations

from dataclasses import replace

from crystalc.checkpoint import Kernel
from crystalc.training.recipe import Recipe

RECIPES = {
    "digits": Recipe(kernel="radial", activation="gelu", noise=0.1),
    "mnist": Recipe(
        kernel="radial", activation="gelu", neurons=128, epochs=12, batch=128, lr=0.015
    ),
    "letter": Recipe(
        kernel="radial", activation="gelu", neurons=128, epochs=60, batch=128, lr=0.015
    ),
    "nsl-kdd": Recipe(kernel="radial", activation="gelu", neurons=64, epochs=20, batch=128),
}


def recipe_for(name: str, kernel: Kernel | None = None) -> Recipe:
    """The recipe of a data set, changed where another ``kernel`` needs other numbers."""
    recipe = RECIPES[name]
    if kernel in (None, recipe.kernel):
        return recipe
    return replace(recipe, kernel=kernel, activation="gelu" if kernel == "radial" else None)
