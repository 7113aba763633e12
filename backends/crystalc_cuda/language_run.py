"""A process of its own that asks an emitted language model on the CPU's shim.

    python -m crystalc_cuda.language_run LIBRARY logits PREFIX IDS.npy LOGITS.npy
    python -m crystalc_cuda.language_run LIBRARY texts PREFIX COUNT TOKEN...

The second prints JSON: greedy tokens of the kernels and of the C runtime in the same library.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc_cuda.language_entry import Draw, Model, Plan

Array = NDArray[Any]


class ShimModel:
    """The model of a library for the shim, where device memory is the host's: arrays in and out."""

    def __init__(self, library: str | Path, prefix: str, plan: Plan | None = None) -> None:
        self.model = Model(Path(library).resolve(), prefix, plan, "cpu")

    def score(self, ids: Array, targets: Array) -> tuple[Array, Array]:
        """Log probabilities [B, T] of targets [B, T], and logits [B, T, V]."""
        ids, targets = (np.ascontiguousarray(a, np.int32) for a in (ids, targets))
        found = np.full(ids.shape, np.nan, np.float32)
        logits = np.full((*ids.shape, self.model.vocabulary), np.nan, np.float32)
        room = self._room(len(ids))
        rows, count = ids.shape
        at, text, wanted = (a.ctypes.data for a in (room, ids, targets))
        out = found.ctypes.data, logits.ctypes.data
        self.model.score(at, text, wanted, rows, count, count, *out)
        return found, logits

    def generate(self, prompt: Array, count: int, draw: Draw | None = None) -> tuple[Array, Array]:
        """``count`` tokens after ``prompt``, and the logits [count, V] before each."""
        ids = np.concatenate([prompt, np.full(count, -1)]).astype(np.int32)
        logits = np.full((count, self.model.vocabulary), np.nan, np.float32)
        room = self._room(0)
        at, text = room.ctypes.data, ids.ctypes.data
        self.model.generate(at, text, len(prompt), count, draw, logits.ctypes.data)
        return ids[len(prompt) :], logits

    def generate_batch(self, prompts: list[Array], count: int) -> Array:
        """[B, count] greedy tokens after prompts of any lengths."""
        given = np.array([len(p) for p in prompts], np.int32)
        ids = np.full((len(prompts), int(given.max()) + count), -1, np.int32)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        room = self._room(len(prompts))
        at, text, lengths = (a.ctypes.data for a in (room, ids, given))
        self.model.generate_batch(at, text, lengths, *ids.shape, count)
        return np.array([row[n : n + count] for row, n in zip(ids, given, strict=True)])

    @staticmethod
    def runtime_text(library: str | Path, prefix: str, prompt: Array, count: int) -> list[int]:
        """What the C runtime in a library writes, greedily."""
        found, handle = ctypes.CDLL(str(library)), ctypes.c_void_p()
        names = ("embedded", "push", "logits", "sample", "free")
        call = {name: getattr(found, f"{prefix}_{name}") for name in names}
        call["logits"].restype = ctypes.c_void_p
        call["embedded"](ctypes.byref(handle))
        tokens = [int(t) for t in prompt]
        for token in tokens:
            call["push"](handle, token)
        for _ in range(count):
            how, logits = Draw(0.0, 1.0, 0, 0), ctypes.c_void_p(call["logits"](handle))
            tokens.append(int(call["sample"](handle, ctypes.byref(how), logits)))
            call["push"](handle, tokens[-1])
        call["free"](handle)
        return tokens[len(prompt) :]

    def _room(self, sequences: int) -> Array:
        return np.zeros(self.model.room(sequences), np.uint8)


def main(library: str, what: str, prefix: str, *words: str) -> None:
    """What the command line asks for."""
    model = ShimModel(library, prefix)
    if what == "logits":
        ids = np.load(words[0])
        np.save(words[1], model.score(ids, np.zeros_like(ids))[1])
        return
    count, prompt = int(words[0]), np.array([int(w) for w in words[1:]])
    texts = {
        "one": model.generate(prompt, count)[0].tolist(),
        "many": model.generate_batch([prompt], count)[0].tolist(),
        "runtime": ShimModel.runtime_text(Path(library).resolve(), prefix, prompt, count),
    }
    if model.model.plan.together:
        apart = ShimModel(library, prefix, Plan(1))
        texts["many, apart"] = apart.generate_batch([prompt], count)[0].tolist()
    print(json.dumps(texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
