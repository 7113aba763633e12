"""The token table: a vocabulary as sections, and back."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.language import Vocabulary

Words = NDArray[Any]


def check_vocabulary(v: Vocabulary, vocabulary: int) -> None:
    """Refuse a vocabulary that does not belong to a model with this many rows."""
    if v.size != vocabulary or len(v.tokens) < v.size:
        text = f"{v.size} tokens of {len(v.tokens)} for a model of {vocabulary}"
        raise refuse(text, "vocabulary")
    lengths = np.array([len(t) for t in v.tokens])
    longest = 4 if v.split == "chars" else 1024
    if lengths.min() < 1 or lengths.max() > longest:
        at = int(((lengths < 1) | (lengths > longest)).argmax())
        raise refuse(f"{lengths[at]} bytes, not 1 to {longest}", "vocabulary.tokens", (at,))
    if v.split == "chars" and len(v.merges):
        raise refuse("characters have no merges", "vocabulary.merges")


def token_offsets(v: Vocabulary) -> Words:
    """uint32 [T + 1]: where each token's bytes start."""
    return np.fromiter(accumulate((len(t) for t in v.tokens), initial=0), np.uint32)


def merge_table(v: Vocabulary) -> Words:
    """uint32 [M, 3]: left, right and the lowest token that has their bytes."""
    ids: dict[bytes, int] = {}
    for number, token in enumerate(v.tokens):
        ids.setdefault(token, number)
    pairs = np.asarray(v.merges, np.int64).reshape(-1, 2)
    if pairs.size and not (pairs.min() >= 0 and pairs.max() < len(v.tokens)):
        raise refuse(f"an id beyond the {len(v.tokens)} tokens", "vocabulary.merges")
    rows = [(*pair, _made(v, ids, pair)) for pair in map(tuple, pairs.tolist())]
    return np.array(rows, np.uint32).reshape(-1, 3)


def _made(v: Vocabulary, ids: dict[bytes, int], pair: tuple[int, ...]) -> int:
    joined = v.tokens[pair[0]] + v.tokens[pair[1]]
    if joined not in ids:
        raise refuse(f"no token has the bytes {joined!r} of a merge", "vocabulary.tokens")
    return ids[joined]


def vocabulary_of(
    offsets: Words, octets: bytes, merges: Words | None, size: int, split: Any
) -> Vocabulary:
    """The vocabulary in checked sections."""
    starts = offsets.tolist()
    tokens = tuple(octets[a:b] for a, b in pairwise(starts))
    pairs = np.zeros((0, 2), np.int32) if merges is None else merges[:, :2].astype(np.int32)
    return Vocabulary(tokens, pairs, size, split)
