"""The CUDA device made of fibers: what it offers, and the faults of kernels that it reports."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from crystalc_cuda.build import FLAGS, compile_shim
from hw_tests.cuda_batch import SANITIZE

ORDERS = ("forward", "reverse", "random:1", "random:2")
SOURCE = Path(__file__).with_name("cuda_shim_kernels.cu")
BUILDS = {"g++": FLAGS, "clang++": FLAGS, "checked": SANITIZE}
TESTS = {
    "shared memory": 0,
    "collectives": 1,
    "numbers": 2,
    "halves": 3,
    "f16": 4,
    "tf32": 5,
    "s8": 6,
    "u8s8": 7,
    "blocks together": 8,
    "bf16": 9,
    "shapes of sm_75": 10,
    "errors": 11,
}
FAULTS = {
    20: "barrier divergence in block (0, 0, 0): thread 0 waits at .*while thread 77 has exited",
    21: "barrier divergence in block (0, 0, 0): thread 0 waits at .* while thread 64 waits at ",
    22: "warp divergence in block (0, 0, 0): thread .* has exited",
    23: "threads spin for something that never comes",
    24: "a thread overflowed its stack",
}


def built(name: str, folder: Path, *more: str) -> Path:
    """The kernels as a program; ``name`` of BUILDS."""
    compiler = name if name != "checked" else "g++"
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    os.environ["CXX"] = compiler
    try:
        compile_shim(folder, [str(SOURCE)], folder / "kernels", *BUILDS[name], *more)
    finally:
        del os.environ["CXX"]
    return folder / "kernels"


def run(program: Path, case: int, order: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CRYSTAL_SHIM_ORDER": order}
    command = [str(program), str(case)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("build", BUILDS)
def test_kernels_equal_plain_code(build: str, tmp_path: Path) -> None:
    program = built(build, tmp_path)
    for name, case in TESTS.items():
        for order in ORDERS:
            done = run(program, case, order)
            assert done.returncode == 0, f"{name}, {order}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("build", ["g++", "checked"])
def test_a_removed_barrier_is_seen(build: str, tmp_path: Path) -> None:
    program = built(build, tmp_path, "-DBARRIER()=")
    for order in ORDERS:
        assert run(program, TESTS["shared memory"], order).returncode == 1, order


def test_faults_are_reported(tmp_path: Path) -> None:
    import re

    program = built("g++", tmp_path)
    for case, message in FAULTS.items():
        for order in ("forward", "random:1"):
            done = run(program, case, order)
            assert done.returncode == 0, f"{case}, {order}: {done.stderr}"
            expected = message.replace("(", r"\(").replace(")", r"\)")
            found = re.search(expected, done.stderr)
            assert found or order != "forward", f"{case}: {done.stderr}"
            assert done.stderr.count("\n") == 1


def test_the_sanitizer_sees_the_end_of_shared_memory(tmp_path: Path) -> None:
    done = run(built("checked", tmp_path), 30, "forward")
    assert done.returncode != 0
    assert "global-buffer-overflow" in done.stderr
