"""A compiled crystal for CUDA: the command, active neurons, the example, the Python entry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from crystalc.check import judge
from crystalc.cli import run
from crystalc.driver import Compiled, Options, check_vectors, compile_checkpoint, write
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph
from crystalc.passes.quantize import quantize_inputs
from crystalc_c.build import read_interface
from crystalc_c.numbers import dtype
from crystalc_cuda import nvcc
from crystalc_cuda.build import FLAGS, compile_shim, one_source, run_harness
from hw_tests.c_batch import tiny_checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import as_document, write_safetensors

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
ARITHMETIC: dict[str, dict[str, Any]] = {"float": {}, "fixed": {"arithmetic": "fixed"}}
SHAPE: dict[str, Any] = {"inputs": 40, "neurons": 37, "outputs": 10, "frozen": 0.6}


def made(place: Path, arithmetic: str, **shape: Any) -> tuple[Compiled, Array]:
    """A tiny crystal, written into ``place``, and vectors for it."""
    checkpoint = tiny_checkpoint(**{**SHAPE, **shape})
    options = Options(target="cuda", count=48, **ARITHMETIC[arithmetic])
    compiled = compile_checkpoint(checkpoint, options)
    write(compiled, place)
    return compiled, check_vectors(compiled)


def harness(place: Path) -> Path:
    compile_shim(place, [str(one_source(place, "crystal", place))], place / "harness")
    return place / "harness"


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_the_command_checks_and_reports(
    arithmetic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint(**SHAPE)))
    words = ["m.safetensors", "--target", "cuda", "--arithmetic", arithmetic, "--count", "40"]
    assert run([*words, "-o", "out"]) == 0
    said = capsys.readouterr().out
    assert "check   40 vectors against the oracle" in said
    assert "gpu     " in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["ok"] and report["target"] == "cuda"
    assert report["agreement"] == ("exact" if arithmetic == "fixed" else "within f22")
    assert all(not k["spill_stores"] for k in report["resources"]["kernels"])
    assert report["resources"]["compiler"] is None or report["resources"]["kernels"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("archs=sm_70", "option 'archs' of target 'cuda' is 'sm_70'"),
        ("archs=sm_90..sm_75", "option 'archs' of target 'cuda' is 'sm_90..sm_75'"),
        ("kernel=fast", "option 'kernel' of target 'cuda' is 'fast'"),
    ],
)
def test_wrong_options_are_refused(
    option: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint()))
    assert run(["m.safetensors", "--target", "cuda", "-O", option]) == 2
    assert message in capsys.readouterr().err


def test_without_a_compiler_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint()))
    assert run(["m.safetensors", "--target", "cuda"]) == 3
    message = "error: no C++ compiler: g++ or clang++ or c++ is not on the PATH\n"
    assert capsys.readouterr().err.startswith(message)


def test_without_a_gpu_compiler_the_check_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nvcc, "compiler", lambda: "")
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint()))
    assert run(["m.safetensors", "--target", "cuda", "--count", "20", "-o", "out"]) == 0
    said = capsys.readouterr().out
    assert said.count("gpu     neither nvcc nor NVRTC is there") == 1
    resources = json.loads((tmp_path / "out" / "report.json").read_text())["resources"]
    assert resources == {"compiler": None, "gpu": nvcc.gpu() or None, "kernels": []}


def test_spills_fail_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    spilling = nvcc.Kernel("f", "sm_90", 255, 0, 8, 4, 16)
    monkeypatch.setattr(nvcc, "compiler", lambda: "nvcc")
    monkeypatch.setattr(nvcc, "kernels", lambda source, archs: [spilling])
    write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint()))
    assert run(["m.safetensors", "--target", "cuda", "--count", "20", "-o", "out"]) == 1
    assert "FAILED: 16 bytes of stack and spills" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["ok"], report["reason"]) == (False, "registers spill on sm_90")


def test_a_removed_barrier_gives_other_numbers(tmp_path: Path) -> None:
    compiled, x = made(tmp_path, "fixed", projection=True, dim=24, neurons=101)
    wanted = interpret(compiled.meaning, x)
    types = read_interface(tmp_path / "crystal.h", "crystal")[0]
    source = tmp_path / "crystal.cu"
    orders = ("forward", "reverse", "random")
    program = harness(tmp_path)
    right = [run_harness(program, x, types, 10, order) for order in orders]
    assert all(np.array_equal(y, wanted) for y in right)
    assert source.read_text().count("__syncthreads();") == 1
    source.write_text(source.read_text().replace("__syncthreads();", ""))
    program = harness(tmp_path)
    wrong = [run_harness(program, x, types, 10, order) for order in orders]
    assert not all(np.array_equal(y, wanted) for y in wrong)


@pytest.mark.parametrize(("inputs", "dim"), [(64, 16), (71, 40), (784, 48)])
@pytest.mark.parametrize("arithmetic", ARITHMETIC)
def test_a_warp_reads_tile_after_tile(
    arithmetic: str, inputs: int, dim: int, tmp_path: Path
) -> None:
    """More samples than the shim's four blocks have at once, twice over, and a part of a tile."""
    compiled, x = made(tmp_path, arithmetic, inputs=inputs, projection=True, dim=dim, frozen=1.0)
    warps = int(re.search(r"WARPS (\d+)", (tmp_path / "crystal.cu").read_text())[1])
    many = 2 * 4 * warps * 32 + 37
    rng = np.random.default_rng(1)
    x = x[rng.integers(0, len(x), many)]
    types = read_interface(tmp_path / "crystal.h", "crystal")[0]
    y = run_harness(harness(tmp_path), x, types, 10, "random")
    assert len(y) == many
    wanted = interpret(compiled.meaning, x)
    exact = np.zeros(wanted.shape)
    bound = exact if arithmetic == "fixed" else error_bound(compiled.meaning, x, 22)
    assert judge(wanted, y, bound).ok


