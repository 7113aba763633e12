"""What a compile checks of a language model beside its logits: its text, and what nvcc says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from crystalc.backend import Examined
from crystalc_cuda import nvcc, nvrtc
from crystalc_cuda.language_build import built, texts

PROMPT = 4
TOKENS = 16
"""Of the texts that are compared; the shim takes milliseconds for each."""


def examine_language(build: Path, prefix: str, archs: Sequence[str], ids: NDArray[Any]) -> Examined:
    """Texts of the kernels on the shim, and the kernels compiled where there is nvcc or NVRTC.

    ``ids`` [B, T]: tokens to begin with. Raises ToolError where a tool fails.
    """
    parts = _text(build, prefix, ids), _compiled(build / f"{prefix}_gpu.cu", archs)
    lines = (line for part in parts for line in part.lines)
    reasons = "; ".join(part.reason for part in parts if part.reason)
    return Examined(tuple(lines), {**parts[0].report, **parts[1].report}, reasons)


def _text(build: Path, prefix: str, ids: NDArray[Any]) -> Examined:
    prompt = ids.reshape(-1)[:PROMPT].tolist()
    with built(build, prefix) as folder:
        found = texts(folder, prefix, prompt, TOKENS)
    equal = all(text == found["runtime"] for text in found.values())
    verdict = (
        f"the C runtime's, from {len(found) - 1} kernels: OK"
        if equal
        else "not the C runtime's: FAILED"
    )
    report = {"text_tokens": TOKENS, "text_equal": equal}
    reason = "" if equal else "the text is not the C runtime's"
    return Examined((f"text    {TOKENS} greedy tokens are {verdict}",), report, reason)


def _compiled(source: Path, archs: Sequence[str]) -> Examined:
    used = nvcc.compiler()
    if not used:
        line = "gpu     neither nvcc nor NVRTC is there, so no GPU compiler saw the kernels"
        return Examined((f"{line}; pip install {nvrtc.PACKAGE}",), {"compiler": None})
    found = nvcc.kernels(source, archs)
    lines = (_line(used, arch, [k for k in found if k.arch == arch]) for arch in archs)
    bad = [k.arch for k in found if k.spills]
    reason = f"registers spill on {', '.join(dict.fromkeys(bad))}" if bad else ""
    report = {"compiler": used, "kernels": [k.to_dict() for k in found]}
    return Examined(tuple(lines), report, reason)


def _line(used: str, arch: str, found: Sequence[nvcc.Kernel]) -> str:
    spills = sum(k.spill_stores for k in found)
    verdict = f"FAILED: spills {spills} bytes" if spills else "no spills"
    most = max((k.registers for k in found), default=0)
    return f"gpu     {used} for {arch}: {len(found)} kernels, at most {most} registers, {verdict}"
