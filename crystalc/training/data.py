"""The data sets by name: digits (in scikit-learn), MNIST, Letter and NSL-KDD from files."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.training.dataset import Dataset, Floats, Part, split_off
from crystalc.training.mnist import load_mnist_arrays

Arrays = dict[str, NDArray[Any]]
VALIDATION = 0.1  # share of the official training part; digits: see below


def load(name: str, path: Path | None = None, seed: int = 0, pool: int = 2) -> Dataset:
    """The data set ``name``; ``seed`` draws the split, ``pool`` averages MNIST's pixels.

    Raises CompileError for an unknown name and for a missing or malformed file.
    """
    loaders: dict[str, Callable[[], Dataset]] = {
        "digits": lambda: digits(seed),
        "mnist": lambda: mnist(path, seed, pool),
        "letter": lambda: letter(path, seed),
        "nsl-kdd": lambda: nsl_kdd(path, seed),
    }
    if name not in loaders:
        raise refuse(f"unknown data set {name}", hint=f"one of {', '.join(loaders)}")
    return loaders[name]()


def digits(seed: int = 0) -> Dataset:
    """scikit-learn's 1797 real 8x8 digits, pixels / 16: 20 % test, 12 % validation, stratified."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise refuse("digits needs scikit-learn", hint="pip install crystalc[train]") from None
    x, y = load_digits(return_X_y=True)
    everything = Part((x / 16).astype(np.float32), y.astype(np.int64))
    rest, test = split_off(everything, 0.2, seed)
    train, validation = split_off(rest, 0.15, seed + 1)
    return Dataset("digits", 10, train, validation, test, digest(x, y), "8x8 pixels / 16")


def mnist(path: Path | None, seed: int = 0, pool: int = 2) -> Dataset:
    """MNIST 60k / 10k, pixels / 255, averaged over ``pool`` x ``pool`` squares."""
    if pool not in (1, 2, 4, 7):
        raise refuse(f"pool must be 1, 2, 4 or 7, not {pool}")
    raw = load_mnist_arrays(path)
    side = 28 // pool

    def flat(images: NDArray[Any]) -> Floats:
        squares = images.reshape(-1, side, pool, side, pool).mean(axis=(2, 4), dtype=np.float32)
        return (squares / np.float32(255)).reshape(len(images), -1)

    return _official("mnist", raw, flat, 10, seed, f"{side}x{side} mean-pooled pixels / 255")


def letter(path: Path | None, seed: int = 0) -> Dataset:
    """UCI Letter Recognition: 16 features 0..15, divided by 15; first 16,000 rows train."""
    raw = read_npz("letter", path, (("x", 16), ("y", None)))
    return _official("letter", raw, lambda x: (x / 15).astype(np.float32), 26, seed, "features / 15")


def nsl_kdd(path: Path | None, seed: int = 0) -> Dataset:
    """NSL-KDD, attack or normal: categories one-hot, other columns log(1 + x) over train's top."""
    raw = read_npz("nsl-kdd", path, (("x", 41), ("attack", None)))
    raw["y_train"], raw["y_test"] = (raw[f"attack_{p}"] > 0 for p in ("train", "test"))
    coded = [i for i, name in enumerate(raw["columns"]) if f"cat_{name}" in raw]
    top = np.log1p(np.abs(raw["x_train"])).max(axis=0)

    def encode(x: NDArray[Any]) -> Floats:
        columns = [np.delete(np.log1p(np.abs(x)) / np.maximum(top, 1e-6), coded, axis=1)]
        for i in coded:
            columns.append(x[:, i : i + 1] == np.arange(len(raw[f"cat_{raw['columns'][i]}"])))
        return np.concatenate(columns, axis=1).astype(np.float32).clip(0, 1)

    return _official("nsl-kdd", raw, encode, 2, seed, "one-hot categories, log1p / max elsewhere")


def _official(
    name: str,
    raw: Arrays,
    encode: Callable[[NDArray[Any]], Floats],
    classes: int,
    seed: int,
    note: str,
) -> Dataset:
    """The official test part as it is; validation taken from the official training part."""
    sides = {p: Part(encode(raw[f"x_{p}"]), raw[f"y_{p}"].astype(np.int64)) for p in ("train", "test")}
    for side, part in sides.items():
        if not np.isfinite(part.x).all() or part.y.min() < 0 or part.y.max() >= classes:
            raise refuse(f"the {side} part of {name} holds values that are not in range")
    train, validation = split_off(sides["train"], VALIDATION, seed)
    sha = digest(*(raw[k] for k in sorted(raw) if k.startswith(("x_", "y_"))))
    return Dataset(name, classes, train, validation, sides["test"], sha, note)


def digest(*arrays: NDArray[Any]) -> str:
    """sha256 of the arrays' bytes, in order."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def read_npz(name: str, path: Path | None, wanted: tuple[tuple[str, int | None], ...]) -> Arrays:
    """Arrays of an .npz; for each (stem, width), STEM_train and STEM_test must be there and match."""
    if path is None:
        raise refuse(f"{name} is read from a file", hint=f"--data PATH to its .npz ({keys_of(wanted)})")
    try:
        with np.load(path, allow_pickle=False) as archive:
            raw = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise refuse(f"{path} cannot be read as an .npz file: {error}") from None
    for part in ("train", "test"):
        _check_part(name, path, raw, [(f"{stem}_{part}", width) for stem, width in wanted])
    return raw


def keys_of(wanted: tuple[tuple[str, int | None], ...]) -> str:
    """The names of the arrays that an .npz must hold."""
    return ", ".join(f"{stem}_{part}" for part in ("train", "test") for stem, _ in wanted)


def _check_part(name: str, path: Path, raw: Arrays, wanted: list[tuple[str, int | None]]) -> None:
    missing = [key for key, _ in wanted if key not in raw]
    if missing:
        raise refuse(f"{path} is not {name}: it lacks {', '.join(missing)}")
    for key, width in wanted:
        shape, rank = raw[key].shape, 1 if width is None else 2
        numeric = np.issubdtype(raw[key].dtype, np.number)
        if not numeric or len(shape) != rank or (width and shape[1] != width):
            raise refuse(f"{path} is not {name}: {key} has shape {list(shape)}, {raw[key].dtype}")
    if len({len(raw[key]) for key, _ in wanted}) > 1 or not len(raw[wanted[0][0]]):
        raise refuse(f"{path} is not {name}: its arrays differ in length or are empty")
