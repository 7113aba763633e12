"""Text to learn from: a file, Tiny Shakespeare, or the English that comes with every Python."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import re
import sysconfig
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crystalc.diagnostics import refuse
from crystalc.files import write_atomic

SHAKESPEARE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
LARGEST = 64 << 20  # bytes of a download
PACKAGES = ("asyncio", "collections", "concurrent", "email", "http", "importlib", "json",
            "logging", "multiprocessing", "unittest", "urllib", "xml")  # fmt: skip
SHORTEST = 60  # characters of a paragraph
PROSE = 0.93  # least share of letters, spaces and plain punctuation in a paragraph


@dataclass(frozen=True)
class Corpus:
    """A UTF-8 text file. ``note`` says in a sentence what it is."""

    path: Path
    sha256: str
    note: str


def open_corpus(name: Path | None) -> Corpus:
    """The file ``name``; "shakespeare" is fetched; None is Python's own documentation."""
    if name is None:
        return python_corpus()
    if str(name) == "shakespeare" and not name.exists():
        return Corpus(download(), SHAKESPEARE_SHA256, "Tiny Shakespeare")
    return Corpus(name, file_sha256(name), name.name)


def file_sha256(path: Path) -> str:
    """Of a file of any size. Raises CompileError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from None


def cache_folder() -> Path:
    """Where texts and token files are kept: XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "crystalc" / "text"


def download() -> Path:
    """Tiny Shakespeare, fetched once and only kept if its checksum is right."""
    target = cache_folder() / "tinyshakespeare.txt"
    if target.is_file() and file_sha256(target) == SHAKESPEARE_SHA256:
        return target
    try:
        with urllib.request.urlopen(SHAKESPEARE, timeout=30) as answer:
            content: bytes = answer.read(LARGEST)
    except OSError as error:
        reason = getattr(error, "reason", error)
        hint = "--corpus PATH to a text file, or no --corpus for the one that needs no network"
        raise refuse(f"Tiny Shakespeare could not be downloaded ({reason})", hint=hint) from None
    if hashlib.sha256(content).hexdigest() != SHAKESPEARE_SHA256:
        raise refuse("what was downloaded is not Tiny Shakespeare: its checksum is wrong")
    write_atomic(target, content)
    return target


def python_corpus() -> Corpus:
    """The language reference and the standard library's docstrings, as prose paragraphs."""
    text = "\n\n".join(paragraphs(python_texts())) + "\n"
    content = text.encode()
    sha256 = hashlib.sha256(content).hexdigest()
    path = cache_folder() / f"python-{sha256[:16]}.txt"
    if not path.is_file() or file_sha256(path) != sha256:
        write_atomic(path, content)
    note = f"documentation of Python {platform.python_version()}, which other versions word anew"
    return Corpus(path, sha256, note)


def python_texts() -> Iterator[str]:
    """Every help topic, then every docstring of the library's modules, in order of name."""
    from pydoc_data import topics

    yield from (topics.topics[name] for name in sorted(topics.topics))
    library = Path(sysconfig.get_paths()["stdlib"])
    modules = [*library.glob("*.py"), *(m for p in PACKAGES for m in (library / p).rglob("*.py"))]
    for module in sorted(modules):
        if not module.name.startswith("_sysconfigdata"):  # differs from machine to machine
            yield from docstrings(module.read_text(encoding="utf-8"))


def docstrings(source: str) -> Iterator[str]:
    """Docstrings of a module, its classes and functions, in order; nothing is imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found = ast.get_docstring(node)
            if found:
                yield found


def paragraphs(texts: Iterable[str]) -> Iterator[str]:
    """Each paragraph of prose once, on one line: no tables, no grammar, no code, no titles."""
    seen: set[str] = set()
    for text in texts:
        for block in re.split(r"\n\s*\n", text):
            line = " ".join(block.split())
            if is_prose(block, line) and line not in seen:
                seen.add(line)
                yield line


def is_prose(block: str, line: str) -> bool:
    """Sentences: long enough, a capital first and a stop last, hardly a symbol, no wide gaps."""
    if len(line) < SHORTEST or not line[0].isupper() or line[-1] not in ".:!?":
        return False
    if "::=" in line or ">>>" in line or re.search(r"\S {3,}\S", block):
        return False
    plain = sum(c.isalpha() or c in " ,.;:'\"()-" for c in line)
    return plain >= PROSE * len(line)
