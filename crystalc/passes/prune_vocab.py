"""Leave out the tokens that a text does not use: rows of embedding and head, merges.

On the text the outcome is the same tokens and, up to the logits that are gone, the same model:
encoding a word only ever merges parts of its tokens, and of those every merge is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container.write import PRUNED
from crystalc.diagnostics import refuse
from crystalc.language import LanguageModel, Vocabulary

Array = NDArray[Any]
ROWS = ("tokens.weight", "head.weight", "head.bias")


@dataclass(frozen=True)
class Unknown:
    """How much of a text a pruned vocabulary cannot say: ``missing`` of ``tokens``."""

    tokens: int
    missing: int
    kinds: int

    @property
    def share(self) -> float:
        """Share of the text's tokens that are not in the vocabulary."""
        return self.missing / self.tokens if self.tokens else 0.0

    def __str__(self) -> str:
        text = f"{self.missing} of {self.tokens} tokens ({self.share:.2%}, {self.kinds} distinct)"
        return f"{text} are not in the vocabulary"


def prune_vocab(model: LanguageModel, ids: Array, keep: Iterable[int] = ()) -> LanguageModel:
    """``model`` with exactly the tokens in ``ids`` and in ``keep`` (end of text, say).

    New ids ascend as the old ones did; ``kept`` gives the old id of each. Raises CompileError
    for ids that the model does not have.
    """
    rows = kept(ids, keep)
    c = model.config
    if not rows.size or rows[0] < 0 or rows[-1] >= c.vocabulary:
        raise refuse(f"the text to prune for has no token, or some beyond {c.vocabulary}")
    tensors = {k: v[rows] if k in ROWS else v for k, v in model.tensors.items()}
    v = model.vocabulary
    old = model.metadata.get(PRUNED, c.vocabulary)
    return replace(
        model,
        config=replace(c, vocabulary=len(rows)),
        tensors=tensors,
        vocabulary=None if v is None else prune_tokens(v, rows),
        metadata={**model.metadata, PRUNED: old},
    )


def kept(ids: Array, keep: Iterable[int] = ()) -> Array:
    """int64 [V'] ascending: the old id of each token that stays."""
    extra = np.fromiter(keep, np.int64)
    return np.unique(np.concatenate([np.asarray(ids, np.int64).ravel(), extra]))


def unknown(rows: Array, ids: Array) -> Unknown:
    """How many of ``ids`` (old ones) are not among ``rows``."""
    missing = np.asarray(ids)[~np.isin(ids, rows)]
    return Unknown(len(ids), len(missing), len(np.unique(missing)))


def renumber(rows: Array, ids: Array) -> Array:
    """Old ids, all of them kept, as new ones."""
    return np.searchsorted(rows, ids)


def prune_tokens(v: Vocabulary, rows: Array) -> Vocabulary:
    """The vocabulary of the tokens ``rows`` (ascending), with the pieces their merges need."""
    lowest: dict[bytes, int] = {}
    for number, token in enumerate(v.tokens):
        lowest.setdefault(token, number)
    pairs: list[tuple[int, int]] = [(a, b) for a, b in v.merges.tolist()]
    made = [lowest[v.tokens[a] + v.tokens[b]] for a, b in pairs]
    needed = _with_parts(rows.tolist(), pairs, made)
    pieces = sorted(needed - set(rows.tolist()))
    order = [*rows.tolist(), *pieces]
    new = {old: number for number, old in enumerate(order)}
    merges = [(new[a], new[b]) for (a, b), m in zip(pairs, made, strict=True) if m in needed]
    tokens = tuple(v.tokens[old] for old in order)
    return Vocabulary(tokens, np.array(merges, np.int32).reshape(-1, 2), len(rows), v.split)


def _with_parts(rows: list[int], pairs: list[tuple[int, int]], made: list[int]) -> set[int]:
    """``rows`` and every token that some chain of merges to one of them starts from."""
    parts: Mapping[int, list[tuple[int, int]]] = _by_result(pairs, made)
    needed: set[int] = set()
    left = list(rows)
    while left:
        token = left.pop()
        if token not in needed:
            needed.add(token)
            left += [half for pair in parts.get(token, ()) for half in pair]
    return needed


def _by_result(pairs: list[tuple[int, int]], made: list[int]) -> dict[int, list[tuple[int, int]]]:
    out: dict[int, list[tuple[int, int]]] = {}
    for pair, result in zip(pairs, made, strict=True):
        out.setdefault(result, []).append(pair)
    return out
