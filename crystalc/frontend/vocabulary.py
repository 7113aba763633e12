"""The ``vocabulary`` entry of a language model's checkpoint, checked."""

from __future__ import annotations

from typing import get_args

import numpy as np

from crystalc.frontend import limits
from crystalc.frontend.tree import Array, Findings, Tree, Value, describe, nearest
from crystalc.language import Split, Vocabulary

KEYS = ("bytes", "lengths", "merges", "size", "split")


def read_vocabulary(value: Value, size: int, findings: Findings) -> Vocabulary | None:
    """The tokens of a model of ``size`` logits; None where the file has none, or on a finding."""
    if value is None:
        return None
    if not isinstance(value, dict):
        findings.add(f"{describe(value)}, not a dict", "vocabulary")
        return None
    before = len(findings.found)
    names = [f"vocabulary.{key}" for key in KEYS]
    findings.keys([f"vocabulary.{key}" for key in value], names, names)
    if len(findings.found) == before:
        _check_entries(value, size, findings)
    if len(findings.found) > before:
        return None
    found = _build(value)
    for message, key, index in faults(found):
        findings.add(message, f"vocabulary.{key}", index)
    return found


def _check_entries(value: Tree, size: int, findings: Findings) -> None:
    if value["size"] != size or isinstance(value["size"], bool):
        text = f"{describe(value['size'])} differs from config.vocabulary {size}"
        findings.add(text, "vocabulary.size")
    split = value["split"]
    if not isinstance(split, str) or split not in get_args(Split):
        hint = nearest(split if isinstance(split, str) else "", get_args(Split))
        findings.add(f"{describe(split)} is not a known split", "vocabulary.split", hint=hint)
    raw = _array(value, "bytes", np.uint8, 1, findings)
    lengths = _array(value, "lengths", np.int32, 1, findings)
    merges = _array(value, "merges", np.int32, 2, findings)
    if raw is None or lengths is None or merges is None:
        return
    _check_lengths(lengths, size, raw.size, findings)
    if merges.shape[1] != 2 or ((merges < 0) | (merges >= lengths.size)).any():
        findings.add("not pairs of token ids", "vocabulary.merges")


def _check_lengths(lengths: Array, size: int, available: int, findings: Findings) -> None:
    wrong = (lengths < 1) | (lengths > limits.TOKEN_BYTES)
    if not size <= lengths.size <= limits.TOKENS:
        text = f"{lengths.size} tokens, not {size} to {limits.TOKENS}"
        findings.add(text, "vocabulary.lengths")
    elif wrong.any():
        text = f"{lengths[wrong.argmax()]} is not from 1 to {limits.TOKEN_BYTES}"
        findings.add(text, "vocabulary.lengths", (int(wrong.argmax()),))
    elif int(lengths.sum(dtype=np.int64)) != available:
        findings.add(f"{available} bytes, the lengths add up to another", "vocabulary.bytes")


def _array(
    value: Tree, key: str, dtype: type[np.generic], rank: int, findings: Findings
) -> Array | None:
    array = value[key]
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == rank:
        return array
    text = f"{describe(array)}, not a {np.dtype(dtype).name} tensor of {rank} axes"
    findings.add(text, f"vocabulary.{key}")
    return None


def _build(value: Tree) -> Vocabulary:
    raw = bytes(np.asarray(value["bytes"]))
    ends = np.cumsum(np.asarray(value["lengths"], np.int64)).tolist()
    starts = [0, *ends[:-1]]
    tokens = tuple(raw[a:b] for a, b in zip(starts, ends, strict=True))
    split: Split = "gpt2" if value["split"] == "gpt2" else "chars"
    size = value["size"]
    assert isinstance(size, int)
    return Vocabulary(tokens, np.asarray(value["merges"]), size, split)


def faults(vocabulary: Vocabulary) -> list[tuple[str, str, tuple[int, ...]]]:
    """(message, key, index) of what no tokeniser could work with."""
    ids: dict[bytes, int] = {}
    for token, text in enumerate(vocabulary.tokens):
        if text in ids:
            return [(f"the same bytes as token {ids[text]}", "bytes", (token,))]
        ids[text] = token
    if vocabulary.split == "chars":
        return _character_faults(vocabulary)
    for rank, (a, b) in enumerate(vocabulary.merges.tolist()):
        if vocabulary.tokens[a] + vocabulary.tokens[b] not in ids:
            return [(f"tokens {a} and {b} joined are no token", "merges", (rank,))]
    return []


def _character_faults(vocabulary: Vocabulary) -> list[tuple[str, str, tuple[int, ...]]]:
    if len(vocabulary.merges):
        return [("split 'chars' has no merges", "merges", ())]
    for token, text in enumerate(vocabulary.tokens):
        if len(text.decode("utf-8", "replace")) != 1 or text == b"\xef\xbf\xbd":
            return [("not one character of UTF-8", "bytes", (token,))]
    return []
