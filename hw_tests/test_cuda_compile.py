"""What NVIDIA's compilers say of the kernels, on every architecture: accepted, and no spills."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from crystalc.diagnostics import ToolError
from crystalc_cuda import CudaBackend, nvcc, nvrtc
from hw_tests.test_cuda_graphs import FORMS, WIDE, wide_case

SHAPES: dict[str, dict[str, Any]] = {
    "big": WIDE["big"],
    "small": {"inputs": 64, "neurons": 32, "projection": True, "dim": 16, "frozen": 1.0},
    "active": {"inputs": 64, "neurons": 64, "activation": "relu", "frozen": 0.7},
    "pairs": {"inputs": 200, "neurons": 100, "projection": True, "dim": 64, "frozen": 0.7},
    "tiny": {"inputs": 6, "neurons": 8, "outputs": 3},
    "normalized": WIDE["normalized"],
    "l1 with a head": WIDE["l1 with a head"],
}
EVERYWHERE = ("big", "pairs", "tiny")
"""On every architecture; the others on the two that differ most."""


def source(folder: Path, form: tuple[Any, int, Any], shape: dict[str, Any]) -> Path:
    """An emitted .cu."""
    files = CudaBackend().emit(wide_case(form, shape).graph, "test")
    for name, content in files.items():
        assert isinstance(content, str)
        (folder / name).write_text(content)
    return folder / "crystal.cu"


def judged(path: Path, archs: tuple[str, ...]) -> None:
    """One kernel for samples of the network's own type, one for the other."""
    found = nvcc.kernels(path, archs)
    assert [k.arch for k in found] == [arch for arch in archs for _ in range(2)]
    assert all(0 < k.registers <= 255 for k in found)
    assert not [k for k in found if k.spills], found


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]], ids=["float", "fixed"])
def test_every_architecture(name: str, form: tuple[Any, int, Any], tmp_path: Path) -> None:
    if not nvcc.compiler():
        pytest.skip(f"needs nvcc, or pip install {nvrtc.PACKAGE}")
    archs = nvcc.ARCHS if name in EVERYWHERE else ("sm_75", "sm_90")
    judged(source(tmp_path, form, SHAPES[name]), archs)


def test_both_compilers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("nvcc"):
        pytest.skip("gpu: nvcc comes with the driver's toolkit; NVRTC compiles instead")
    if nvrtc.library() is None:
        pytest.skip(f"needs pip install {nvrtc.PACKAGE}")
    path = source(tmp_path, FORMS[2], SHAPES["small"])
    with_nvcc = nvcc.kernels(path, ["sm_90"])
    monkeypatch.setattr(nvcc.shutil, "which", lambda name: None)
    with_nvrtc = nvcc.kernels(path, ["sm_90"])
    assert [k.name for k in with_nvcc] == [k.name for k in with_nvrtc]


def test_a_kernel_that_is_wrong_is_refused(tmp_path: Path) -> None:
    if not nvcc.compiler():
        pytest.skip(f"needs nvcc, or pip install {nvrtc.PACKAGE}")
    path = source(tmp_path, FORMS[2], SHAPES["tiny"])
    path.write_text(path.read_text().replace("const int sample", "const integer sample"))
    with pytest.raises(ToolError, match=r"failed with code .* for sm_90(.|\n)*integer"):
        nvcc.kernels(path, ["sm_90"])


def test_the_log_of_ptxas_is_read() -> None:
    log = (
        "ptxas info    : Compiling entry function 'f' for 'sm_90'\n"
        "    16 bytes stack frame, 24 bytes spill stores, 20 bytes spill loads\n"
        "ptxas info    : Used 128 registers, used 1 barriers, 512 bytes smem\n"
    )
    (kernel,) = nvcc.parse(log, "sm_90")
    assert kernel == nvcc.Kernel("f", "sm_90", 128, 512, 24, 20, 16)
    assert kernel.spills
