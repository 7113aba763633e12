"""A language model as CUDA: the kernels with its sizes compiled in, around the C runtime.

The runtime (``crystalc_c.runtime``) checks the file, reads and writes text; what it has loaded goes
to the GPU. So there is one loader, one tokeniser and one file of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from crystalc.container import read
from crystalc.container.header import ACTIVATIONS, KERNELS
from crystalc.container.kinds import EMBEDDINGS, MATRICES, VALUES, Dtype, Part
from crystalc.container.table import Entry
from crystalc.diagnostics import refuse
from crystalc.language import LanguageConfig
from crystalc.render import block_comment, render, source
from crystalc_c.files import Files
from crystalc_c.runtime import MAIN, language_files

DEVICE = (
    *("numbers", "tiles", "shares", "distributed"),
    *("batch_products", "batch_parts", "batch_head", "batch"),
    *("exchange", "one_products", "one_parts", "sample", "one"),
)
"""Sources of the kernels in ``templates/cuda/language``, in the order in which they build on each
other."""
ENTRY = Path(__file__).parent / "language_entry.py"
SPAN = 1 << 16
"""Columns whose products an int32 holds: a matrix with more is none for these kernels."""


@dataclass(frozen=True)
class Context:
    """What ``language.cu.j2`` and ``language.h.j2`` read. Sizes, and texts of ours."""

    name: str
    upper: str
    header: Sequence[str]
    build: str
    vocabulary: int
    dim: int
    context: int
    heads: int
    blocks: int
    ffn: int
    neurons: str
    most_neurons: int
    kernel: int
    activation: int
    causal: str
    l1: str
    normalized: str
    fine: str
    wide: str
    epsilon: str
    platform: str
    device: str
    pack: str
    host: str


def cuda_language_files(container: bytes, prefix: str, header: str) -> Files:
    """PREFIX_gpu.cu and .h, an example, and the C runtime with ``container`` inside.

    ``container`` is q8. Raises CompileError for more inputs than the kernels add up.
    """
    model, info = read(container)
    _refuse_long_sums(model.config)
    weights = [e for e in info.entries if e.known and e.kind in MATRICES]
    context = _context(model.config, weights, prefix, header)
    files = dict(language_files(container, prefix, header))
    del files[PurePosixPath(MAIN)]
    files[PurePosixPath(f"{prefix}_gpu.cu")] = render("cuda/language.cu.j2", context)
    files[PurePosixPath(f"{prefix}_gpu.h")] = render("cuda/language.h.j2", context)
    files[PurePosixPath("example.cu")] = render("cuda/language_example.cu.j2", context)
    files[PurePosixPath(f"{prefix}.py")] = ENTRY.read_bytes()
    return files


def build_line(prefix: str) -> str:
    """How the files become a program, in their folder."""
    return f"nvcc -O3 -arch=native *.cu *.c -o {prefix}"


def _refuse_long_sums(c: LanguageConfig) -> None:
    longest = max(*c.neurons, c.ffn, c.dim)
    if longest > SPAN:
        raise refuse(f"target 'cuda' adds up {SPAN} products, and a matrix has {longest} columns")


def _parts(names: Sequence[str]) -> str:
    return "\n".join(source(f"cuda/language/{name}.cuh") for name in names)


def _context(c: LanguageConfig, weights: Sequence[Entry], prefix: str, header: str) -> Context:
    """``weights``: sections of matrices and of their parts."""
    return Context(
        name=prefix,
        upper=prefix.upper(),
        header=block_comment(header.strip("\n")),
        build=build_line(prefix),
        vocabulary=c.vocabulary,
        dim=c.dim,
        context=c.context,
        heads=c.heads,
        blocks=c.blocks,
        ffn=c.ffn,
        neurons=", ".join(str(n) for n in c.neurons),
        most_neurons=max(c.neurons),
        kernel=KERNELS.index(c.kernel),
        activation=ACTIVATIONS.index(c.activation),
        causal=_word(c.kind == "causal_lm"),
        l1=_word(c.metric == "l1"),
        normalized=_word(c.normalized),
        fine=_word(any(e.part > Part.MINIMA and e.kind not in EMBEDDINGS for e in weights)),
        wide=_word(any(e.dtype == Dtype.S16R and e.kind == VALUES for e in weights)),
        epsilon=f"{float(np.float32(c.epsilon)).hex()}f",
        platform=source("cuda/platform.h") + source("cuda/mma.h"),
        device=_parts(DEVICE),
        pack=_parts(["pack"]),
        host=_parts(["cluster", "launch", "host"]),
    )


def _word(truth: bool) -> str:
    return "true" if truth else "false"
