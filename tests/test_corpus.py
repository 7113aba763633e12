"""Where text comes from, and what of Python's own documentation counts as prose."""

from __future__ import annotations

import hashlib
import io
import platform
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from crystalc.diagnostics import CompileError
from crystalc.training import corpus

SENTENCE = "A sentence that is long enough to be taken for prose, and that ends in a stop."


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "crystalc" / "text"


def test_paragraphs_are_joined_and_told_once() -> None:
    wrapped = SENTENCE.replace("to be", "to\n   be")
    assert list(corpus.paragraphs([f"Title\n*****\n\n{wrapped}\n\n{SENTENCE}", SENTENCE])) == [
        SENTENCE
    ]


@pytest.mark.parametrize(
    "block",
    [
        "Too short.",
        SENTENCE.lower(),
        SENTENCE[:-1],
        f"Then expr ::= term. {SENTENCE}",
        f">>> run. {SENTENCE}",
        "Name        what it is for and why\nOther       the same again, in another place.",
        "X = {[*]} + {[*]} - <<%>> = {[*]} + {[*]} - <<%>> = {[*]} + {[*]} - <<%>>.",
    ],
)
def test_what_is_no_prose(block: str) -> None:
    assert list(corpus.paragraphs([block])) == []


def test_docstrings_are_read_not_run() -> None:
    source = (
        '"""Of a module."""\nraise SystemExit\ndef f():\n    """Of f."""\nclass C:\n    "Of C."\n'
    )
    assert sorted(corpus.docstrings(source)) == ["Of C.", "Of a module.", "Of f."]


def test_the_default_is_english_and_says_which(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    texts = [SENTENCE, SENTENCE.replace("long", "more than long")]
    monkeypatch.setattr(corpus, "python_texts", lambda: iter(texts))
    found = corpus.open_corpus(None)
    content = found.path.read_bytes()
    assert content == ("\n\n".join(texts) + "\n").encode()
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert platform.python_version() in found.note
    assert corpus.open_corpus(None).path == found.path and found.path.parent == cache


def test_python_holds_enough_text() -> None:
    from pydoc_data import topics

    every = list(corpus.paragraphs(topics.topics.values()))
    assert sum(map(len, every)) > 100_000 and len(every) == len(set(every))


def test_a_file_is_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    found = corpus.open_corpus(tmp_path / "a.txt")
    assert (found.note, found.sha256) == ("a.txt", hashlib.sha256(b"text").hexdigest())
    with pytest.raises(CompileError, match=r"b\.txt cannot be read: No such file"):
        corpus.open_corpus(tmp_path / "b.txt")


def answer(monkeypatch: pytest.MonkeyPatch, content: bytes | OSError) -> list[str]:
    asked: list[str] = []

    def urlopen(url: str, **_: Any) -> io.BytesIO:
        asked.append(url)
        if isinstance(content, OSError):
            raise content
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_shakespeare_is_fetched_once(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(corpus, "SHAKESPEARE_SHA256", hashlib.sha256(b"To be").hexdigest())
    asked = answer(monkeypatch, b"To be")
    for _ in range(2):
        assert corpus.open_corpus(Path("shakespeare")).path.read_bytes() == b"To be"
    assert len(asked) == 1


def test_offline_is_one_sentence(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    answer(monkeypatch, urllib.error.URLError("no route"))
    with pytest.raises(CompileError, match=r"could not be downloaded \(no route\)"):
        corpus.open_corpus(Path("shakespeare"))


def test_another_text_is_not_kept(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    answer(monkeypatch, b"<html>")
    with pytest.raises(CompileError, match="checksum is wrong"):
        corpus.open_corpus(Path("shakespeare"))
    assert not list(cache.glob("*"))
