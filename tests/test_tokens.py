"""Vocabularies, text to ids and back, token files, windows, n-grams."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalc.diagnostics import CompileError, ToolError
from crystalc.language import Vocabulary
from crystalc.training import ngrams, tokens
from crystalc.training.tokens import Encoder
from crystalc.training.windows import STRIDE, TokenFile, Windows, whole

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="data: no shared data folder beside the checkout"
)
TEXT = (
    "The field is a sum.  It's 42 times\n\nthe field,\tand “fields” of fields are fields.\r\n" * 9
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8", newline="")
    return tokens.learn(path, 300)


def test_a_learned_vocabulary_merges_what_is_frequent(learned: Vocabulary) -> None:
    assert 256 < learned.size == len(learned.tokens) <= 300
    assert {b" field", b"The"} <= set(learned.tokens)
    assert {bytes([b]) for b in range(256)} <= set(learned.tokens)
    for a, b in learned.merges.tolist():
        assert learned.tokens[a] + learned.tokens[b] in learned.tokens
    assert len(Encoder(learned).encode(TEXT)) < len(TEXT) / 2


def test_the_same_text_gives_the_same_vocabulary(tmp_path: Path, learned: Vocabulary) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8", newline="")
    again = tokens.learn(tmp_path / "text.txt", 300)
    assert tokens.vocabulary_sha256(again) == tokens.vocabulary_sha256(learned)


def test_a_missing_package_is_named(
    tmp_path: Path, learned: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for work in (lambda: tokens.learn(tmp_path, 300), lambda: Encoder(learned)):
        with pytest.raises(ToolError, match="tokenizers is missing"):
            work()


@given(text=st.text(max_size=60))
@settings(max_examples=60)
def test_any_text_comes_back(learned: Vocabulary, text: str) -> None:
    encoder = Encoder(learned)
    assert encoder.decode(encoder.encode(text)) == text.encode()


@given(text=st.text(st.sampled_from("ab  \n\t.é'1"), max_size=80), size=st.integers(1, 9))
@settings(max_examples=100)
def test_chunks_change_no_token(
    learned: Vocabulary, tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    chunks, encoder = list(tokens.read_chunks(path, size)), Encoder(learned)
    assert "".join(chunks) == text
    ids = [i for chunk in chunks for i in encoder.encode(chunk).tolist()]
    assert ids == encoder.encode(text).tolist()


def test_a_token_file_holds_the_ids(tmp_path: Path, learned: Vocabulary) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8", newline="")
    encoder = Encoder(learned)
    tokens.write_tokens(tmp_path / "text.txt", tmp_path / "a" / "t.bin", encoder)
    file = TokenFile(tmp_path / "a" / "t.bin", tokens.width_of(learned))
    assert file.ids.tolist() == encoder.encode(TEXT).tolist()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["t.bin"]


def test_characters_are_tokens(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("häb\nba", encoding="utf-8")
    vocabulary = tokens.characters(tmp_path / "text.txt")
    assert vocabulary.tokens == (b"\n", b"a", b"b", b"h", "ä".encode())
    assert Encoder(vocabulary).encode("bah").tolist() == [2, 1, 3]
    with pytest.raises(CompileError, match="no character 'z'"):
        Encoder(vocabulary).encode("abz")


def test_a_pruned_vocabulary_refuses_what_it_lost(learned: Vocabulary) -> None:
    pruned = Vocabulary(learned.tokens, learned.merges, 256, learned.split)
    with pytest.raises(CompileError, match="the pruned vocabulary has no token for b' field'"):
        Encoder(pruned).encode("a field")


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff\xfea", "is not UTF-8 text"), (b"", "is empty")]
)
def test_texts_that_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(CompileError, match=words):
        tokens.characters(tmp_path / "text.txt")


def test_files_that_are_no_vocabulary(tmp_path: Path) -> None:
    for encoder, merges in (("{", ""), ('{"a": 1}', ""), ('{"a": 0}', "a b"), ("[]", "")):
        (tmp_path / "e.json").write_text(encoder)
        (tmp_path / "m.bpe").write_text(merges)
        with pytest.raises(CompileError, match="vocabulary"):
            tokens.gpt2(tmp_path / "e.json", tmp_path / "m.bpe")


@needs_data
def test_gpt2s_files_give_gpt2s_ids() -> None:
    vocabulary = tokens.gpt2(SHARED / "gpt2_encoder.json", SHARED / "gpt2_vocab.bpe")
    assert (vocabulary.size, len(vocabulary.merges)) == (50257, 50000)
    text = (SHARED / "tinyshakespeare.txt").read_text(encoding="utf-8")
    ids = np.load(SHARED / "tinyshakespeare_gpt2.npz")
    encoder = Encoder(vocabulary)
    assert np.array_equal(encoder.encode(text[int(0.9 * len(text)) :]), ids["val"])
    assert len(ids["vocab"]) == 11706
    assert (
        encoder.decode(ids["train"][:50]) == text.encode()[: len(encoder.decode(ids["train"][:50]))]
    )


def windows_of(folder: Path, count: int, **changes: object) -> Windows:
    path = folder / "t.bin"
    path.write_bytes(np.arange(count, dtype="<u2").tobytes())
    options = {"first": 10, "last": count - 7, "context": 8, "batch": 6, "order": "random"}
    return Windows(TokenFile(path, 2), **{**options, "seed": 3, **changes})  # type: ignore[arg-type]


def test_random_windows_stay_inside_and_reach_both_ends(tmp_path: Path) -> None:
    windows = windows_of(tmp_path, 45)
    found = np.concatenate([windows.chosen(step) for step in range(300)])
    assert (found.min(), found.max()) == (10, 45 - 7 - 8 - 1)
    x, y = windows.batch_of(5)
    assert x.shape == y.shape == (6, 8)
    assert (y == x + 1).all() and (x[:, 0].numpy() == windows.chosen(5)).all()


def test_an_epoch_of_overlapping_windows_sees_each_once(tmp_path: Path) -> None:
    windows = windows_of(tmp_path, 3000, order="stride", batch=7)
    count = windows.per_epoch
    assert count == (3000 - 7 - 10 - 8 - 1) // STRIDE + 1
    found = np.concatenate([windows.chosen(step) for step in range(2 * count)])
    epochs = [found[:count], found[count : 2 * count]]
    every = 10 + STRIDE * np.arange(count)
    assert all(np.array_equal(np.sort(epoch), every) for epoch in epochs)
    assert not np.array_equal(*epochs) and not np.array_equal(epochs[0], every)


@pytest.mark.parametrize("order", ["random", "stride"])
def test_processes_share_the_batch_of_one(tmp_path: Path, order: str) -> None:
    windows = windows_of(tmp_path, 900, order=order)
    parts = [windows.batch_of(4, rank, 3)[0].tolist() for rank in range(3)]
    shared = [row for part in parts for row in part]
    assert sorted(shared) == sorted(windows.batch_of(4)[0].tolist())


def test_validation_windows_cover_the_part_or_are_spread_over_it(tmp_path: Path) -> None:
    file = windows_of(tmp_path, 200).file
    assert whole(file, 20, 61, 10, 99).tolist() == [20, 30, 40, 50]
    spread = whole(file, 0, 200, 2, 5)
    assert len(spread) == 5 and spread[0] == 0 and spread[-1] == 196


RESIDENT = """
import resource, sys
from pathlib import Path
from crystalc.training.windows import TokenFile, Windows
file = TokenFile(Path(sys.argv[1]), 2)
windows = [Windows(file, 0, len(file), 64, 32, order, 0) for order in ("random", "stride")]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for step in range(400):
    for order in windows:
        order.batch_of(step)
