"""The C loader gives the verdict of the Python one on every file."""

from __future__ import annotations

import ctypes
import resource
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from runtime_library import load, running, runtime, small_program
from runtime_mutate import mutate, repair

from crystalc.container import verdict, write
from tests.crystal_files import CORPUS, GGUF
from tests.language_models import random_model, tiny_config

FOLDER = Path(__file__).parent.parent / "tests" / "crystal_corpus"
FILES = sorted(FOLDER.glob("*.crystal"))
OLD = 30


def c_verdict(data: bytes) -> int:
    code, handle, memory = load(data)
    assert bool(handle) == (code == 0)
    runtime().crystal_free(handle)
    del memory
    return code


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_verdict_on_the_corpus(path: Path) -> None:
    assert c_verdict(path.read_bytes()) == int(path.name[:2])


@pytest.mark.parametrize("path", sorted((FOLDER / "v2").glob("*.crystal")), ids=lambda p: p.stem)
def test_version_2_is_to_be_upgraded(path: Path) -> None:
    data = path.read_bytes()
    assert c_verdict(data) == int(verdict(data)[0]) == OLD


@pytest.mark.parametrize("bug", GGUF)
def test_no_gguf_bug(bug: str) -> None:
    """With less memory than the file claims to need, and whatever follows the file in memory."""
    data = (FOLDER / f"{GGUF[bug]}.crystal").read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert c_verdict(data) == int(GGUF[bug][:2])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10


def test_a_token_that_looks_like_a_byte_is_only_text() -> None:
    """lmstudio-bug-tracker 2289: the number in such a token was taken for an index."""
    with running((FOLDER / "00-gguf-byte-token.crystal").read_bytes()) as m:
        count = ctypes.c_int32()
        at = runtime().crystal_token(m.handle, 5, ctypes.byref(count))
        assert ctypes.string_at(at, count.value) == b"<0x-1>"


def test_verdict_on_mutated_files() -> None:
    """Checksums are put right again, so that the later checks are reached."""
    rng = np.random.default_rng(7)
    seeds = [make().bytes() for name, make in CORPUS.items() if name.startswith("00")]
    seen = set()
    for _ in range(1500):
        data = mutate(seeds[rng.integers(len(seeds))], rng)
        found = c_verdict(data)
        assert found == int(verdict(data)[0])
        seen.add(found)
    assert len(seen) > 12


def test_a_file_is_mapped_and_refused_with_a_sentence(tmp_path: Path) -> None:
    for name, content in {"a": b"CRYS", "b": b"GGUF" * 100}.items():
        (tmp_path / name).write_bytes(content)
        done = subprocess.run([small_program(), tmp_path / name, "x"], capture_output=True)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.count(b"\n") == 1 and done.stderr.startswith(b"error: ")
    for path in (tmp_path, tmp_path / "missing"):
        done = subprocess.run([small_program(), path, "x"], capture_output=True)
        assert done.returncode == 2 and b"cannot be read" in done.stderr


def test_memory_beside_the_file_is_bounded(tmp_path: Path) -> None:
    """The largest cache that a file may ask for, under a limit of address space."""
    config = tiny_config(context=65536, dim=64, heads=4, neurons=(4,), ffn=0)
    path = tmp_path / "large.crystal"
    path.write_bytes(write(random_model(config), "q8"))
    room = (64 << 20) + path.stat().st_size + (16 << 20)  # the process itself: libc, stack
    done = subprocess.run(
        [small_program(), path, "abc", "3"],
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room)),
    )
    assert done.returncode == 0, done.stderr


def relaid(data: bytes, change: dict[int, bytes]) -> bytes:
    """Sections in reverse order, the content of some kinds (of any length) changed, all sealed."""
    count = struct.unpack_from("<I", data, 12)[0]
    entries = [bytearray(data[192 + 64 * i : 256 + 64 * i]) for i in range(count)]
    table, body, start = b"", b"", 192 + 64 * count
    for entry in reversed(entries):
        (kind,), (offset, size) = (
            struct.unpack_from("<H", entry),
            struct.unpack_from("<QQ", entry, 32),
        )
        content = change.get(kind, data[offset : offset + size])
        struct.pack_into("<QQ", entry, 32, start + len(body), len(content))
        table, body = table + entry, body + content.ljust(-(-len(content) // 64) * 64, b"\0")
    out = bytearray(data[:192] + table + body)
    struct.pack_into("<Q", out, 16, len(out))
    repair(out, sections=True)
    return bytes(out)


def test_merges_before_their_tokens() -> None:
    """Merges are looked at first then, so offsets beyond the bytes have not been refused yet."""
    data = CORPUS["00-fine"]().bytes()
    assert c_verdict(relaid(data, {})) == 0
    for offsets in ((0, 1, 1 << 31, 3, 6, 8, 13, 15), (0, 1, 2, (1 << 32) - 1, 6, 8, 13, 15)):
        broken = relaid(data, {64: struct.pack("<8I", *offsets)})
        assert c_verdict(broken) == int(verdict(broken)[0]) == 27


@pytest.mark.parametrize(("value", "code"), [(2.0**20, 0), (2.0**21, 25), (2.0**-21, 25)])
def test_temperatures_of_gauss(value: float, code: int) -> None:
    config = tiny_config(kernel="gauss", activation=None, neurons=(5,))
    content = struct.pack("<5f", 1.0, -1.0, 1.0, 1.0, value)
    data = relaid(write(random_model(config), "f32"), {36: content})
    assert c_verdict(data) == int(verdict(data)[0]) == code
