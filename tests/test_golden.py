"""The exact text of tiny models: the graph after every pass, and the C and CUDA made from it.

``pytest --update-golden`` rewrites the files; read the difference before you commit it. Of the C,
only what was generated is kept: the runtime sources before it stand in ``templates/c``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from support import tiny_checkpoint

from crystalc.checkpoint import Checkpoint
from crystalc.driver import Options, compile_checkpoint
from crystalc.ir import Graph

GOLDEN = Path(__file__).parent / "golden"
GENERATED = "/* ---- constants ---- */"
HOST = "#ifndef __CUDACC_RTC__\n/* ---- the host ---- */"
Golden = Callable[[Path, str], None]


def tiny(kernel: Any, activation: Any) -> Checkpoint:
    """Numbers of two digits, so that the files do not hang on the last bit of anything."""
    checkpoint = tiny_checkpoint(
        kernel, activation, inputs=3, neurons=4, outputs=2, hidden=2, samples=6,
        head=kernel == "gauss", frozen=0.5,
    )  # fmt: skip
    tensors = {
        key: value if value.dtype == np.bool_ else np.round(value * 64) / np.float32(64)
        for key, value in checkpoint.tensors.items()
    }
    assert checkpoint.calibration is not None
    samples = np.round(checkpoint.calibration * 64) / np.float32(64)
    return Checkpoint(checkpoint.config, tensors, samples, {}, "0" * 64)


MODELS = {
    "float": (tiny("gauss", None), Options("c")),
    "q8": (tiny("radial", "gelu"), Options("c", weights="q8")),
    "fixed": (tiny("radial", "relu"), Options("c", "fixed", backend={"layout": "compact"})),
    "lanes": (tiny("gauss", None), Options("cuda")),
    "tiles": (tiny("radial", "relu"), Options("cuda", "fixed", backend={"kernel": "tiles"})),
}


def compiled(name: str) -> tuple[str, dict[PurePosixPath, str | bytes]]:
    """The graph after every pass that changed it, and the emitted files."""
    steps: list[str] = []

    def record(step: str, before: Graph, after: Graph, _: float) -> None:
        same = str(before) == str(after) and step != "lower"
        steps.append(f"after {step}: " + ("unchanged\n" if same else f"\n{after}"))

    checkpoint, options = MODELS[name]
    result = compile_checkpoint(checkpoint, options, [record])
    return "\n".join(steps), dict(result.files)


def rounded(text: str) -> str:
    """Reals to nine digits: sums may differ in the last bit from one machine to the next."""
    return re.sub(r"-?\d+\.\d+(?:e-?\d+)?", lambda m: f"{float(m[0]):.9g}", text)


@pytest.mark.parametrize("name", ["float", "q8", "fixed"])
def test_graphs(name: str, golden: Golden) -> None:
    golden(GOLDEN / f"{name}.ir", rounded(compiled(name)[0]))


@pytest.mark.parametrize("name", ["float", "fixed"])
def test_c(name: str, golden: Golden) -> None:
    files = compiled(name)[1]
    source = str(files[PurePosixPath("crystal.c")])
    head, _, generated = source.partition(GENERATED)
    assert generated
    assert head.startswith("/*\n * made by crystalc ")
    golden(GOLDEN / f"{name}.c", GENERATED + generated)
    header = str(files[PurePosixPath("crystal.h")])
    golden(GOLDEN / f"{name}.h", header.partition("*/\n")[2])


@pytest.mark.parametrize("name", ["lanes", "tiles"])
def test_cuda(name: str, golden: Golden) -> None:
    source = str(compiled(name)[1][PurePosixPath("crystal.cu")])
    _, constants, generated = source.partition(GENERATED)
    kernel, host, _ = generated.partition(HOST)
    assert constants and host
    golden(GOLDEN / f"{name}.cu", constants + kernel)


def test_a_difference_says_how_to_accept_it(
    request: pytest.FixtureRequest, golden: Golden, tmp_path: Path
) -> None:
    if request.config.getoption("--update-golden"):
        pytest.skip("files are being rewritten")
    with pytest.raises(pytest.fail.Exception, match="missing; write it with: pytest --update-g"):
        golden(tmp_path / "none", "text")
    (tmp_path / "some").write_text("text")
    golden(tmp_path / "some", "text")
    with pytest.raises(AssertionError, match="differs; if this is meant: pytest --update-golden"):
        golden(tmp_path / "some", "other text")
