"""Text to token ids and back, and token files written without holding the text in memory."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import ToolError, refuse
from crystalc.language import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 1 << 20  # characters of text in memory at a time
LEARN = 64 << 20  # characters that an own vocabulary is learned from
SMALLEST = 256  # tokens: every byte is one
Ids = NDArray[np.int64]


def bytes_of(piece: str) -> bytes:
    """The bytes that a byte-level piece stands for. Raises KeyError on another alphabet."""
    return bytes(_BYTE[c] for c in piece)


def piece_of(token: bytes) -> str:
    """The piece of these bytes in the byte-level alphabet."""
    return "".join(_CHARACTER[b] for b in token)


def _alphabet() -> dict[int, str]:
    """Byte -> character: printable Latin-1 stands for itself, the rest for U+0100 onwards."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


_CHARACTER = _alphabet()
_BYTE = {c: b for b, c in _CHARACTER.items()}


def read_chunks(path: Path, size: int = CHUNK) -> Iterator[str]:
    """The text in pieces that begin with white space, so that no token crosses their borders."""
    kept = ""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            while part := stream.read(size):
                kept += part
                cut = _border(kept)
                if cut:
                    yield kept[:cut]
                    kept = kept[cut:]
    except UnicodeDecodeError as error:
        raise refuse(f"{path} is not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from None
    if kept:
        yield kept


def _border(text: str) -> int:
    """The last place where white space follows something else; 0 if there is none."""
    for at in range(len(text) - 1, 0, -1):
        if text[at].isspace() and not text[at - 1].isspace():
            return at
    return 0


def characters(path: Path) -> Vocabulary:
    """One token for each distinct character of the text, in code point order."""
    found: set[str] = set()
    for chunk in read_chunks(path):
        found.update(chunk)
    if not found:
        raise refuse(f"{path} is empty")
    tokens = tuple(c.encode() for c in sorted(found))
    return Vocabulary(tokens, np.zeros((0, 2), np.int32), len(tokens), "chars")


def learn(path: Path, size: int) -> Vocabulary:
    """Byte-level BPE of at most ``size`` tokens, learned from the head of the text."""
    if size < SMALLEST:
        raise refuse(f"a byte-level vocabulary has at least {SMALLEST} tokens, not {size}")
    _need_tokenizers()
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=sorted(alphabet)
    )
    tokenizer.train_from_iterator(_head(path), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return from_pieces(model["vocab"], [tuple(pair) for pair in model["merges"]])


def _head(path: Path) -> Iterator[str]:
    left = LEARN
    for chunk in read_chunks(path):
        if left <= 0:
            return
        left -= len(chunk)
        yield chunk


def gpt2(encoder: Path, merges: Path) -> Vocabulary:
    """GPT-2's own files: ``encoder`` JSON of piece -> id, ``merges`` a line for each pair."""
    try:
        pieces = json.loads(encoder.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise refuse(f"GPT-2's vocabulary cannot be read: {error}") from None
    kept = [line for line in lines if line and not line.startswith("#version")]
    pairs = [tuple(line.split(" ")) for line in kept]
    return from_pieces(pieces, pairs)


def from_pieces(pieces: Any, pairs: list[tuple[str, ...]]) -> Vocabulary:
    """A vocabulary from piece -> id and pairs of pieces, as tokenizers keep them."""
    try:
        ids = sorted(pieces.items(), key=lambda item: item[1])
        if [i for _, i in ids] != list(range(len(ids))):
            raise ValueError
        tokens = tuple(bytes_of(piece) for piece, _ in ids)
        merges = [(pieces[a], pieces[b]) for a, b in pairs]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise refuse("this is not a byte-level vocabulary: ids or pieces do not fit") from None
    return Vocabulary(tokens, np.array(merges, np.int32).reshape(-1, 2), len(tokens))


class Encoder:
    """Text <-> ids of one vocabulary. Raises CompileError on characters that it lacks."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._ids = {token: i for i, token in enumerate(vocabulary.tokens)}
        self._tokenizer = None if vocabulary.split == "chars" else _tokenizer(vocabulary)

    def encode(self, text: str) -> Ids:
        """[n] ids, all below ``vocabulary.size``."""
        if self._tokenizer is None:
            return self._characters(text)
        ids = np.array(self._tokenizer.encode(text).ids, np.int64)
        if len(ids) and ids.max() >= self.vocabulary.size:
            token = self.vocabulary.tokens[int(ids.max())]
            raise refuse(f"the pruned vocabulary has no token for {token!r}")
        return ids

    def _characters(self, text: str) -> Ids:
        try:
            return np.array([self._ids[c.encode()] for c in text], np.int64)
        except KeyError as error:
            character = error.args[0].decode()
            raise refuse(f"the vocabulary has no character {character!r}") from None

    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes of these tokens; one token can be a part of a UTF-8 character."""
        return b"".join(self.vocabulary.tokens[int(i)] for i in ids)


def _need_tokenizers() -> None:
    try:
        import tokenizers  # noqa: F401
    except ModuleNotFoundError:
        hint = "pip install tokenizers, or --chars"
        raise ToolError("the package tokenizers is missing", hint=hint) from None


def _tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    _need_tokenizers()
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = [piece_of(token) for token in vocabulary.tokens]
    pairs = [(pieces[a], pieces[b]) for a, b in vocabulary.merges.tolist()]
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def vocabulary_sha256(vocabulary: Vocabulary) -> str:
    """Of everything that decides which ids a text becomes."""
    sha = hashlib.sha256(f"{vocabulary.split} {vocabulary.size} ".encode())
    for token in vocabulary.tokens:
        sha.update(len(token).to_bytes(4, "little") + token)
    sha.update(vocabulary.merges.astype("<i4").tobytes())
    return sha.hexdigest()


def width_of(vocabulary: Vocabulary) -> int:
    """Bytes that a token takes in a file."""
    return 2 if vocabulary.size <= 1 << 16 else 4


def write_tokens(text: Path, target: Path, encoder: Encoder) -> None:
    """Encode the file ``text`` into ``target``, a chunk at a time; a whole file or none."""
    kind = f"<u{width_of(encoder.vocabulary)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    except OSError as error:
        raise refuse(f"cannot write {target}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            for chunk in read_chunks(text):
                stream.write(encoder.encode(chunk).astype(kind).tobytes())
        os.replace(name, target)
    except OSError as error:
        raise refuse(f"cannot write {target}: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)
