"""Language models on CUDA: sanitizers, GPU compilers, the example, the command line."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from c_models import need
from click.testing import CliRunner
from cuda_language import PREFIX, build, changed, container, sampler, texts_agree
from runtime_library import running

from crystalc.cli import cli
from crystalc.container import write
from crystalc.container.extra import Extra
from crystalc.diagnostics import CompileError
from crystalc.files import write_tree
from crystalc.language import LanguageConfig
from crystalc.render import template_root
from crystalc_cuda import nvcc, nvrtc
from crystalc_cuda.language import cuda_language_files
from tests.crystal_files import finer
from tests.language_models import random_model, tiny_config

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0")
CHARACTERS = LanguageConfig("causal_lm", 65, 128, 256, 4, (512,) * 4, ffn=512)
WIDE = LanguageConfig("causal_lm", 4096, 512, 512, 8, (2048,), ffn=2048)
COMPILED = (
    *((tiny_config(), arch, True) for arch in nvcc.ARCHS),
    *((CHARACTERS, arch, more) for arch in ("sm_80", "sm_90", "sm_120") for more in (False, True)),
    (WIDE, "sm_90", False),
)
"""A tiny model for every GPU, larger ones where the registers are fewest or clusters are; whether
some of their weights have more than eight bits.
"""


@pytest.fixture(scope="module", params=["two blocks", "more bits"])
def sanitized(request: pytest.FixtureRequest) -> Path:
    """The library of a model with everything in it."""
    to = f"sanitized-{request.param}"
    return build(changed(request.param, to, lambda text: text + "\n"), *SANITIZE)


@pytest.mark.parametrize("order", ["forward", "random:7"])
def test_sanitizers_find_nothing(order: str, sanitized: Path) -> None:
    done = _watched(sanitized, order)
    assert done.returncode == 0, done.stderr


def test_a_step_beyond_a_vector_is_found() -> None:
    """The sanitizers see the kernels' own memory."""
    wrong = changed("l1", "overrun", lambda t: t.replace("task.ids[n] =", "task.ids[n + 1] ="))
    assert "AddressSanitizer" in _watched(build(wrong, *SANITIZE), "forward").stderr


def _watched(library: Path, order: str) -> subprocess.CompletedProcess[str]:
    """Memory is watched from the start of a process."""
    command = [need("gcc"), "-print-file-name=libasan.so"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return texts_agree(library, order, f"LD_PRELOAD={found}", "ASAN_OPTIONS=detect_leaks=0")


@pytest.mark.parametrize(("config", "arch", "more"), COMPILED)
def test_gpu_compilers_take_the_kernels_without_spills(
    config: LanguageConfig, arch: str, more: bool, tmp_path: Path
) -> None:
    if not nvcc.compiler():
        pytest.skip("neither nvcc nor NVRTC is installed")
    model = replace(random_model(config), vocabulary=None)
    data = write(model, "q8", extra=finer(model, 0) if more else Extra())
    write_tree(tmp_path, cuda_language_files(data, PREFIX, ""))
    found = nvcc.kernels(tmp_path / f"{PREFIX}_gpu.cu", [arch])
    assert len(found) == 9
    assert not [k for k in found if k.spills]


def test_nvrtc_takes_the_kernels(tmp_path: Path) -> None:
    """Which needs every kernel to be named in the source, as nvcc does not."""
    if nvrtc.library() is None:
        pytest.skip(f"needs pip install {nvrtc.PACKAGE}")
    write_tree(tmp_path, cuda_language_files(container("more bits"), PREFIX, ""))
    said = nvrtc.compile_cubin((tmp_path / f"{PREFIX}_gpu.cu").read_text(), "sm_90")
    assert said.count("Compiling entry function") == 9


def test_the_example_writes_the_runtimes_text(tmp_path: Path) -> None:
    """The host program of the artefact, with the shim for a GPU."""
    model = random_model(tiny_config(), 2)
    folder = tmp_path / "out"
    folder.mkdir()
    data = write(model, "q8")
    for path, content in cuda_language_files(data, PREFIX, "a test").items():
        (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "all.cc").write_text(f'#include "{PREFIX}_gpu.cu"\n#include "example.cu"\n')
    shim = str(template_root() / "cuda" / "shim.h")
    plus = ["-std=c++17", "-O1", "-ffp-contract=off", "-include", shim, "-c", "all.cc"]
    subprocess.run([need("g++"), *plus], cwd=folder, check=True)
    sources = sorted(p.name for p in folder.glob("*.c"))
    link = ["-std=c99", "-O1", *sources, "all.o", "-lstdc++", "-lm", "-o", "program"]
    subprocess.run([need("gcc"), *link], cwd=folder, check=True)
    done = subprocess.run([folder / "program", "abc", "12", "0"], capture_output=True, text=True)
    with running(data) as c:
        wanted = c.generate(c.encode(b"abc")[0], 12, sampler(None))
    assert done.stdout == "abc" + "".join(chr(97 + t) for t in wanted) + "\n"
    refused = subprocess.run([folder / "program"], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr[:6]) == (2, "usage:")


def test_the_command_line_checks_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU compiler, so that its sentence is seen."""
    monkeypatch.setattr(nvcc, "compiler", lambda: "")
    model = random_model(tiny_config(dim=16, heads=2, context=16), 4)
    for key, tensor in model.tensors.items():
        if key.endswith("weight") and "norm" not in key:
            tensor *= 0.3
    (tmp_path / "lm.crystal").write_bytes(write(model, "f32"))
    command = [str(tmp_path / "lm.crystal"), "--target", "cuda", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "16 greedy tokens are the C runtime's, from 3 kernels: OK" in done.output
    assert "neither nvcc nor NVRTC is there" in done.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["resources"] == {"text_tokens": 16, "text_equal": True, "compiler": None}
    assert report["ok"] and report["checked"]


def test_a_sum_beyond_int32_is_refused() -> None:
    model = random_model(tiny_config(neurons=(70_000,), dim=2, heads=1, ffn=0))
    with pytest.raises(CompileError, match="adds up 65536 products, and a matrix has 70000"):
        cuda_language_files(write(model, "q8"), PREFIX, "")


def test_names_of_a_model_never_reach_the_kernels() -> None:
    """Metadata and tokens stay in the container."""
    model = random_model(tiny_config(), 2)
    hostile = {"corpus": '*/ #error "x" \\ \n}}'}
    a = cuda_language_files(write(model, "q8"), PREFIX, "")
    b = cuda_language_files(write(replace(model, metadata=hostile), "q8"), PREFIX, "")
    changed_files = {str(p) for p in a if a[p] != b[p]}
    assert changed_files <= {"weights.bin", f"{PREFIX}.c"}
    assert sorted(a) == sorted(b)
