"""Tokens for a version 2 file, which knows at most their numbers in another vocabulary."""

from __future__ import annotations

import numpy as np

from crystalc.container import Info
from crystalc.diagnostics import refuse
from crystalc.language import LanguageModel, Vocabulary
from crystalc.passes.prune_vocab import prune_tokens


def with_tokens(model: LanguageModel, info: Info, words: Vocabulary | None) -> LanguageModel:
    """``model`` with ``words``, cut down to the file's own ids where it was pruned.

    Raises CompileError where the two do not fit.
    """
    if words is None:
        raise refuse("the model to take tokens from has none", "vocabulary")
    if info.ids is not None and words.size > model.config.vocabulary:
        if info.ids[-1] >= words.size:
            raise refuse(f"id {info.ids[-1]} is beyond the {words.size} tokens", "vocabulary")
        words = prune_tokens(words, info.ids.astype(np.int64))
    if words.size != model.config.vocabulary:
        text = f"{words.size} tokens for a model of {model.config.vocabulary}"
        raise refuse(text, "vocabulary")
    return LanguageModel(model.config, model.tensors, words, model.metadata, model.source)
