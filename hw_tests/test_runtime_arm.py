"""The runtime for 64-bit ARM under QEMU: NEON gives the bits of the scalar layer."""

from __future__ import annotations

import platform
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from c_models import STRICT, model, need
from runtime_library import small_program
from runtime_mutate import mutate

from crystalc.check import judge
from crystalc.container import MODES, verdict, write
from crystalc.error_bound import error_bound
from crystalc.files import write_tree
from crystalc.interpret import interpret
from crystalc.nn.generate import generate
from crystalc.nn.language import LanguageNet
from crystalc_c.build import run
from crystalc_c.runtime import MAIN, PROGRAM_FLAGS, folder, language_files, program
from tests.crystal_files import CORPUS
from tests.language_models import KERNELS, random_model, tiny_config

HERE = Path(__file__).parent
ARM = "aarch64-linux-gnu-gcc"
QEMU = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
WARN = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
MOST_BYTES = 64 * 1024
L1 = {"kernel": "laplace", "activation": None, "metric": "l1"}
SHAPES = [
    {"vocabulary": 23, "dim": 8, "context": 6, "heads": 2, "neurons": (5, 7), "ffn": 9},
    {"vocabulary": 100, "dim": 96, "context": 16, "heads": 3, "neurons": (100,), "ffn": 70},
]


def driver(place: Path, compiler: str) -> Path:
    """``runtime_cross.c`` and the runtime."""
    names = [str(p) for p in folder().glob("*.c") if p.name != MAIN]
    command = [need(compiler), *WARN, "-O2", f"-I{folder()}", *names, str(HERE / "runtime_cross.c")]
    run([*command, "-o", compiler], place)
    return place / compiler


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the driver for ARM."""
    need(QEMU[0])
    return [*QEMU, str(driver(tmp_path_factory.mktemp("arm"), ARM))]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of the driver for this machine."""
    return [str(driver(tmp_path_factory.mktemp("here"), "gcc"))]


def said(command: list[str], files: Iterable[bytes], count: int) -> list[str]:
    """Lines of the driver."""
    frames = b"".join(struct.pack("<Q", len(f)) + f for f in files)
    return run([*command, str(count)], HERE, frames).decode().splitlines()


def texts(lines: list[str], layer: str) -> list[list[str]]:
    """Ids and hash of each file in one layer."""
    return [words[1:] for line in lines if (words := line.split())[0] == layer]


def loaded_bytes(made: Path) -> int:
    """Code and data; the file also has holes, for pages of 64 KB."""
    header, sizes = run(["aarch64-linux-gnu-size", str(made)], HERE).decode().splitlines()
    assert header.split()[:2] == ["text", "data"]
    return sum(map(int, sizes.split()[:2]))


@pytest.mark.parametrize("kernel", [*KERNELS, L1], ids=str)
def test_neon_gives_the_bits_of_every_layer(kernel: dict, arm: list[str], here: list[str]) -> None:
    files = []
    for seed, shape in enumerate(SHAPES):
        for kind in ("causal_lm", "flat_lm"):
            heads = shape["heads"] if kind == "causal_lm" else 1
            config = tiny_config(kind=kind, **{**shape, "heads": heads}, **kernel)
            made = random_model(config, seed)
            files += [
                write(made, mode, panels=panels) for mode in MODES for panels in (True, False)
            ]
    lines, ours = said(arm, files, 20), said(here, files, 20)
    wanted = texts(ours, "scalar")
    assert len(wanted) == len(files) and len({w[-1] for w in wanted}) > len(MODES)
    assert texts(lines, "neon") == texts(lines, "scalar") == wanted
    if platform.machine() == "x86_64":
        for layer in ("avx2", "avx512"):
            assert texts(ours, layer) in ([], wanted)


@pytest.mark.parametrize("mode", ["f32", "q8", "q8q4"])
def test_greedy_text_of_200_tokens(mode: str, arm: list[str], here: list[str]) -> None:
    shape = {"vocabulary": 60, "dim": 32, "context": 16, "neurons": (50, 40), "ffn": 48}
    made = random_model(tiny_config(heads=4, **shape), 175)
    data = [write(made, mode)]
    found = texts(said(arm, data, 200), "neon")
    assert found == texts(said(here, data, 200), "scalar")
    assert len(found[0]) == 201 and len(set(found[0])) > 15
    if mode == "f32":
        ids = generate(LanguageNet.from_model(made).eval(), [1])
        assert found[0][:-1] == [str(next(ids)) for _ in range(200)]


def test_verdicts(arm: list[str]) -> None:
    rng = np.random.default_rng(11)
    files = [make().bytes() for make in CORPUS.values()]
    seeds = [make().bytes() for name, make in CORPUS.items() if name.startswith("00")]
    files += [mutate(seeds[rng.integers(len(seeds))], rng) for _ in range(600)]
    found = said(arm, files, 0)
    assert found == [str(int(verdict(f)[0])) for f in files]
    assert len(set(found)) > 20


def test_the_program(tmp_path: Path) -> None:
    """Built as ``make runtime`` builds it; then a C program with the model in it."""
    need(QEMU[0])
    data = write(random_model(tiny_config()), "q8")
    (tmp_path / "lm.crystal").write_bytes(data)
    made = program(tmp_path / "runtime", need(ARM), PROGRAM_FLAGS)
    assert loaded_bytes(made) <= MOST_BYTES
    words = ["abc", "40", "0.9", "--layer"]
    shown = [run([*QEMU, str(made), "lm.crystal", *words, x], tmp_path) for x in ("neon", "scalar")]
    ours = [str(small_program()), str(tmp_path / "lm.crystal"), *words, "scalar"]
    assert shown == [subprocess.run(ours, capture_output=True, check=True).stdout] * 2
    write_tree(tmp_path / "c", language_files(data, "lm"))
    names = sorted(p.name for p in (tmp_path / "c").glob("*.c"))
    run([ARM, *WARN, "-O1", *names, "-o", "lm"], tmp_path / "c")
    assert run([*QEMU, "./lm", "abc", "40", "0.9"], tmp_path / "c") == shown[0]


@pytest.mark.parametrize("arithmetic", ["f32", "q8", "fixed8", "fixed16"])
def test_classifiers(arithmetic: str, tmp_path: Path) -> None:
    """Their C has no vectors of ARM's: the scalar form is what a compiler makes of it."""
    need(QEMU[0])
    case = model(tmp_path, arithmetic, frozen=0.7, activation="relu")
    sources = ["crystal.c", "crystal_main.c"]
    run([need(ARM), "-std=c99", "-O2", *STRICT, "-I.", *sources, "-o", "harness"], tmp_path)
    start = tmp_path / "start"
    start.write_text(f'#!/bin/sh\nexec {" ".join(QEMU)} {tmp_path / "harness"} "$@"\n')
    start.chmod(0o755)
    wanted = interpret(case.compiled.meaning, case.vectors)
    bound = np.zeros(wanted.shape)
    if not case.compiled.meaning.is_fixed:
        bound = error_bound(case.compiled.shaped, case.vectors, 24)
    for arguments in ((), ("batch",)):
        result = judge(wanted, case.run(start, *arguments), bound)
        assert result.ok, f"{arguments}: {result.reason}"


def test_a_big_endian_compiler_is_told(tmp_path: Path) -> None:
    swapped = ["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"]
    command = [need("gcc"), "-std=c99", "-fsyntax-only", *swapped, str(folder() / "model.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "needs a little-endian machine" in done.stderr