def rewritten(graph: Graph) -> Graph:
    """Every second active row exchanged for the one before it."""
    nodes = list(graph.nodes)
    for i, node in graph:
        if node.is_state:
            value = node.data().copy()
            value[1::2] = value[0::2][: len(value[1::2])]
            nodes[i] = replace(node, value=value)
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
@pytest.mark.parametrize("kernel", ["radial", "laplace"])
def test_python_runs_and_updates_active_neurons(
    arithmetic: str, kernel: str, tmp_path: Path
) -> None:
    compiled, x = made(tmp_path, arithmetic, kernel=kernel)
    shared = ("-shared", "-fPIC", *FLAGS)
    compile_shim(tmp_path, ["crystal.cu"], tmp_path / "libcrystal.so", *shared)
    graph, changed = compiled.shaped, rewritten(compiled.shaped)
    types = read_interface(tmp_path / "crystal.h", "crystal")[0]
    np.save(tmp_path / "x.npy", x.astype(dtype(types[0])))
    z, other = other_numbers(graph, x.shape)
    np.save(tmp_path / "other.npy", other)
    states = [n.data() for n in changed.nodes if n.is_state]
    np.savez(tmp_path / "state.npz", **{str(k): v for k, v in enumerate(states)})
    (tmp_path / "use.py").write_text(USE)
    done = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for name, meant, given in (("before", graph, x), ("after", changed, x), ("others", graph, z)):
        wanted = interpret(meant, given)
        bound = np.zeros(wanted.shape) if graph.is_fixed else error_bound(meant, given, 22)
        verdict = judge(wanted, np.load(tmp_path / f"{name}.npy"), bound)
        assert verdict.ok, f"{name}: {verdict.reason}"
    assert not np.array_equal(np.load(tmp_path / "before.npy"), np.load(tmp_path / "after.npy"))


