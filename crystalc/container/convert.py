"""A language model into a container, with what that cost: the steps of ``--target crystal``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container import MODES, Mode, feedback, read, write
from crystalc.container.oracle import Oracle
from crystalc.container.quality import DEFAULT_TOKENS, Quality, measure
from crystalc.diagnostics import refuse
from crystalc.language import LanguageModel
from crystalc.passes.prune_vocab import kept, prune_vocab, renumber

Array = NDArray[Any]
Moments = Mapping[str, feedback.Moments]
"""How errors of each matrix are felt, by key."""
FELT = 8192
"""Tokens of the model's own text that tell how."""
Speed = Callable[[bytes], float | None]
"""Tokens a second of a container in a runtime, or None where there is none."""


@dataclass(frozen=True)
class Text:
    """Token ids [n] to measure on, and where they are from."""

    ids: Array
    note: str


@dataclass(frozen=True)
class Converted:
    """``model``: what the container was made from, after pruning. ``content``: the container.

    ``moments``: how its matrices were rounded; for ``write``.
    """

    model: LanguageModel
    mode: Mode
    content: bytes
    quality: Quality
    moments: Moments


@dataclass(frozen=True)
class Study:
    """One row for a weight mode; ``speed`` in tokens a second."""

    mode: Mode
    size: int
    quality: Quality
    speed: float | None


def read_text(model: LanguageModel, path: Path) -> Text:
    """The whole file as tokens of ``model``. Raises CompileError."""
    from crystalc.training.tokens import Encoder, read_chunks

    if model.vocabulary is None:
        raise refuse("the model has no tokens, so it cannot read a text", "vocabulary")
    encoder = Encoder(model.vocabulary)
    parts = [encoder.encode(chunk) for chunk in read_chunks(path)]
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    return Text(ids, f"{len(ids)} tokens of {path.name}")


def own_text(model: LanguageModel, tokens: int, seed: int = 0) -> Text:
    """What the model itself says when tokens are drawn at temperature 1 (needs torch)."""
    from itertools import islice

    from crystalc.nn.generate import generate
    from crystalc.nn.language import LanguageNet

    drawn = generate(LanguageNet.from_model(model), [0], temperature=1.0, seed=seed)
    ids = np.fromiter(islice(drawn, tokens + 1), np.int64)
    return Text(ids, "the model's own text")


def prune_for(model: LanguageModel, text: Text) -> tuple[LanguageModel, Text]:
    """``model`` with the tokens of ``text`` alone, and the text in its new ids."""
    rows = kept(text.ids)
    return prune_vocab(model, text.ids), replace(text, ids=renumber(rows, text.ids))


def tail(text: Text, tokens: int = DEFAULT_TOKENS) -> Text:
    """The last tokens of a text, where models were validated."""
    return Text(text.ids[-tokens - 1 :], f"the end of {text.note}")


def feel(model: LanguageModel) -> Moments:
    """How errors are felt in what the model says itself (needs torch).

    Its own text serves as well as text that it has never seen, and makes the file a function of the
    model alone.
    """
    from crystalc.nn.generate import windows
    from crystalc.nn.language import LanguageNet
    from crystalc.nn.sensitivity import moments

    drawn = windows(LanguageNet.from_model(model), max(1, FELT // model.config.context))
    return moments(model, drawn.numpy())


def convert(
    model: LanguageModel,
    mode: Mode,
    text: Text,
    *,
    panels: bool = True,
    moments: Moments | None = None,
) -> Converted:
    """The container and its quality on all of ``text``; the caller holds it to a budget.

    ``moments`` where they are known already: they are those of ``feel``.
    """
    felt: Moments = {} if mode == "f32" else moments or feel(model)
    content = write(model, mode, panels=panels, moments=felt)
    back, _ = read(content)
    quality = measure(Oracle(), model, back, text.ids, len(text.ids))
    return Converted(model, mode, content, quality, felt)


def study(model: LanguageModel, text: Text, speed: Speed | None = None) -> Iterator[Study]:
    """Every weight mode on one text."""
    felt = feel(model)
    for mode in MODES:
        made = convert(model, mode, text, moments=felt)
        found = speed(made.content) if speed else None
        yield Study(mode, len(made.content), made.quality, found)
