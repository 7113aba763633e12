"""The C runtime of language models through ctypes, built once for a test run."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from c_models import need
from numpy.typing import NDArray

from crystalc_c.runtime import library, program

LAYERS = ("scalar", "avx2", "avx512", "neon")
_KEPT = tempfile.TemporaryDirectory(prefix="crystalc-runtime-")


class Sampler(ctypes.Structure):
    """crystal_sampler."""

    _fields_ = (
        ("temperature", ctypes.c_float),
        ("top_p", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("state", ctypes.c_uint64),
    )


class Stream(ctypes.Structure):
    """crystal_stream."""

    _fields_ = (("bytes", ctypes.c_char * 4), ("held", ctypes.c_int32))


@cache
def runtime() -> Any:
    """The library."""
    path = library(Path(_KEPT.name) / "libcrystal.so", need("gcc"))
    found = ctypes.CDLL(str(path))
    found.crystal_logits.restype = ctypes.POINTER(ctypes.c_float)
    found.crystal_log_probability.restype = ctypes.c_double
    found.crystal_encode.restype = ctypes.c_int64
    found.crystal_decode.restype = ctypes.c_size_t
    found.crystal_layer.restype = ctypes.c_char_p
    found.crystal_token.restype = ctypes.c_void_p
    found.crystal_verdict.restype = ctypes.c_char_p
    return found


@cache
def small_program() -> Path:
    """The command-line program as ``make runtime`` builds it."""
    return program(Path(_KEPT.name) / "crystal_runtime", need("gcc"))


class Running:
    """A loaded model."""

    def __init__(self, handle: ctypes.c_void_p, vocabulary: int) -> None:
        self.handle, self.vocabulary = handle, vocabulary

    def use(self, layer: str) -> bool:
        """Whether this machine has the layer."""
        return bool(runtime().crystal_use(self.handle, layer.encode()))

    def layers(self) -> Iterator[str]:
        """Every layer of this machine, taken in turn."""
        return (layer for layer in LAYERS if self.use(layer))

    def logits(self, ids: Iterable[int]) -> NDArray[np.float32]:
        """[T, V] after each token from an empty context on."""
        runtime().crystal_reset(self.handle)
        rows = []
        for token in ids:
            runtime().crystal_push(self.handle, int(token))
            found = runtime().crystal_logits(self.handle)
            rows.append(np.ctypeslib.as_array(found, (self.vocabulary,)).copy())
        return np.array(rows)

    def generate(self, prompt: Iterable[int], count: int, sampler: Sampler) -> list[int]:
        """``count`` ids after ``prompt``."""
        runtime().crystal_reset(self.handle)
        for token in prompt:
            runtime().crystal_push(self.handle, int(token))
        out = []
        for _ in range(count):
            logits = runtime().crystal_logits(self.handle)
            out.append(runtime().crystal_sample(self.handle, ctypes.byref(sampler), logits))
            runtime().crystal_push(self.handle, out[-1])
        return out

    def sample(self, logits: NDArray[np.float32], sampler: Sampler) -> int:
        """One id."""
        room = np.zeros(-(-len(logits) // 64) * 64, np.float32)
        room[: len(logits)] = logits
        at = ctypes.c_void_p(room.ctypes.data)
        return int(runtime().crystal_sample(self.handle, ctypes.byref(sampler), at))

    def encode(self, text: bytes) -> tuple[list[int], int]:
        """Ids, and how many bytes were dropped."""
        room = np.zeros(len(text) + 1, np.int32)
        dropped = ctypes.c_int64()
        at = ctypes.c_void_p(room.ctypes.data)
        size = ctypes.c_size_t(len(text))
        count = runtime().crystal_encode(self.handle, text, size, at, ctypes.byref(dropped))
        return room[:count].tolist(), dropped.value


def load(data: bytes) -> tuple[int, ctypes.c_void_p, Any]:
    """Verdict, model and the memory that it uses."""
    room = np.zeros(len(data) + 64, np.uint8)
    start = -room.ctypes.data % 64
    room[start : start + len(data)] = np.frombuffer(data, np.uint8)
    handle = ctypes.c_void_p()
    at = ctypes.c_void_p(room.ctypes.data + start)
    size = ctypes.c_size_t(len(data))
    return runtime().crystal_load(at, size, ctypes.byref(handle)), handle, room


@contextmanager
def running(data: bytes) -> Iterator[Running]:
    """The model in the bytes of a file that is fine."""
    verdict, handle, memory = load(data)
    assert verdict == 0, runtime().crystal_verdict(verdict).decode()
    try:
        yield Running(handle, runtime().crystal_vocabulary(handle))
    finally:
        runtime().crystal_free(handle)
        del memory
