"""What a person sees of a run: the notes on the bar, the table at the end, the saved checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from crystalc.training.bar import Bar
from crystalc.training.checkpoint import save
from crystalc.training.dataset import Dataset, Floats, Part
from crystalc.training.epoch import evaluate
from crystalc.training.loop import Epoch, Result
from crystalc.training.recipe import Recipe

CALIBRATION = 512  # training samples saved for the compiler


def show_epoch(bar: Bar, epoch: Epoch) -> None:
    """One epoch on the bar, which counts them."""
    bar.show(
        epoch.epoch + 1,
        f"loss {epoch.loss:.3f}",
        f"validation {epoch.validation:.1%}",
        f"neurons {epoch.neurons}",
        f"frozen {epoch.frozen:.0%}",
    )


def accuracy(result: Result, part: Part) -> float:
    """Share of ``part`` that the model gets right."""
    x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)
    return evaluate(result.model, x, y)[0]


def calibration_samples(data: Dataset, seed: int) -> Floats:
    """At most CALIBRATION training samples [n, I], drawn with ``seed``."""
    chosen = np.random.default_rng(seed).permutation(len(data.train))[:CALIBRATION]
    return data.train.x[np.sort(chosen)]


def finish(output: Path, recipe: Recipe, data: Dataset, result: Result) -> None:
    """Save the model with its numbers beside it, and print them."""
    scores = {
        "train": accuracy(result, data.train),
        "validation": accuracy(result, data.validation),
        "test": accuracy(result, data.test),
    }
    metadata: dict[str, str | int | float] = {
        "dataset": data.name,
        "preprocessing": data.note,
        "data_sha256": data.sha256,
        "seed": recipe.seed,
        "epochs": len(result.history),
        "best_epoch": result.best.epoch + 1 if result.best else 0,
        "recipe": json.dumps(recipe.to_dict(), sort_keys=True),
        **{f"accuracy_{name}": round(value, 6) for name, value in scores.items()},
    }
    checkpoint = result.model.to_checkpoint(calibration_samples(data, recipe.seed), metadata)
    save(output, checkpoint)
    table = Table("data set", "neurons", "frozen", "parameters", *scores, title=str(output))
    table.add_row(
        data.name,
        str(checkpoint.config.neurons),
        f"{checkpoint.frozen.mean():.1%}",
        str(checkpoint.parameters),
        *(f"{value:.2%}" for value in scores.values()),
    )
    Console().print(table)
