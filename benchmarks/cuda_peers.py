"""PyTorch on the work of ``benchmarks.cuda``: eager, as a CUDA graph, by torch.compile.

A way that fails is a row that says so. Without CUDA (a dry run) every step runs on the CPU, and the
models once on PyTorch's device without memory, where a tensor that was left behind shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda_classifiers import CASES, Case, input_step
from benchmarks.cuda_events import seconds
from benchmarks.lean import FORMS, Lean
from benchmarks.random_models import random_checkpoint

SAMPLES = 1 << 18
Call = Callable[[], Any]


def plain_rows(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """Eager and captured, in both forms, and captured with TF32."""
    for form in FORMS:
        yield measured(f"eager, {form}", name, form, dry, lambda m, x: lambda: m(x))
        yield measured(f"CUDA graph, {form}", name, form, dry, captured(dry))
    torch.backends.cuda.matmul.allow_tf32 = True
    yield measured("CUDA graph, product, TF32", name, "product", dry, captured(dry))
    torch.backends.cuda.matmul.allow_tf32 = False


def compiled_rows(name: str, place: Path, dry: bool) -> Iterator[dict[str, Any]]:
    """torch.compile with CUDA graphs of its own; dry with the backend that compiles nothing."""
    how = {"backend": "eager"} if dry else {"mode": "reduce-overhead"}

    def make(model: torch.nn.Module, x: torch.Tensor) -> Call:
        made = torch.compile(model, **how)
        return lambda: made(x)

    for form in reversed(FORMS):
        yield measured(f"torch.compile, {form}", name, form, dry, make)


def measured(
    way: str, name: str, form: str, dry: bool, make: Callable[[Lean, torch.Tensor], Call]
) -> dict[str, Any]:
    """Inferences a second of a way, or why there are none."""
    row: dict[str, Any] = {"name": name, "peer": f"PyTorch {way}"}
    try:
        model, x = inputs(CASES[name], form, dry)
        call = make(model, x)
        if dry:
            with torch.inference_mode():
                call()
            return row
        return {**row, "inferences_per_second": len(x) / seconds(call)}
    except Exception as error:  # a peer's fault is a row, whatever it is
        return {**row, "not_run": why(error)}


def inputs(case: Case, form: str, dry: bool) -> tuple[Lean, torch.Tensor]:
    """The model and its samples, on the GPU unless dry: reals, or bytes for a fixed network."""
    step = input_step(case)
    model = Lean(random_checkpoint("radial", case.shape), form, step).eval()
    x = torch.rand(64 if dry else SAMPLES, case.shape.inputs)
    if step is not None:
        x = (x / step).clamp_max(255).to(torch.uint8)
    if not dry:
        return model.cuda(), x.cuda()
    model.to("meta")(x.to("meta"))
    return model.to_empty(device="cpu"), x


def captured(dry: bool) -> Callable[[Lean, torch.Tensor], Call]:
    """Makes a replay of the captured forward pass."""
    if dry:
        return lambda model, x: lambda: model(x)
    return lambda model, x: graph_of(lambda: model(x))


def graph_of(call: Call) -> Call:
    """A replay of what ``call`` queues."""
    with torch.inference_mode():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
    return graph.replay


def why(error: Exception) -> str:
    """The first line of what went wrong."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
