"""What a person sees of a run: notes on the bar, losses beside what counting reaches, a text."""

from __future__ import annotations

import itertools
import json
import platform
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crystalc.nn.generate import generate
from crystalc.nn.language import LanguageNet
from crystalc.training.bar import Bar
from crystalc.training.checkpoint import save
from crystalc.training.language.data import LanguageData
from crystalc.training.language.loop import Look, Result, mean_loss
from crystalc.training.language.recipe import LanguageRecipe
from crystalc.training.ngrams import Baselines, baselines
from crystalc.training.windows import whole

MEASURED = 2048  # windows of each part that the final losses are taken over
COUNTED = 1 << 22  # tokens of each part that n-grams are counted on
KEPT = 200  # looks that the metadata hold at most
SAMPLE = 120  # tokens of text shown
TEMPERATURE = 0.7


class Notes:
    """Looks as notes on the bar, which counts steps; the speed is that since the look before."""

    def __init__(self, bar: Bar, recipe: LanguageRecipe) -> None:
        self._bar = bar
        self._tokens = recipe.batch * recipe.context
        self._last = (0, monotonic())

    def __call__(self, look: Look) -> None:
        step, then = self._last
        self._last = look.step, monotonic()
        rate = (look.step - step) * self._tokens / max(self._last[1] - then, 1e-9)
        self._bar.show(
            look.step,
            f"loss {look.loss:.3f}",
            f"validation {look.validation:.3f}",
            f"{rate:,.0f} tokens/s",
            f"neurons {look.neurons}",
            f"frozen {look.frozen:.0%}",
        )


def losses(net: LanguageNet, data: LanguageData, device: torch.device) -> dict[str, float]:
    """Nats a token of both parts, over at most MEASURED windows each that do not overlap."""
    net = net.to(device).eval()
    for block in net.blocks:
        block.field.train()  # type: ignore[union-attr]  # the expanded form: many times faster
    context, size = net.config.context, len(data.file)
    parts = {"train": (0, data.split), "validation": (data.split, size)}
    found = {
        name: mean_loss(net, data.file, whole(data.file, *part, context, MEASURED), context, device)
        for name, part in parts.items()
    }
    net.cpu().eval()
    return found


def counted(data: LanguageData) -> Baselines:
    """N-gram baselines of the same two parts (of their first COUNTED tokens)."""
    ids = data.file.ids
    train = np.array(ids[: min(data.split, COUNTED)])
    held = np.array(ids[data.split : data.split + COUNTED])
    return baselines(train, held, data.vocabulary.size)


def text_of(net: LanguageNet, data: LanguageData, seed: int = 0) -> str:
    """A text that the model writes after the first token of validation."""
    prompt = [int(data.file.ids[data.split])]
    made = itertools.islice(generate(net, prompt, TEMPERATURE, seed=seed), SAMPLE)
    tokens = data.vocabulary.tokens
    return b"".join(tokens[i] for i in (*prompt, *made)).decode(errors="replace")


def curve(history: list[Look]) -> list[list[float]]:
    """Step, training loss and validation loss of looks spread over the run: metadata is bounded."""
    every = -(-len(history) // KEPT)
    return [[k.step, round(k.loss, 6), round(k.validation, 6)] for k in history[::every]]


def finish(
    output: Path,
    recipe: LanguageRecipe,
    data: LanguageData,
    result: Result,
    device: torch.device,
) -> None:
    """Save the model with its numbers beside it, and print them with the n-grams."""
    console = Console()
    found, ngrams = losses(result.net, data, device), counted(data)
    metadata: dict[str, str | int | float] = {
        "corpus": data.note,
        "corpus_sha256": data.sha256,
        "python": platform.python_version(),
        "seed": recipe.seed,
        "steps": result.history[-1].step,
        "best_step": result.best.step if result.best else 0,
        "recipe": json.dumps(recipe.to_dict(), sort_keys=True),
        "history": json.dumps(curve(result.history)),
        "bytes_per_token": round(data.bytes_per_token, 4),
        "baselines": json.dumps(ngrams.to_dict(), sort_keys=True),
        **{f"loss_{name}": round(value, 6) for name, value in found.items()},
    }
    model = result.net.to_model(data.vocabulary, metadata)
    save(output, model)
    table = Table("", "train", "validation", title=f"{output}: nats a token")
    table.add_row("this model", f"{found['train']:.3f}", f"{found['validation']:.3f}")
    per_byte = {name: value / data.bytes_per_token for name, value in found.items()}
    table.add_row("  a byte", f"{per_byte['train']:.3f}", f"{per_byte['validation']:.3f}")
    table.add_row("uniform", f"{ngrams.uniform:.3f}", f"{ngrams.uniform:.3f}")
    table.add_row("bigram, Witten-Bell", "", f"{ngrams.witten_bell:.3f}")
    table.add_row("unigram, by heart", f"{ngrams.unigram:.3f}", "")
    table.add_row("bigram, by heart", f"{ngrams.bigram:.3f}", "")
    table.add_row("bigram and phase, by heart", f"{ngrams.phase:.3f}", "")
    console.print(table)
    console.print(
        f"{model.parameters:,} parameters, {len(model.frozen)} neurons, "
        f"{model.frozen.mean():.1%} frozen; {len(data.file):,} tokens of {data.note} "
        f"(sha256 {data.sha256[:16]})"
    )
    console.print(Text(text_of(result.net, data)))
