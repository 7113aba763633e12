"""Pruned vocabularies: exactly the tokens of a text, and the merges that make them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystalc.container import PRUNED, read, write
from crystalc.diagnostics import CompileError
from crystalc.language import Vocabulary
from crystalc.passes.prune_vocab import kept, prune_tokens, prune_vocab, renumber, unknown
from tests.crystal_files import small
from tests.language_models import random_model, tiny_config, torch_logits

DATA = Path(__file__).parents[2] / "shared" / "data"
TOKENS = [b"l", b"o", b"w", b"e", b"r", b"lo", b"low", b"er", b"lower", b"we", b"<end>"]
MERGES = [(0, 1), (5, 2), (3, 4), (6, 7), (2, 3)]


def vocabulary() -> Vocabulary:
    return Vocabulary(tuple(TOKENS), np.array(MERGES, np.int32), len(TOKENS))


def test_pieces_are_kept_for_their_merges() -> None:
    pruned = prune_tokens(vocabulary(), np.array([3, 8]))
    assert pruned.size == 2
    assert pruned.tokens == (b"e", b"lower", b"l", b"o", b"w", b"r", b"lo", b"low", b"er")
    made = [pruned.tokens[a] + pruned.tokens[b] for a, b in pruned.merges.tolist()]
    assert made == [b"lo", b"low", b"er", b"lower"]  # in order of rank, without "we"


def test_end_of_text_stays_only_when_asked_for() -> None:
    assert b"<end>" not in prune_tokens(vocabulary(), kept(np.array([8]))).tokens
    assert prune_tokens(vocabulary(), kept(np.array([8]), [10])).tokens[1] == b"<end>"


def test_the_rows_that_are_left_are_the_same_model() -> None:
    model = random_model(tiny_config())
    model = replace(model, vocabulary=None)
    ids = np.array([[3, 9, 9, 22, 3]])
    rows = kept(ids)
    pruned = prune_vocab(model, ids)
    assert pruned.config.vocabulary == 3
    assert pruned.metadata[PRUNED] == 23
    assert rows.tolist() == [3, 9, 22]
    before = torch_logits(model, ids)[..., rows]
    assert np.allclose(torch_logits(pruned, renumber(rows, ids)), before, rtol=1e-12)


def test_pruning_twice_remembers_the_first_size() -> None:
    once = prune_vocab(random_model(tiny_config()), np.array([1, 2, 3]))
    assert prune_vocab(once, np.array([0, 2])).metadata[PRUNED] == 23


def test_a_pruned_model_is_written_and_read() -> None:
    pruned = prune_vocab(small(), np.array([3, 1]))
    back, info = read(write(pruned, "q8"))
    assert info.pruned and back.config.vocabulary == 2
    assert back.vocabulary is not None
    assert back.vocabulary.tokens == (b"b", b"abc", b"a", b"c", b"bc")


def test_unknown_tokens_are_counted() -> None:
    found = unknown(np.array([1, 2]), np.array([1, 5, 5, 7]))
    assert (found.tokens, found.missing, found.kinds, found.share) == (4, 3, 2, 0.75)


@pytest.mark.parametrize("ids", [[], [23], [-1]])
def test_ids_beyond_the_model_are_refused(ids: list[int]) -> None:
    with pytest.raises(CompileError, match="no token, or some beyond 23"):
        prune_vocab(random_model(tiny_config()), np.array(ids, np.int64))


def gpt2() -> Vocabulary:
    """GPT-2's vocabulary from its two files."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + k): b for k, b in enumerate(others)}
    ids = json.loads((DATA / "gpt2_encoder.json").read_text(encoding="utf-8"))
    tokens = [t.encode() if t.startswith("<|") else bytes(byte_of[c] for c in t) for t in ids]
    lines = (DATA / "gpt2_vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    merges = [[ids[half] for half in line.split()] for line in lines if line]
    assert list(ids.values()) == list(range(len(ids)))
    return Vocabulary(tuple(tokens), np.array(merges, np.int32), len(tokens))


def test_tiny_shakespeare_leaves_11706_of_50257() -> None:
    if not DATA.is_dir():
        pytest.skip("data: no shared data folder beside the checkout")
    parts = np.load(DATA / "tinyshakespeare_gpt2.npz")
    rows = kept(np.concatenate([parts["train"], parts["val"]]))
    full = gpt2()
    pruned = prune_tokens(full, rows)
    assert (len(full.tokens), pruned.size) == (50257, 11706)
    assert np.array_equal(rows, parts["vocab"])
    assert (len(pruned.tokens), len(pruned.merges)) == (13065, 13000)
    held = unknown(kept(parts["train"]), parts["val"])
    assert (held.tokens, held.missing) == (
        36059,
        int((~np.isin(parts["val"], parts["train"])).sum()),
    )
