"""A language model into a container, with what that cost: the steps of ``--target crystal``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container import MODES, Mode, feedback, read, write
from crystalc.container.extra import NOTHING, Extra, spend
from crystalc.container.oracle import Oracle
from crystalc.container.quality import BUDGETS, DEFAULT_TOKENS, Budget, Quality, measure
from crystalc.diagnostics import refuse
from crystalc.language import LanguageModel
from crystalc.passes.prune_vocab import kept, prune_vocab, renumber

Array = NDArray[Any]
Moments = Mapping[str, feedback.Moments]
"""How errors of each matrix are felt, by key."""
ROOM, SMALL = 0.04, 1_500_000
"""A file may grow by this share, or to so many bytes, until it is expected to cost no more than:"""
GOAL, ERROR = 8e-6, 3.5e-5
"""Nats a token (q8); root mean square of the error of a logit (int16)."""
ALIKE: tuple[Mode, ...] = ("int16", "mixed")
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

    ``moments``: how its matrices were rounded, ``extra``: what has more than eight bits; both for
    ``write``.
    """

    model: LanguageModel
    mode: Mode
    content: bytes
    quality: Quality
    moments: Moments
    extra: Extra = NOTHING


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


def feel(model: LanguageModel, mode: Mode = "q8") -> Moments:
    """How errors are felt in what the model says itself (needs torch): in predictions, or where
    errors are as small as in 16 bits, in every logit.

    Its own text serves as well as text that it has never seen, and makes the file a function of the
    model alone.
    """
    from crystalc.nn.generate import windows
    from crystalc.nn.language import LanguageNet
    from crystalc.nn.sensitivity import moments

    drawn = windows(LanguageNet.from_model(model), max(1, FELT // model.config.context))
    return moments(model, drawn.numpy(), alike=mode in ALIKE)


def convert(
    model: LanguageModel,
    mode: Mode,
    text: Text,
    *,
    panels: bool = True,
    moments: Moments | None = None,
    budget: Budget | None = None,
) -> Converted:
    """The container and its quality on all of ``text``; the caller holds it to a budget.

    Where ``budget`` (that of the mode) is missed, q8 tries again with more bits. ``moments`` where
    they are known already: those of ``feel``.
    """
    felt: Moments = {} if mode == "f32" else moments or feel(model, mode)
    oracle, limit = Oracle(), budget or BUDGETS[mode]
    for extra in _extras(model, mode, felt):
        content = write(model, mode, panels=panels, moments=felt, extra=extra)
        back, _ = read(content)
        quality = measure(oracle, model, back, text.ids, len(text.ids))
        if not limit.excess(quality):
            break
    return Converted(model, mode, content, quality, felt, extra)


def _extras(model: LanguageModel, mode: Mode, felt: Moments) -> Iterator[Extra]:
    """What may have more bits than the mode says, more each time: first what is worth it anyway."""
    if mode == "int16":
        goal, bytes_each, tries = ERROR**2 / 2 * model.config.vocabulary, 2, 1
    elif mode == "q8":
        goal, bytes_each, tries = GOAL, 1, 3
    else:
        yield NOTHING
        return
    size = bytes_each * model.parameters
    limits = (goal, max(ROOM * size, SMALL - size)), (goal / 4, math.inf), (0.0, math.inf)
    for left, most in limits[:tries]:
        yield spend(model, mode, felt, left, most)


def study(model: LanguageModel, text: Text, speed: Speed | None = None) -> Iterator[Study]:
    """Every weight mode on one text."""
    felt = {mode: feel(model, mode) for mode in ("q8", "int16")}
    for mode in MODES:
        made = convert(model, mode, text, moments=felt["int16" if mode in ALIKE else "q8"])
        found = speed(made.content) if speed else None
        yield Study(mode, len(made.content), made.quality, found)
