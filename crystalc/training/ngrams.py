"""What counting alone reaches: entropies of n-grams, in nats a token, to stand beside a loss.

"Plug-in" counts and scores the same text: the floor of any model that sees no more than the
condition, even by heart. Witten-Bell counts one text and scores another: an honest baseline.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from crystalc.training.windows import STRIDE

Tokens = NDArray[np.unsignedinteger]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Baselines:
    """Nats a token. ``phase``: given the token and its place in windows that start every 32."""

    uniform: float
    unigram: float
    bigram: float
    phase: float
    witten_bell: float

    def to_dict(self) -> dict[str, float]:
        """Rounded, by name."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def baselines(train: Tokens, validation: Tokens, vocabulary: int) -> Baselines:
    """Plug-in figures of both parts together; Witten-Bell from ``train`` on ``validation``."""
    text = np.concatenate([train, validation]).astype(np.uint64)
    now, after = text[:-1], text[1:]
    place = np.arange(len(now), dtype=np.uint64) % np.uint64(STRIDE)
    return Baselines(
        uniform=float(np.log(vocabulary)),
        unigram=entropy(text),
        bigram=conditional_entropy(now, after, vocabulary),
        phase=conditional_entropy(now * np.uint64(STRIDE) + place, after, vocabulary),
        witten_bell=witten_bell(train, validation, vocabulary),
    )


def entropy(symbols: Keys) -> float:
    """H of the observed frequencies, nats."""
    counts = np.unique(symbols, return_counts=True)[1].astype(np.float64)
    return float(np.log(counts.sum()) - (counts * np.log(counts)).sum() / counts.sum())


def conditional_entropy(condition: Keys, symbols: Keys, vocabulary: int) -> float:
    """H(symbol | condition) = H(both) - H(condition), nats."""
    return entropy(condition * np.uint64(vocabulary) + symbols) - entropy(condition)


def witten_bell(train: Tokens, validation: Tokens, vocabulary: int) -> float:
    """Mean -log p of each validation token after the one before it, counted on ``train``.

    p(b | a) = (c(ab) + t(a) p(b)) / (c(a) + t(a)), t(a) = kinds seen after a; for p(b) half a
    count is added to every token of the vocabulary.
    """
    size = np.uint64(vocabulary)
    text, held = train.astype(np.uint64), validation.astype(np.uint64)
    single = np.bincount(train, minlength=vocabulary).astype(np.float64)
    lower = (single + 0.5) / (len(train) + 0.5 * vocabulary)
    pairs, counts = np.unique(text[:-1] * size + text[1:], return_counts=True)
    first = (pairs // size).astype(np.int64)
    follow = np.bincount(first, weights=counts, minlength=vocabulary)
    variety = np.bincount(first, minlength=vocabulary).astype(np.float64)
    seen = _counts_of(held[:-1] * size + held[1:], pairs, counts)
    before, token = held[:-1].astype(np.int64), held[1:].astype(np.int64)
    total = follow[before] + variety[before]
    known = (seen + variety[before] * lower[token]) / np.maximum(total, 1.0)
    return float(-np.log(np.where(total > 0, known, lower[token])).mean())


def _counts_of(wanted: Keys, keys: Keys, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The count of each wanted key, 0 where it was never seen."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, counts[place], 0).astype(np.float64)
