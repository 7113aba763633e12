"""One verdict for every file: the corpus that the C loader is held to as well.

``tests/crystal_corpus/CODE-NAME.crystal`` are version 3 files, ``tests/crystal_corpus/v2`` version
2 ones; the number is the verdict of ``docs/format.md``. ``--update-golden`` writes them anew.
"""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalc.container import MODES, Code, ContainerError, read, verdict
from crystalc.container.header import CRC_AT, checksum
from tests.crystal_files import CORPUS, GGUF, File, rich, with_extra
from tests.crystal_files_v2 import OLD_CORPUS, old_bytes

FOLDER = Path(__file__).parent / "crystal_corpus"
CASES = {f"{name}.crystal": lambda make=make: make().bytes() for name, make in CORPUS.items()}
CASES |= {f"v2/{name}.crystal": make for name, make in OLD_CORPUS.items()}
MARGIN = 64 << 20


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str, request: pytest.FixtureRequest) -> None:
    data, path = CASES[name](), FOLDER / name
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert path.read_bytes() == data, "the corpus differs; if this is meant: --update-golden"
    code, sentence = verdict(data)
    assert code == (Code.OLD if name.startswith("v2/") else int(path.name[:2])), sentence
    assert (code == Code.OK) == (sentence == "")


def test_the_folder_holds_nothing_else() -> None:
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.crystal")}
    assert found == set(CASES)


def test_every_code_of_the_checks_has_a_file() -> None:
    without = {Code.OLD, Code.IO, Code.NOMEM}
    assert {int(Path(name).name[:2]) for name in CASES} == set(Code) - without


@pytest.mark.parametrize("name", CASES)
def test_reading_says_what_is_wrong(name: str) -> None:
    code = int(Path(name).name[:2])
    if code == Code.OK:
        read(CASES[name]())
        return
    with pytest.raises(ContainerError) as caught:
        read(CASES[name]())
    assert caught.value.code == code


@pytest.mark.parametrize("bug", GGUF)
def test_no_gguf_bug(bug: str) -> None:
    data = CORPUS[GGUF[bug]]().bytes()
    tracemalloc.start()
    code, _ = verdict(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == int(GGUF[bug][:2])
    assert peak < 1 << 20


def test_a_token_that_looks_like_a_byte_is_only_text() -> None:
    model, _ = read(CORPUS["00-gguf-byte-token"]().bytes())
    assert model.vocabulary is not None
    assert model.vocabulary.tokens[5] == b"<0x-1>"


def test_what_is_skipped_changes_nothing() -> None:
    plain, _ = read(File.of().bytes())
    extra, info = read(with_extra(critical=False).bytes())
    assert len(info.entries) == len(File.of().entries) + 1
    assert all((plain.tensors[k] == v).all() for k, v in extra.tensors.items())
    assert extra.metadata == plain.metadata == {"seed": 1}


def test_metadata_that_is_no_object_is_left_aside() -> None:
    model, _ = read(CORPUS["00-metadata-not-json"]().bytes())
    assert model.metadata == {}


SEEDS = [File.of(rich(), mode).bytes() for mode in MODES] + [bytes(old_bytes(ids=True))]
EDGES = (0, 1, 2, 63, 64, 1 << 16, (1 << 20) + 1, 1 << 31, (1 << 32) - 1)


def judge(data: bytes) -> None:
    """A verdict, and not one byte of memory in proportion to what a damaged file claims."""
    tracemalloc.start()
    try:
        read(data)
    except ContainerError as error:
        assert error.code != Code.OK
        assert "\n" not in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MARGIN + len(data)


def sealed(data: bytearray) -> bytes:
    """A right header checksum, so that damage reaches the checks behind it."""
    length = struct.unpack_from("<I", data, 8)[0] if len(data) >= 192 else 0
    if 192 <= length <= len(data):
        struct.pack_into("<I", data, CRC_AT, checksum(bytes(data[:length])))
    return bytes(data)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(tail: bytes, magic: bool) -> None:
    judge(b"CRYS\3\0\0\0" + tail if magic else tail)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(SEEDS), st.data())
def test_flipped_bytes(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(8, len(seed) - 1))] = data.draw(st.integers(0, 255))
    judge(sealed(damaged))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SEEDS), st.data())
def test_numbers_on_the_edge(seed: bytes, data: st.DataObject) -> None:
    """Fields of header and table become numbers that overflow, wrap or divide by zero."""
    damaged = bytearray(seed)
    length = struct.unpack_from("<I", seed, 8)[0] if seed[4] == 3 else 64
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(2, length // 4 - 1)) * 4
        struct.pack_into("<I", damaged, at, data.draw(st.sampled_from(EDGES)))
    judge(sealed(damaged))


@settings(deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_cut_and_joined(seed: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(seed)))
    stop = data.draw(st.integers(start, len(seed)))
    judge(sealed(bytearray(seed[:start] + seed[stop:])))
    judge(sealed(bytearray(seed[:stop])))
