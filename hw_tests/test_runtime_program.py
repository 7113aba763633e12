"""The runtime as a program: size, options, errors; a model inside a C program; crystalc run."""

from __future__ import annotations

import math
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from c_models import need
from click.testing import CliRunner
from runtime_library import Sampler, running, small_program

from crystalc.cli import cli
from crystalc.container import write
from crystalc.diagnostics import CompileError
from crystalc.files import write_tree
from crystalc_c.build import run
from crystalc_c.language import execute_language
from crystalc_c.runtime import (
    PROGRAM_FLAGS,
    folder,
    language_files,
    program,
    sources,
    tokens_a_second,
)
from tests.language_models import random_model, tiny_config, torch_logits

MOST_BYTES = 64 * 1024
MOST_BYTES_WITHOUT_LAYERS = 41 * 1024
WARN = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "lm.crystal"
    path.write_bytes(write(random_model(tiny_config()), "q8"))
    return path


def say(*arguments: object, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([small_program(), *map(str, arguments)], input=text, capture_output=True)


def test_the_program_is_small(tmp_path: Path) -> None:
    assert small_program().stat().st_size <= MOST_BYTES
    flags = (*PROGRAM_FLAGS, "-DCRYSTAL_NO_SIMD")
    plain = program(tmp_path / "plain", need("gcc"), flags)
    assert plain.stat().st_size <= MOST_BYTES_WITHOUT_LAYERS


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("extra", [(), ("-DCRYSTAL_NO_SIMD",)])
def test_it_compiles_without_a_warning(compiler: str, extra: tuple[str], tmp_path: Path) -> None:
    program(tmp_path / "p", need(compiler), (*WARN, "-O1", *extra))


def test_no_library_but_libc(tmp_path: Path) -> None:
    """No libm; nothing that aborts; memory only where a model is loaded or text is read."""
    objects = tmp_path / "o"
    objects.mkdir()
    for name, text in sources().items():
        (tmp_path / name).write_bytes(text)
    names = [f"../{n}" for n in sources() if n.endswith(".c") and n != "main.c"]
    run([need("gcc"), "-std=c99", "-O2", "-c", *names], objects)
    listed = run(["nm", "-u", *(p.name for p in objects.glob("*.o"))], objects).decode()
    needed = {w for line in listed.splitlines() if " U " in line for w in [line.split()[-1]]}
    foreign = {n for n in needed if not n.startswith(("crystal_", "__cpu", "_GLOBAL"))}
    allowed = {"malloc", "calloc", "free", "memcpy", "memmove", "memset", "memcmp", "strcmp"}
    allowed |= {"strlen", "open", "close", "fstat", "mmap", "munmap", "__stack_chk_fail"}
    assert foreign <= allowed


def test_text_is_that_of_the_library(model: Path) -> None:
    with running(model.read_bytes()) as m:
        ids, _ = m.encode(b"abc")
        wanted = [chr(97 + i) for i in m.generate(ids, 30, Sampler(0.7, 0.9, 5, 11))]
    options = ("-n", 30, "-t", 0.7, "-k", 5, "-p", 0.9, "--seed", 11, "--threads", 1)
    assert say(model, "abc", *options).stdout.decode() == "abc" + "".join(wanted) + "\n"
    assert say(model, "-", *options, text=b"abc").stdout.decode().strip() == "abc" + "".join(wanted)
    assert say(model, "abc", 30, 0.7, *options[4:]).stdout == say(model, "abc", *options).stdout


def test_perplexity_is_that_of_the_windows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefghijklmnopq")
    ids, losses = np.arange(17), []
    source = random_model(tiny_config())
    for start in range(0, 16, 6):
        window = ids[start : start + 7]
        logits = torch_logits(source, window[None, :-1])[0]
        top = logits - logits.max(1, keepdims=True)
        share = top - np.log(np.exp(top).sum(1, keepdims=True))
        losses += (-share[np.arange(len(window) - 1), window[1:]]).tolist()
    path = tmp_path / "f32.crystal"
    path.write_bytes(write(source, "f32"))
    words = say(path, "--perplexity", tmp_path / "t.txt").stdout.decode().split()
    assert words[0] == "16"
    assert float(words[3]) == pytest.approx(np.mean(losses), abs=2e-5)
    assert float(words[-1]) == pytest.approx(math.exp(float(words[3])), rel=1e-4)


def test_bench_prints_a_time(model: Path) -> None:
    words = say(model, "--bench", "--layer", "scalar").stdout.decode().split()
    assert words[:2] == ["layer", "scalar,"] and float(words[words.index("best") + 1]) > 0


def test_speed_is_read_off_the_bench(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    speed = tokens_a_second(model.read_bytes())
    assert speed is not None and speed > 100
    monkeypatch.setenv("CC", "no-such-compiler")
    assert tokens_a_second(model.read_bytes()) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a",), "a model and a prompt are needed"),
        (("a", "b", "-n"), "a value is missing"),
        (("a", "b", "-n", "-1"), "-n: not a whole number, 0..1073741824"),
        (("a", "b", "-t", "nan"), "-t: not a number, 0..1000000"),
        (("a", "b", "-p", "2"), "-p: not a number, 0..1"),
        (("a", "b", "--threads", "2"), "--threads: not 1"),
        (("a", "b", "--seed", "x"), "--seed: not a whole number, 0 or more"),
        (("a", "b", "-k", "1073741825"), "-k: not a whole number, 0..1073741824"),
        (("a", "b", "--what"), "no such option"),
        (("a", "b", "many"), "not a count"),
        (("a", "b", "1", "1", "1"), "not a count"),
        (("MODEL", "b", "--layer", "mmx"), "no such layer"),
        (("MODEL", "123"), "no token that the model knows"),
        (("MODEL", "--perplexity", "missing"), "No such file"),
    ],
)
def test_errors_are_one_sentence(model: Path, arguments: tuple[str], words: str) -> None:
    done = say(*(str(model) if a == "MODEL" else a for a in arguments))
    assert done.returncode == 2 and done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert lines[-1].startswith("error: ") and words in lines[-1]


