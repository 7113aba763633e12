"""From a corpus to a vocabulary and a mapped token file, with its two parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from crystalc.diagnostics import refuse
from crystalc.language import Vocabulary
from crystalc.training import tokens
from crystalc.training.corpus import Corpus, cache_folder
from crystalc.training.language.team import Team
from crystalc.training.windows import TokenFile

TRAINED = 0.9  # share of the tokens that is learned from; the rest, at the end, is validation


@dataclass(frozen=True)
class LanguageData:
    """Tokens 0 up to ``split`` train, the others validate. ``note`` says what the text is."""

    file: TokenFile
    split: int
    vocabulary: Vocabulary
    bytes_per_token: float
    sha256: str
    note: str

    @property
    def text_sha256(self) -> str:
        """Of what decides the token ids: text and vocabulary."""
        both = self.sha256 + tokens.vocabulary_sha256(self.vocabulary)
        return hashlib.sha256(both.encode()).hexdigest()


@dataclass(frozen=True)
class Wanted:
    """Which vocabulary: GPT-2's files, one token a character, or ``size`` learned tokens."""

    size: int = 1024
    characters: bool = False
    gpt2: tuple[Path, Path] | None = None


def vocabulary_for(corpus: Corpus, wanted: Wanted) -> Vocabulary:
    """Raises CompileError, and ToolError where the package that learns vocabularies is missing."""
    if wanted.characters and wanted.gpt2:
        raise refuse("--chars and --gpt2 exclude each other")
    if wanted.characters:
        return tokens.characters(corpus.path)
    if wanted.gpt2:
        return tokens.gpt2(*wanted.gpt2)
    return tokens.learn(corpus.path, wanted.size)


def prepare(corpus: Corpus, vocabulary: Vocabulary, team: Team, context: int) -> LanguageData:
    """Tokens of the corpus, from the cache or written into it by the process that leads.

    Raises CompileError where a part of the text is no longer than one window.
    """
    key = hashlib.sha256((corpus.sha256 + tokens.vocabulary_sha256(vocabulary)).encode())
    path = cache_folder() / f"tokens-{key.hexdigest()[:24]}.bin"
    if team.leads and not path.is_file():
        tokens.write_tokens(corpus.path, path, tokens.Encoder(vocabulary))
    team.wait()
    file = TokenFile(path, tokens.width_of(vocabulary))
    split = int(TRAINED * len(file))
    if min(split, len(file) - split) < 2 * context + 2:
        raise refuse(f"{corpus.note} has {len(file)} tokens: too few for windows of {context}")
    size = corpus.path.stat().st_size
    return LanguageData(file, split, vocabulary, size / len(file), corpus.sha256, corpus.note)
