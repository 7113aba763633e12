"""Random language models as CUDA on the CPU's shim, each built once for a test run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from c_models import need
from runtime_library import Running, Sampler, running

from crystalc.container import write
from crystalc.container.extra import Extra
from crystalc.files import write_tree
from crystalc.language import LanguageModel
from crystalc_cuda.language import cuda_language_files
from crystalc_cuda.language_build import shim_library
from crystalc_cuda.language_entry import Draw, Plan
from crystalc_cuda.language_run import ShimModel
from tests.crystal_files import finer
from tests.language_models import random_model, tiny_config

PREFIX = "lm"
ORDERS = ("forward", "reverse", "random:3")
_KEPT = tempfile.TemporaryDirectory(prefix="crystalc-cuda-")

MODELS: dict[str, dict[str, Any]] = {
    "two blocks": {"dim": 24, "heads": 3, "context": 7, "neurons": (40, 21), "ffn": 35},
    "laplace": {
        **{"kernel": "laplace", "activation": None, "normalized": True},
        **{"vocabulary": 70, "dim": 20, "heads": 4, "context": 5, "neurons": (33,), "ffn": 0},
    },
    "l1": {
        **{"kernel": "gauss", "activation": None, "metric": "l1"},
        **{"dim": 40, "context": 6, "neurons": (17,), "ffn": 0},
    },
    "flat": {
        **{"kind": "flat_lm", "heads": 1, "activation": "relu"},
        **{"vocabulary": 600, "dim": 33, "context": 6, "neurons": (50, 9), "ffn": 20},
    },
    "more bits": {
        **{"vocabulary": 70, "dim": 36, "heads": 2, "context": 6},
        **{"neurons": (45, 20), "ffn": 70},
    },
    "more bits, normalized": {
        **{"kernel": "gauss", "activation": None, "normalized": True},
        **{"dim": 40, "heads": 2, "context": 5, "neurons": (33,), "ffn": 0},
    },
}


@cache
def container(name: str) -> bytes:
    """A model of this kind as q8."""
    seed = list(MODELS).index(name)
    model = random_model(tiny_config(**MODELS[name]), seed, biases=seed % 2 == 0)
    extra = _extra(model) if name.startswith("more bits") else Extra()
    return write(replace(model, vocabulary=None), "q8", panels=seed % 2 == 0, extra=extra)


def _extra(model: LanguageModel) -> Extra:
    """Four bits more for many rows of most matrices, sixteen for the values of the first field."""
    wide = {"blocks.0.field.values", *(["positions.weight"] if model.config.normalized else [])}
    plain = "attention.query.weight" if model.config.normalized else "attention.output.weight"
    rng = np.random.default_rng(3)
    fine = {
        key: np.flatnonzero(rng.random(len(model.tensors[key])) < 0.4)
        for key in finer(model, 0).fine
        if key not in wide and not key.endswith(plain)
    }
    return Extra(fine, frozenset(wide))


@cache
def emitted(name: str) -> Path:
    """Its artefact."""
    return written(container(name), name.replace(" ", "-"))


def written(file: bytes, name: str) -> Path:
    """The artefact of a file."""
    folder = Path(_KEPT.name) / name
    write_tree(folder, cuda_language_files(file, PREFIX, "a test"))
    return folder


def build(folder: Path, *flags: str) -> Path:
    """The library of an artefact."""
    need("gcc"), need("g++")
    output = folder / "model.so"
    shim_library(folder, PREFIX, output, *flags)
    return output


@cache
def library(name: str) -> Path:
    """The library of a model."""
    return build(emitted(name))


@contextmanager
def loaded(path: Path, order: str = "forward", plan: Plan | None = None) -> Iterator[ShimModel]:
    """A copy of a library whose threads run in this order."""
    before = os.environ.get("CRYSTAL_SHIM_ORDER")
    os.environ["CRYSTAL_SHIM_ORDER"] = order
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        copy = shutil.copy(path, Path(place) / "copy.so")
        try:
            model = ShimModel(copy, PREFIX, plan)
            yield model
            model.model.close()
        finally:
            os.environ.pop("CRYSTAL_SHIM_ORDER")
            if before is not None:
                os.environ["CRYSTAL_SHIM_ORDER"] = before


def changed(name: str, to: str, change: Callable[[str], str]) -> Path:
    """The artefact of a model with its kernels' source changed."""
    folder = Path(_KEPT.name) / to
    shutil.copytree(emitted(name), folder)
    source = folder / f"{PREFIX}_gpu.cu"
    text = source.read_text()
    assert change(text) != text
    source.write_text(change(text))
    return folder


def without_barrier(
    function: str, number: int = 0, barrier: str = "__syncthreads();"
) -> Callable[[str], str]:
    """Leaves out a barrier of a function."""

    def change(text: str) -> str:
        begin = re.search(rf"^.*\b{function}\(.*$", text, re.MULTILINE)
        assert begin
        at = begin.start()
        for _ in range(number + 1):
            at = text.index(barrier, at + 1)
        return text[:at] + text[at + len(barrier) :]

    return change


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of float32 are equal, the sign of zero included."""
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


def texts_agree(path: Path, order: str, *settings: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that has both kernels write a text, and ends with 0 where it is the C
    runtime's: what is wrong may crash.
    """
    here = os.pathsep.join(sys.path)
    given = dict(word.split("=", 1) for word in settings)
    environment = {**os.environ, "PYTHONPATH": here, "CRYSTAL_SHIM_ORDER": order, **given}
    command = [sys.executable, "-m", "crystalc_cuda.language_run", str(path), "texts", PREFIX]
    done = subprocess.run(
        [*command, "8", "1", "2", "3"], capture_output=True, text=True, env=environment
    )
    if done.returncode == 0:
        found = json.loads(done.stdout)
        done.returncode = int(any(text != found["runtime"] for text in found.values()))
    return done


def sampler(draw: Draw | None) -> Sampler:
    """The C runtime's."""
    if draw is None:
        return Sampler(0.0, 1.0, 0, 0)
    return Sampler(draw.temperature, draw.top_p, draw.top_k, draw.seed)


@contextmanager
def reference(name: str) -> Iterator[Running]:
    """The same file in the C runtime."""
    with running(container(name)) as model:
        yield model