@pytest.mark.parametrize("constants", ["incbin", "string"])
def test_a_model_inside_a_program_says_the_same(
    constants: str, model: Path, tmp_path: Path
) -> None:
    write_tree(tmp_path, language_files(model.read_bytes(), "lm", "made by a test", constants))
    names = [p.name for p in tmp_path.glob("*.c")]
    run([need("gcc"), *WARN, "-Wno-overlength-strings", "-O1", *names, "-o", "lm"], tmp_path)
    done = subprocess.run([tmp_path / "lm", "abc", "40", "0.9"], capture_output=True)
    assert done.stdout == say(model, "abc", 40, 0.9).stdout
    symbols = run(["nm", "-g", "--defined-only", "lm"], tmp_path).decode().split("\n")
    assert not [s for s in symbols if "crystal" in s]


def test_another_model_in_the_folder_is_no_part_of_this_one(model: Path, tmp_path: Path) -> None:
    need("gcc")
    for name in ("old", "lm"):
        write_tree(tmp_path, language_files(model.read_bytes(), name, "made by a test"))
    logits = execute_language(tmp_path, "lm", "", "", np.zeros((1, 3), np.int64))
    assert logits.shape[:2] == (1, 3) and np.isfinite(logits).all()


def test_the_prefix_is_an_identifier(model: Path) -> None:
    with pytest.raises(CompileError, match="does not begin C names"):
        language_files(model.read_bytes(), 'x"; system("')


def test_crystalc_run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("gcc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "crystalc", "run", model, "abc", "-n", "20", "-t", "0"],
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (0, say(model, "abc", 20, 0).stdout)
    assert len(list((tmp_path / "crystalc").iterdir())) == 1
    assert CliRunner().invoke(cli, ["run", str(model)], standalone_mode=False).exception


def test_no_vector_is_spilled_in_a_loop_of_products(tmp_path: Path) -> None:
    """What is added up stays in registers: innermost loops with vpdpbusd never touch the stack."""
    if platform.machine() != "x86_64":
        pytest.skip("cpu: the AVX-512 layer is for x86-64")
    source = str(folder() / "layer_avx512.c")
    run([need("gcc"), "-std=c99", "-Os", "-c", source, "-o", "layer.o"], tmp_path)
    text = run(["objdump", "-d", "--no-show-raw-insn", "layer.o"], tmp_path).decode()
    code = [(int(a, 16), op) for a, op in re.findall(r"^ +([0-9a-f]+):\t(.*)$", text, re.M)]
    jumps = [(at, int(m[1], 16)) for at, op in code if (m := re.match(r"j\w+ +([0-9a-f]+)", op))]
    loops = [(to, at) for at, to in jumps if to < at]
    inner = [a for a in loops if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    bodies = [[op for at, op in code if to <= at <= end] for to, end in inner]
    products = [body for body in bodies if any("vpdpbusd" in op for op in body)]
    assert len(products) >= 2
    assert not [op for body in products for op in body if "zmm" in op and "(%rsp" in op]
