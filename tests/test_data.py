"""Data sets: splits that never mix, files that are refused in one sentence."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError
from crystalc.training import mnist as mnist_files
from crystalc.training.data import load
from crystalc.training.dataset import Part, split_off, stratified

SHARED = Path(__file__).parents[1].parent / "shared" / "data"


def images(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        f"{stem}_{part}": array
        for part in ("train", "test")
        for stem, array in (
            ("x", rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)),
            ("y", (np.arange(count) % 10).astype(np.uint8)),
        )
    }


def write_idx(folder: Path, arrays: dict[str, np.ndarray], packed: bool = True) -> None:
    for key, name in mnist_files.FILES.items():
        array = arrays[key]
        content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content += array.tobytes()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def test_digits_parts_are_disjoint_and_stratified() -> None:
    data = load("digits", seed=3)
    parts = (data.train, data.validation, data.test)
    assert sum(map(len, parts)) == 1797 and data.inputs == 64 and data.classes == 10
    for part in parts:
        shares = np.bincount(part.y, minlength=10) / len(part)
        assert np.abs(shares - 0.1).max() < 0.015
        assert part.x.dtype == np.float32 and part.x.min() >= 0 and part.x.max() <= 1


def test_splits_cover_everything_once() -> None:
    y = np.repeat(np.arange(5), 20)
    rest, part = stratified(y, 0.25, seed=1)
    assert len(part) == 25 and np.array_equal(np.sort(np.concatenate([rest, part])), np.arange(100))
    again = stratified(y, 0.25, seed=1)[1]
    other = stratified(y, 0.25, seed=2)[1]
    assert np.array_equal(part, again) and not np.array_equal(part, other)
    x = np.arange(100, dtype=np.float32)[:, None]
    left, taken = split_off(Part(x, y), 0.25, seed=1)
    assert not set(left.x[:, 0]) & set(taken.x[:, 0])


def test_the_seed_draws_the_split() -> None:
    first, again, other = (load("digits", seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)
    assert first.sha256 == other.sha256


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_from_idx_files_equals_npz(tmp_path: Path, packed: bool) -> None:
    arrays = images(60)
    write_idx(tmp_path, arrays, packed)
    np.savez(tmp_path / "mnist.npz", **arrays)
    a, b = load("mnist", tmp_path), load("mnist", tmp_path / "mnist.npz")
    assert a.sha256 == b.sha256 and np.array_equal(a.test.x, b.test.x)
    assert a.inputs == 196 and load("mnist", tmp_path, pool=1).inputs == 784
    expected = arrays["x_test"][0, :2, :2].mean() / 255
    assert np.isclose(a.test.x[0, 0], expected)
    assert np.array_equal(a.test.y, arrays["y_test"]) and len(a.train) + len(a.validation) == 60


def test_mnist_folder_faults(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="has no train-images-idx3-ubyte"):
        load("mnist", tmp_path)
    write_idx(tmp_path, images(20))
    labels = tmp_path / f"{mnist_files.FILES['y_train']}.gz"
    good = gzip.decompress(labels.read_bytes())
    for content, words in (
        (gzip.compress(good[:-1]), "not what its header says"),
        (gzip.compress(b"hello"), "not an IDX file"),
        (b"hello", "cannot be read"),
        (gzip.compress(good)[:-9], "cannot be read"),
    ):
        labels.write_bytes(content)
        with pytest.raises(CompileError, match=words):
            load("mnist", tmp_path)


def test_mnist_parts_must_match(tmp_path: Path) -> None:
    write_idx(tmp_path, {**images(20), "y_test": np.zeros(19, np.uint8)})
    with pytest.raises(CompileError, match="differ in length"):
        load("mnist", tmp_path)


def test_a_wrong_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_idx(source, images(20))
    monkeypatch.setattr(mnist_files, "SOURCES", (f"{source.as_uri()}/",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(CompileError, match=r"could not be downloaded \(its checksum is wrong\)"):
        load("mnist")
    assert not list((tmp_path / "cache").rglob("*ubyte*"))


def test_a_right_download_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, arrays = tmp_path / "source", images(20)
    source.mkdir()
    write_idx(source, arrays)
    sums = {
        key: mnist_files.hashlib.sha256(
            gzip.decompress((source / f"{name}.gz").read_bytes())
        ).hexdigest()
        for key, name in mnist_files.FILES.items()
    }
    monkeypatch.setattr(mnist_files, "SHA256", sums)
    monkeypatch.setattr(mnist_files, "SOURCES", (f"{source.as_uri()}/",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert np.array_equal(load("mnist").test.y, arrays["y_test"])
    monkeypatch.setattr(mnist_files, "SOURCES", ())
    assert load("mnist").inputs == 196


def letters(count: int = 52) -> dict[str, np.ndarray]:
    y = (np.arange(count) % 26).astype(np.uint8)
    x = np.random.default_rng(0).integers(0, 16, (count, 16)).astype(np.uint8)
    return {"x_train": x, "y_train": y, "x_test": x[:26], "y_test": y[:26]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_test": None}, "it lacks x_test"),
        ({"x_train": np.zeros((52, 17), np.uint8)}, r"x_train has shape \[52, 17\], uint8"),
        ({"y_train": np.zeros(51, np.uint8)}, "differ in length"),
        ({"y_train": np.full(52, 26, np.uint8)}, "not in range"),
        ({"y_train": np.array(["a"] * 52)}, "y_train has shape"),
        ({"x_train": np.full((52, 16), np.nan)}, "not in range"),
    ],
)
def test_letter_faults(tmp_path: Path, change: dict[str, np.ndarray | None], words: str) -> None:
    arrays = {k: v for k, v in {**letters(), **change}.items() if v is not None}
    np.savez(tmp_path / "letter.npz", **arrays)
    with pytest.raises(CompileError, match=words) as caught:
        load("letter", tmp_path / "letter.npz")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    with pytest.raises(CompileError, match="cannot be read as an"):
        load("letter", file)
    for content in (b"", b"hello", b"PK\x03\x04hello"):
        file.write_bytes(content)
        with pytest.raises(CompileError, match="cannot be read as an"):
            load("letter", file)
    np.savez(file, **{**letters(), "x_train": np.array([{}], dtype=object)})
    with pytest.raises(CompileError, match="cannot be read as an"):
        load("letter", file)
    with pytest.raises(CompileError, match="cannot be read as an"):
        load("letter", tmp_path)


def test_letter_and_kdd_say_that_they_need_a_file() -> None:
    for name in ("letter", "nsl-kdd"):
        with pytest.raises(CompileError, match="read from a file") as caught:
            load(name)
        assert "--data PATH" in caught.value.diagnostics[0].hint
    with pytest.raises(CompileError, match="unknown data set"):
        load("latter")


@pytest.mark.skipif(not SHARED.is_dir(), reason="data: no shared data folder beside the checkout")
def test_the_real_files() -> None:
    letter = load("letter", SHARED / "letter.npz")
    assert (len(letter.train) + len(letter.validation), len(letter.test)) == (16000, 4000)
    kdd = load("nsl-kdd", SHARED / "nsl_kdd.npz")
    assert kdd.inputs == 38 + 3 + 67 + 11 and kdd.classes == 2 and len(kdd.test) == 22544
    assert float((kdd.test.y == 0).sum()) == 9711
