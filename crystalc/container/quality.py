"""What a weight mode costs: the converted model beside the one it was made from, on text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container.kinds import MODES, Mode
from crystalc.diagnostics import refuse
from crystalc.language import LanguageConfig, LanguageModel

Array = NDArray[Any]
Logits = Callable[[LanguageModel, Array], Array]
"""Logits [B, T, V] of a model for token ids [B, T], T at most its context."""

DEFAULT_TOKENS = 4096
TOGETHER = 1 << 22  # logits that are held at once


@dataclass(frozen=True)
class Quality:
    """Means over ``positions`` predictions. ``loss`` is in nats; ``kl`` is KL(reference || it)."""

    positions: int
    reference_loss: float
    loss: float
    kl: float
    top1: float
    largest: float

    @property
    def perplexity_change(self) -> float:
        """Relative: 0.001 is 0.1 % more than the reference."""
        return math.expm1(self.loss - self.reference_loss)

    def __str__(self) -> str:
        return (
            f"perplexity {math.exp(self.reference_loss):.4f} -> {math.exp(self.loss):.4f} "
            f"({self.perplexity_change:+.4%}), KL {self.kl:.1e}, top-1 {self.top1:.2%}, "
            f"logits within {self.largest:.1e}, {self.positions} predictions"
        )


@dataclass(frozen=True)
class Budget:
    """The most that a conversion may cost.

    ``top1`` is held against a count: it is missed where a model that meets it would do so badly
    less than once in forty such texts.
    """

    perplexity_change: float
    kl: float
    top1: float

    def excess(self, q: Quality) -> list[str]:
        """One clause for each figure past the budget."""
        out = []
        if not abs(q.perplexity_change) <= self.perplexity_change:
            limit = f"{self.perplexity_change:.2%}"
            out.append(f"perplexity changes by {q.perplexity_change:+.4%}, more than {limit}")
        if not q.kl <= self.kl:
            out.append(f"KL is {q.kl:.2e}, more than {self.kl:.1e}")
        chance = 2 * math.sqrt(self.top1 * (1 - self.top1) / q.positions)
        if not q.top1 >= self.top1 - chance:
            out.append(f"top-1 agreement is {q.top1:.2%}, less than {self.top1:.2%}")
        return out


EXACT = Budget(1e-6, 1e-9, 1.0)
FINE = Budget(1e-4, 1e-6, 0.999)
GOOD = Budget(1e-3, 1e-4, 0.995)
COARSE = Budget(2e-2, 2e-2, 0.9)
BUDGETS: dict[Mode, Budget] = {
    "f32": EXACT,
    "int16": FINE,
    "mixed": FINE,
    "int8": COARSE,
    "mixed8": COARSE,
    "q8": GOOD,
    "q8q4": COARSE,
}


def measure(
    logits: Logits,
    reference: LanguageModel,
    converted: LanguageModel,
    ids: Array,
    tokens: int = DEFAULT_TOKENS,
) -> Quality:
    """Compare two models of one vocabulary on ``ids`` [n], the first ``tokens`` of them.

    Windows of the whole context do not overlap. Raises CompileError where ``ids`` are too few or
    not tokens of the model.
    """
    ids = np.asarray(ids)[: tokens + 1]
    vocabulary = reference.config.vocabulary
    if len(ids) < 2:
        raise refuse("the text to measure on has fewer than 2 tokens")
    if converted.config.vocabulary != vocabulary or ids.min() < 0 or ids.max() >= vocabulary:
        raise refuse(f"the text has tokens beyond the {vocabulary} of the model")
    sums = np.zeros(5)
    largest = 0.0
    for inputs, targets in _batches(ids, reference.config):
        both = (logits(model, inputs) for model in (reference, converted))
        a, b = (np.asarray(y, np.float64).reshape(-1, vocabulary) for y in both)
        sums += _sums(a, b, targets.ravel())
        largest = float(np.maximum(largest, np.abs(a - b).max()))
    before, after, kl, top1 = (float(v) for v in sums[1:] / sums[0])
    return Quality(int(sums[0]), before, after, kl, top1, largest)


def _batches(ids: Array, c: LanguageConfig) -> Iterator[tuple[Array, Array]]:
    """Inputs and targets [B, T]: whole windows together, then what is left."""
    count = len(ids) - 1
    whole = count // c.context * c.context
    inputs, targets = (part.reshape(-1, c.context) for part in (ids[:whole], ids[1 : whole + 1]))
    batch = max(1, TOGETHER // (c.context * c.vocabulary))
    for start in range(0, len(inputs), batch):
        yield inputs[start : start + batch], targets[start : start + batch]
    if whole < count:
        yield ids[None, whole:-1], ids[None, whole + 1 :]


def _sums(a: Array, b: Array, targets: Array) -> Array:
    """Count, losses of both, KL and equal decisions over the rows of [T, V] logits."""
    log_p, log_q = _log_softmax(a), _log_softmax(b)
    rows = np.arange(len(targets))
    kl = (np.exp(log_p) * (log_p - log_q)).sum()
    same = (a.argmax(axis=1) == b.argmax(axis=1)).sum()
    return np.array([len(rows), -log_p[rows, targets].sum(), -log_q[rows, targets].sum(), kl, same])


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def require_quality(
    quality: Quality, budget: Budget, mode: Mode, offered: tuple[Mode, ...] = MODES
) -> None:
    """Raise CompileError where a conversion costs more than the budget. ``offered``: what a hint
    may name.
    """
    excess = budget.excess(quality)
    if excess:
        text = f"weights {mode} cost too much: {'; '.join(excess)}"
        raise refuse(text, hint=_finer(mode, offered))


def _finer(mode: Mode, offered: tuple[Mode, ...]) -> str:
    finer: dict[Mode, Mode] = {"q8": "int16", "int16": "f32"}
    better = finer.get(mode, "q8")
    if better in offered:
        return f"try --weights {better}"
    return "--max-kl, --min-top1 and --max-perplexity-change say what it may cost"
