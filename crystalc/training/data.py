"""The data sets by name: digits (in scikit-learn), MNIST, Letter and NSL-KDD from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.training.dataset import Dataset, Floats, Part, split_off
from crystalc.training.files import Arrays, digest, read_npz
from crystalc.training.mnist import load_mnist_arrays

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

    def pixels(images: NDArray[Any]) -> Floats:
        squares = images.reshape(-1, side, pool, side, pool).mean(axis=(2, 4), dtype=np.float32)
        flat: Floats = (squares / np.float32(255)).reshape(len(images), -1)
        return flat

    return _official("mnist", raw, pixels, 10, seed, f"{side}x{side} mean-pooled pixels / 255")


def letter(path: Path | None, seed: int = 0) -> Dataset:
    """UCI Letter Recognition: 16 features 0..15, divided by 15; first 16,000 rows train."""
    raw = read_npz("letter", path, {"x": (16,), "y": ()})
    return _official(
        "letter", raw, lambda x: (x / 15).astype(np.float32), 26, seed, "features / 15"
    )


def nsl_kdd(path: Path | None, seed: int = 0) -> Dataset:
    """NSL-KDD, attack or normal: categories one-hot, other columns log(1 + x) over train's top."""
    raw = read_npz("nsl-kdd", path, {"x": (41,), "attack": ()})
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
    sides = {
        p: Part(encode(raw[f"x_{p}"]), raw[f"y_{p}"].astype(np.int64)) for p in ("train", "test")
    }
    for side, part in sides.items():
        if not np.isfinite(part.x).all() or part.y.min() < 0 or part.y.max() >= classes:
            raise refuse(f"the {side} part of {name} holds values that are not in range")
    train, validation = split_off(sides["train"], VALIDATION, seed)
    sha = digest(*(raw[k] for k in sorted(raw) if k.startswith(("x_", "y_"))))
    return Dataset(name, classes, train, validation, sides["test"], sha, note)