print(len(file), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_billion_tokens_stay_on_disk(tmp_path: Path) -> None:
    with (tmp_path / "t.bin").open("wb") as stream:
        stream.truncate(2_000_000_000)  # a hole: no disk is used
    command = [sys.executable, "-c", RESIDENT, str(tmp_path / "t.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == 1_000_000_000 and grown < 64 << 10  # KiB


def test_entropies_of_a_text_that_one_can_count() -> None:
    text = np.array([0, 1, 0, 1, 0, 2, 0, 2], np.uint64)
    half = np.log(2)
    assert ngrams.entropy(text) == pytest.approx(0.5 * half + 0.5 * 2 * half)
    seven = 4 / 7 * half  # after 0 come 1, 1, 2, 2; after 1 and 2 comes 0
    assert ngrams.conditional_entropy(text[:-1], text[1:], 3) == pytest.approx(seven)


def test_witten_bell_by_hand() -> None:
    train, held = np.array([0, 1, 0, 1, 0, 0], np.uint16), np.array([0, 1, 2], np.uint16)
    lower = np.array([4.5, 2.5, 0.5]) / 7.5
    after_0 = (2 + 2 * lower[1]) / (3 + 2)  # 0 was followed by 1, 1, 0: two kinds
    after_1 = (0 + 1 * lower[2]) / (2 + 1)
    expected = -(np.log(after_0) + np.log(after_1)) / 2
    assert ngrams.witten_bell(train, held, 3) == pytest.approx(expected)


@needs_data
def test_what_counting_reaches_on_shakespeare() -> None:
    ids = np.load(SHARED / "tinyshakespeare_gpt2.npz")
    train, held = (
        np.searchsorted(ids["vocab"], ids[k]).astype(np.uint16) for k in ("train", "val")
    )
    found = asdict(ngrams.baselines(train, held, 11706))
    expected = {"unigram": 6.316, "bigram": 3.409, "phase": 2.198, "witten_bell": 5.032}
    assert {k: round(found[k], 3) for k in expected} == expected
