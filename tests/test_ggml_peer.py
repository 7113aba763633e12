"""ggml beside the C runtime: a reason where it is absent, no time of wrong products."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import ggml_peer

MATRIX = np.random.default_rng(3).standard_normal((10, 40)).astype(np.float32)


def library(factor: float) -> Any:
    """A driver whose products of MATRIX are ``factor`` times the true ones."""

    def run(handle: Any, x: ctypes.c_void_p, y: ctypes.c_void_p) -> None:
        whole = ggml_peer._whole(MATRIX)
        rows, columns = whole.shape
        vector = np.ctypeslib.as_array(ctypes.cast(x, ctypes.POINTER(ctypes.c_float)), (columns,))
        out = np.ctypeslib.as_array(ctypes.cast(y, ctypes.POINTER(ctypes.c_float)), (rows,))
        out[:] = factor * (whole @ vector)

    return SimpleNamespace(ggml_driver_new=lambda *_: 1, ggml_driver_run=run)


def test_without_cmake_it_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ggml_peer.shutil, "which", lambda *_, **__: None)
    assert ggml_peer.chains(["q8_0"], [MATRIX]) == ({}, "not run: cmake is not installed")


def test_the_error_of_a_failed_build_is_told() -> None:
    with pytest.raises(ggml_peer.Absent, match=r"build: x\.c:1: error: no"):
        ggml_peer._call(["sh", "-c", "echo x.c:1: error: no; echo stop; exit 2"], "build")


def test_products_are_checked() -> None:
    right = ggml_peer.Chain(library(1.005), "q8_0", [MATRIX])
    assert 0.004 < right.error < 0.006
    with pytest.raises(ValueError, match="off"):
        ggml_peer.Chain(library(1.05), "q8_0", [MATRIX])


def test_matrices_are_padded_to_whole_groups() -> None:
    whole = ggml_peer._whole(MATRIX)
    assert whole.shape == (16, 64) and whole.sum() == pytest.approx(MATRIX.sum(), abs=1e-3)
