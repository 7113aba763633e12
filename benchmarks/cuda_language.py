"""The language models of ``benchmarks.cuda``: a token alone, tokens a second of many sequences.

The model is of the size that the project began with (11,706 tokens, D 128, 788 neurons, FFN 512,
context 64), with random weights. Ours is timed within one context, from one token to a full window,
launch and loading of the weights included; PyTorch as a CUDA graph of one step with half a context
behind it and the argmax, in f32 and TF32. Before any timing a kernel has to write the C runtime's
text.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cuda_events import seconds
from benchmarks.cuda_peers import graph_of, why
from crystalc.container import write
from crystalc.diagnostics import ToolError
from crystalc.files import write_tree
from crystalc.language import LanguageConfig, LanguageModel, parameters
from crystalc.nn.language import Cache, LanguageNet
from crystalc_cuda import nvcc
from crystalc_cuda.language import cuda_language_files
from crystalc_cuda.language_build import shim_library
from crystalc_cuda.language_entry import GpuError, Model, Plan
from crystalc_cuda.language_run import ShimModel

PREFIX = "lm"
LIBRARY = "model.so"
FULL = LanguageConfig("causal_lm", 11_706, 128, 64, 4, (788,), ffn=512)
TINY = LanguageConfig("causal_lm", 60, 32, 8, 2, (40,), ffn=24)
BATCHES = (1024, 4096)
APART = "1024, each block its own head"
MANY = {**{str(n): (n, None) for n in BATCHES}, APART: (1024, Plan(1))}
PLANS = {
    "chosen": None,
    "cluster of 16": Plan(16, 1, 1, 1, 1),
    "cluster of 16, keys in L2": Plan(16, 1, 1, 1, 0),
    "cluster of 8": Plan(8, 1, 1, 1, 0),
    "grid of 16": Plan(16, 0, 1, 1, 1),
    "grid of 64": Plan(64, 0, 1, 1, 1),
}


def build_rows(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """No row, but the library in ``place`` that the other steps ask. Raises ToolError.

    A dry one is for the shim, and the full size is only compiled by nvcc where there is one.
    """
    _emit(FULL, place / "full")
    if not dry:
        _gpu_library(place / "full", place / LIBRARY, "native")
    elif shutil.which("nvcc"):
        _gpu_library(place / "full", place / "unused.so", "sm_90")
    if dry:
        _emit(TINY, place / "tiny")
        shim_library(place / "tiny", PREFIX, place / LIBRARY)
    yield from ()


def alone_rows(plan: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """Microseconds of a token of one sequence under a plan."""
    yield _alone(place / LIBRARY, TINY if dry else FULL, plan, dry)


def many_rows(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """Tokens a second of many sequences."""
    yield _many(place / LIBRARY, TINY if dry else FULL, name, dry)


def _emit(config: LanguageConfig, folder: Path) -> None:
    model = random_language_model(config)
    write_tree(folder, cuda_language_files(write(model, "q8"), PREFIX, "a benchmark"))


def random_language_model(config: LanguageConfig) -> LanguageModel:
    """Weights as they are drawn before training."""
    rng = np.random.default_rng(1)
    tensors: dict[str, Any] = {}
    for key, shape in parameters(config).items():
        drawn = rng.standard_normal(shape) * 0.1
        if key.endswith(("temperature", "norm.weight")):
            drawn = 1.0 + np.abs(drawn)
        tensors[key] = drawn.astype(np.float32)
        if key.endswith("frozen"):
            tensors[key] = rng.random(shape) < 0.7
    return LanguageModel(config, tensors, None, {}, "0" * 64)


def _gpu_library(place: Path, output: Path, arch: str) -> None:
    sources = sorted(p.name for p in place.glob("*.c"))
    shared = ("-shared", "-Xcompiler", "-fPIC")
    nvcc.build_program(place, [f"{PREFIX}_gpu.cu", *sources], output, arch, *shared)


def _alone(library: Path, config: LanguageConfig, plan: str, dry: bool) -> dict[str, Any]:
    """Microseconds of a token of one sequence."""
    row: dict[str, Any] = {"name": "batch 1", "plan": plan}
    try:
        model = Model(library, PREFIX, PLANS[plan], "cpu" if dry else "cuda")
    except GpuError as error:
        return {**row, "not_run": str(error)}
    used = model.plan
    row |= {"blocks": used.blocks, "cluster": used.cluster, "resident": used.resident}
    ids, room = _memory((config.context,), model.room(), dry)
    count = config.context - 1

    def call() -> None:
        model.generate(room, ids, 1, count, stream=_stream(dry))

    call()
    _require_text(library, ids.cpu().numpy(), config, dry)
    seconds = _seconds(call, dry)
    model.close()
    return row if seconds is None else {**row, "us_per_token": seconds * 1e6 / count}


def _many(library: Path, config: LanguageConfig, name: str, dry: bool) -> dict[str, Any]:
    """Tokens a second of many sequences."""
    batch, plan = MANY[name]
    batch = 20 if dry else batch
    model, context = Model(library, PREFIX, plan, "cpu" if dry else "cuda"), config.context
    ids, room = _memory((batch, context), model.room(batch), dry)
    given = torch.ones(batch, dtype=torch.int32, device=ids.device)

    def call() -> None:
        model.generate_batch(room, ids, given, batch, context, context - 1, stream=_stream(dry))

    call()
    _require_text(library, ids[batch - 1].cpu().numpy(), config, dry)
    seconds = _seconds(call, dry)
    row: dict[str, Any] = {"name": f"batch {name}", "together": model.plan.together}
    model.close()
    return row if seconds is None else {**row, "tokens_per_second": batch * (context - 1) / seconds}


def _memory(shape: tuple[int, ...], room: int, dry: bool) -> tuple[torch.Tensor, torch.Tensor]:
    device = "cpu" if dry else "cuda"
    ids = torch.ones(shape, dtype=torch.int32, device=device)
    return ids, torch.empty(room, dtype=torch.uint8, device=device)


def _stream(dry: bool) -> int:
    return 0 if dry else int(torch.cuda.current_stream().cuda_stream)


def _require_text(library: Path, found: Any, config: LanguageConfig, dry: bool) -> None:
    wanted = ShimModel.runtime_text(library, PREFIX, found[:1], config.context - 1)
    if found[1:].tolist() != wanted:
        raise ToolError(f"the {'shim' if dry else 'GPU'} writes another text than the C runtime")


def _seconds(call: Callable[[], None], dry: bool) -> float | None:
    """Median of the rounds; none where nothing is timed."""
    return None if dry else seconds(call)


# ---- PyTorch ----


def peer_rows(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """Each batch in f32 and TF32; a peer that fails is a row that says so."""
    config = TINY if dry else FULL
    for fast in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = fast
        for batch in (1, *BATCHES):
            peer = f"PyTorch CUDA graph, {'TF32' if fast else 'f32'}"
            row: dict[str, Any] = {"name": f"batch {batch}", "peer": peer}
            try:
                yield row | _peer(config, 2 if dry else batch, dry)
            except Exception as error:  # a peer's fault is a row, whatever it is
                yield {**row, "not_run": why(error)}


def _peer(config: LanguageConfig, batch: int, dry: bool) -> dict[str, float]:
    net = LanguageNet.from_model(random_language_model(config))
    if dry:
        _step(net, batch)()
        return {}
    taken = seconds(graph_of(_step(net.cuda(), batch)))
    return {"us_per_token": taken * 1e6, "tokens_per_second": batch / taken}


def _step(net: LanguageNet, batch: int) -> Callable[[], None]:
    """One greedy step of ``batch`` sequences with half a context behind them."""
    c, device = net.config, net.head.weight.device
    ids = torch.ones((batch, 1), dtype=torch.int64, device=device)
    shape = (batch, c.heads, c.context // 2, c.dim // c.heads)
    pasts = [(torch.randn(shape, device=device), torch.randn(shape, device=device))] * c.blocks

    def step() -> None:
        cache = Cache()
        cache.pasts, cache.length = list(pasts), c.context // 2
        with torch.inference_mode():
            ids.copy_(net.advance(ids, cache).argmax(-1))

    return step
