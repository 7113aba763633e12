"""On a GPU where there is one, and the same steps on the shim: streams, CUDA graphs, every plan."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cuda_language import MODELS, PREFIX, emitted, library, reference, sampler

from benchmarks.checkout import offer_targets
from crystalc_c.numbers import dtype
from crystalc_cuda import nvcc
from crystalc_cuda.build import FLAGS, compile_shim
from crystalc_cuda.language_entry import Draw, GpuError, Model, Plan
from hw_tests.test_cuda_model import ARITHMETIC, made, read_interface

offer_targets()  # on a borrowed machine nothing is installed

SHARED = ("-shared", "-Xcompiler", "-fPIC")
PLANS = (
    None,
    Plan(8, 1, 1, 1, 1, 8),
    Plan(8, 1, 1, 0, 0, 4),
    Plan(4, 0, 1, 1, 0),
    Plan(4, 0, 1, 1, 1),
    Plan(64),
)
DRAWS = (None, Draw(0.8, 1.0, 0, 7), Draw(1.2, 0.9, 5, 3))


def need_device(device: str) -> None:
    if device == "cuda" and not (torch.cuda.is_available() and shutil.which("nvcc")):
        pytest.skip("gpu: needs nvcc and a GPU that PyTorch sees")
    if device == "cpu" and not shutil.which("g++"):
        pytest.skip("needs g++")


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """PyTorch's name of the device: "cpu" is the shim."""
    need_device(request.param)
    return str(request.param)


USE = """
import sys
import numpy as np, torch, crystal

device = sys.argv[1]
model = crystal.Model("./libcrystal.so", device=device)
x = torch.from_numpy(np.load("x.npy")).to(device)
plain = model(x)
out = torch.full_like(plain, 1)
if device == "cuda":
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    still = x.clone()
    with torch.cuda.graph(graph):  # nothing waits, allocates or fails while a stream is captured
        model(still, out)
    still.copy_(x.flip(0))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(out, plain.flip(0))
    with torch.cuda.stream(side):
        side.wait_stream(torch.cuda.default_stream())
        assert torch.equal(model(x), plain)
    torch.cuda.synchronize()
    many = x.repeat(5000, 1)[:100_003]
    assert torch.equal(model(many)[-len(x) :], plain.repeat(5000, 1)[:100_003][-len(x) :])
op = crystal.custom_op(model)
assert torch.equal(torch.compile(op, backend="eager", fullgraph=True)(x), plain)
np.save("y.npy", plain.cpu().numpy())
"""


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_a_network_from_pytorch(arithmetic: str, device: str, tmp_path: Path) -> None:
    """Streams and a captured graph give what a plain call gives, which the command checks."""
    _, x = made(tmp_path, arithmetic)
    output = tmp_path / "libcrystal.so"
    if device == "cuda":
        nvcc.build_program(tmp_path, ["crystal.cu"], output, "native", *SHARED)
    else:
        compile_shim(tmp_path, ["crystal.cu"], output, "-shared", "-fPIC", *FLAGS)
    types = read_interface(tmp_path / "crystal.h", "crystal")[0]
    np.save(tmp_path / "x.npy", x.astype(dtype(types[0])))
    (tmp_path / "use.py").write_text(USE)
    command = [sys.executable, "use.py", device]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(np.load(tmp_path / "y.npy").astype(float)).all()


def language_library(name: str, device: str, folder: Path) -> Path:
    if device == "cpu":
        return library(name)
    sources = sorted(p.name for p in emitted(name).glob("*.c"))
    nvcc.build_program(
        emitted(name), [f"{PREFIX}_gpu.cu", *sources], folder / "lm.so", "native", *SHARED
    )
    return folder / "lm.so"


@pytest.mark.parametrize("name", MODELS)
def test_texts_are_the_runtimes(name: str, device: str, tmp_path: Path) -> None:
    """Every plan that the device takes, greedy and drawn; then many sequences."""
    path, count = language_library(name, device, tmp_path), 2 * MODELS[name]["context"]
    ran = 0
    with reference(name) as c:
        for plan in PLANS:
            try:
                model = Model(path, PREFIX, plan, device)
            except GpuError as error:
                assert error.code == 52 and plan is not None
                continue
            for draw in DRAWS:
                ids = tokens([[1, 2, 3, *[-1] * count]], device)
                model.generate(room(model, 0, device), ids, 3, count, draw)
                wanted = c.generate(np.array([1, 2, 3]), count, sampler(draw))
                assert ids.cpu()[0, 3:].tolist() == wanted, plan and plan.blocks
            ran += 1
            model.close()
        model = Model(path, PREFIX, None, device)
        ids = tokens([[1, 2, 3, *[-1] * count]] * 300, device)
        given = torch.full((300,), 3, dtype=torch.int32, device=device)
        rows = 300 if device == "cuda" else 20
        model.generate_batch(room(model, rows, device), ids, given, rows, count + 3, count)
        wanted = c.generate(np.array([1, 2, 3]), count, sampler(None))
        assert ids.cpu()[:rows, 3:].tolist() == [wanted] * rows
    assert ran >= 3


def tokens(rows: list[Any], device: str) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int32, device=device)


def room(model: Model, sequences: int, device: str) -> torch.Tensor:
    return torch.empty(model.room(sequences), dtype=torch.uint8, device=device)