def other_numbers(graph: Graph, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Inputs of the graph, and the samples of the other type that mean them: bytes in 1/255, or
    floats at the edges of rounding, beyond the range and at no number."""
    rng = np.random.default_rng(7)
    elem = graph.input.type.elem
    if not isinstance(elem, FixedType):
        bytes_ = rng.integers(0, 256, shape).astype(np.uint8)
        return (bytes_ * np.float32(1 / 255)).astype(np.float64), bytes_
    below = np.nextafter(np.float32(0.5), np.float32(0))
    edges = np.array([below, 0.5, -0.5, -below, 1.5, elem.high + 0.5, 1e30, -1e30, -np.inf])
    rows = np.resize(edges, shape[0])[:, None] * np.ones(shape)  # one edge to a sample
    reals = (rows * 2.0**-elem.frac).astype(np.float32)
    meant = quantize_inputs(graph, reals)
    reals[0, 0], meant[0, 0] = np.nan, elem.low
    return meant, reals


USE = """
import numpy as np, torch, crystal

model = crystal.Model("./libcrystal.so", device="cpu")
x = torch.from_numpy(np.load("x.npy"))
op = crystal.custom_op(model)
np.save("before.npy", torch.compile(op, backend="eager", fullgraph=True)(x).numpy())
other = torch.from_numpy(np.load("other.npy"))
np.save("others.npy", model(other).numpy())
new = np.load("state.npz")
for k, rows in enumerate(model.state.values()):
    rows[...] = new[str(k)]
model.update()
np.save("after.npy", model(x.numpy()).numpy())

def refused(kind, *args):
    try:
        model(*args)
    except kind:
        return
    raise SystemExit(f"{kind.__name__} was not raised")

refused(TypeError, x.double())
refused(TypeError, other, torch.empty((len(x), crystal.OUTPUTS), dtype=torch.int64))
refused(TypeError, x.to("meta"))
refused(ValueError, x[:, :-1])
refused(ValueError, x.T.contiguous().T)
refused(ValueError, x, torch.empty((len(x) + 1, crystal.OUTPUTS), dtype=crystal.OUT))
refused(ValueError, torch.zeros(x.numel() + 1, dtype=x.dtype)[1:].view_as(x))
refused(ValueError, x[0])
try:
    model(x[:1].expand(2**31, -1))
except ValueError as error:
    assert "n below 2^31" in str(error), error
model.device = torch.device("cuda")
refused(TypeError, x)
try:
    crystal.Model("./libcrystal.so")
except RuntimeError as error:
    said = str(error)
assert torch.cuda.is_available() or said.endswith("has no CUDA device on this machine"), said
try:
    model._check(719)
except RuntimeError as error:
    assert str(error) == "CUDA error 719: unspecified launch failure", error
"""


def test_numbers_beyond_halves_give_nan_in_their_own_sample(tmp_path: Path) -> None:
    compiled, x = made(tmp_path, "float", activation="relu")
    x[3, 5], x[20, 0] = 7e4, -1e9
    got = run_harness(harness(tmp_path), x, ("float", "float"), 10, "forward")
    assert np.isnan(got[[3, 20]]).all()
    rest = np.delete(np.arange(len(x)), [3, 20])
    wanted = interpret(compiled.meaning, x[rest])
    verdict = judge(wanted, got[rest], error_bound(compiled.shaped, x[rest], 22))
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize("arithmetic", ARITHMETIC)
@pytest.mark.parametrize("frozen", [1.0, 0.6])
def test_the_example_runs(arithmetic: str, frozen: float, tmp_path: Path) -> None:
    made(tmp_path, arithmetic, frozen=frozen)
    (tmp_path / "all.cu").write_text('#include "crystal.cu"\n#include "example.cu"\n')
    compile_shim(tmp_path, ["all.cu"], tmp_path / "example")
    done = subprocess.run([tmp_path / "example"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    titles = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert titles == ["output"] * 3 + ([] if frozen == 1 else ["after the update"] * 3)
    values = [line.split(":")[1] for line in done.stdout.splitlines()]
    assert frozen == 1 or values[0] != values[3]


def test_calls_that_cannot_be_are_errors(tmp_path: Path) -> None:
    made(tmp_path, "float", frozen=1.0)
    (tmp_path / "all.cu").write_text(
        '#include "crystal.cu"\n'
        "static float in[80], out[20];\n"
        "int main() {\n"
        "    float *a = (float *)(((uintptr_t)in + 15) / 16 * 16);\n"
        "    float *b = (float *)(((uintptr_t)out + 15) / 16 * 16);\n"
        '    printf("%d %d %d %d", crystal_run(a, b, 1, 0), crystal_run(a, b, 0, 0),\n'
        "           crystal_run(a, b, -1, 0), crystal_run(a + 1, b, 1, 0));\n"
        "}\n"
    )
    compile_shim(tmp_path, ["all.cu"], tmp_path / "calls")
    done = subprocess.run([tmp_path / "calls"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 0 1 716"
