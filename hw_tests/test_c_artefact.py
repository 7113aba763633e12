"""What the C artefact is made of: constants, symbols, names, bytes, registers."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from c_models import STRICT, Model, backend, build, model, need, run

from crystalc.diagnostics import CompileError, ToolError
from crystalc.ir import Graph, Loc
from crystalc_c import CBackend

BIG = {"inputs": 300, "dim": 64, "neurons": 128, "frozen": 1.0}


def texts(chosen: CBackend, graph: Graph) -> dict[str, str | bytes]:
    return {str(k): v for k, v in chosen.emit(graph, "made by a test").items()}


@pytest.mark.parametrize("arithmetic", ["f32", "fixed8"])
def test_ways_of_spelling_constants_agree(arithmetic: str, tmp_path: Path) -> None:
    outputs = []
    for how in ("hex", "incbin", "string"):
        place = tmp_path / how
        case = model(place, arithmetic, {"constants": how}, frozen=0.8)
        assert (place / "weights.bin").exists() == (how == "incbin")
        for compiler in ("gcc", "clang"):
            outputs.append(case.run(build(place, need(compiler), ("-O1",))))
    for other in outputs[1:]:
        np.testing.assert_array_equal(outputs[0], other)


def test_large_models_keep_their_constants_in_a_file(tmp_path: Path) -> None:
    model(tmp_path, "f32", **BIG)
    assert (tmp_path / "weights.bin").stat().st_size > 64 * 1024
    assert (tmp_path / "crystal.c").stat().st_size < 32 * 1024


def test_string_literals_are_short_enough_for_c99(tmp_path: Path) -> None:
    model(tmp_path, "f32", {"constants": "string"}, **BIG)
    text = (tmp_path / "crystal.c").read_text()
    literals = re.findall(r'(?:"(?:\\[0-7]{3})+"\s*)+', text)
    assert len(literals) > 10
    assert max(literal.count("\\") for literal in literals) <= 4095


@pytest.mark.parametrize("layout", ["simd", "compact"])
@pytest.mark.parametrize("arithmetic", ["f32", "q8", "fixed8"])
def test_bytes_repeat_and_no_name_of_the_model_reaches_them(
    arithmetic: str, layout: str, tmp_path: Path
) -> None:
    graph = model(tmp_path, arithmetic, frozen=0.5).compiled.shaped
    hostile = '*/ int main(void){} "\n#include </etc/passwd>\\ ??/ $(id) %s\0'
    renamed = tuple(replace(n, loc=Loc(hostile * (i % 3), (i,))) for i, n in graph)
    chosen = backend(layout=layout)
    first = texts(chosen, graph)
    assert first == texts(chosen, graph)
    assert first == texts(chosen, replace(graph, nodes=renamed, source=hostile))


def test_a_hostile_header_stays_a_comment(tmp_path: Path) -> None:
    case = model(tmp_path, "f32", frozen=1.0)
    wicked = 'a */ #error out\n/* b \\\n// c ??/\n"\x1b[2J\u202e' + "*" * 9 + "/"
    for name, content in case.compiled.backend.emit(case.compiled.shaped, wicked).items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    for compiler in ("gcc", "clang"):
        build(tmp_path, need(compiler), ("-O0", "-trigraphs"))


@pytest.mark.parametrize("compiler, level", [("gcc", "-O3"), ("clang", "-O2"), ("gcc", "-Os")])
@pytest.mark.parametrize("layout", ["simd", "compact"])
@pytest.mark.parametrize("arithmetic", ["f32", "q8", "fixed8", "fixed16"])
def test_freestanding_and_re_entrant(
    arithmetic: str, layout: str, compiler: str, level: str, tmp_path: Path
) -> None:
    options = {"layout": layout, "constants": "hex"}
    model(tmp_path, arithmetic, options, frozen=0.5, neurons=150, kernel="laplace")
    flags = ["-std=c99", level, "-ffreestanding", "-nostdlib", *STRICT, "-I."]
    run([need(compiler), *flags, "-c", "crystal.c", "-o", "crystal.o"], tmp_path)
    assert run(["nm", "-u", "crystal.o"], tmp_path).decode().split() == []
    symbols = run(["nm", "-g", "--defined-only", "crystal.o"], tmp_path).decode().splitlines()
    names = {line.split()[-1] for line in symbols}
    assert names == {"crystal_run", "crystal_run_batch", "crystal_state_init"}
    sections = run(["size", "-A", "crystal.o"], tmp_path).decode().splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) for line in sections if line.startswith(".")}
    assert sizes.get(".data", 0) == sizes.get(".bss", 0) == 0


def test_two_models_share_a_program_and_a_header_serves_cpp(tmp_path: Path) -> None:
    graph = model(tmp_path / "one", "f32", frozen=0.5).compiled.shaped
    for prefix in ("left", "right"):
        for name, content in backend(prefix=prefix, constants="string").emit(graph, "x").items():
            (tmp_path / name).write_text(str(content))
    uses = "return sizeof(left_scratch) + sizeof(right_state) < RIGHT_INPUTS;"
    source = f'#include "left.h"\n#include "right.h"\nint main(void) {{ {uses} }}\n'
    (tmp_path / "both.c").write_text(source)
    run(["gcc", "-std=c99", *STRICT, "-I.", "both.c", "left.c", "right.c", "-o", "both"], tmp_path)
    run(
        [need("g++"), "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c++", "left.h"],
        tmp_path,
    )


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("arithmetic, step", [("f32", "vfmadd"), ("fixed8", "vpdpbusd")])
def test_tiles_stay_in_registers(compiler: str, arithmetic: str, step: str, tmp_path: Path) -> None:
    """gcc 12 is known to keep a tile in memory; the inner loops must touch no stack."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("cpu: only x86-64 has these registers")
    model(tmp_path, arithmetic, activation="relu", **BIG)
    flags = ["-std=c99", "-O3", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
    command = [need(compiler), *flags, "-mavx512vnni", "-mfma", "-mavx2", "-S", "crystal.c"]
    run([*command, "-o", "crystal.s"], tmp_path)
    blocks = re.split(r"^\.L\w+:", (tmp_path / "crystal.s").read_text(), flags=re.M)
    tiles = [_loop(b) for b in blocks if _loop(b).count(step) >= 24]
    assert tiles
    assert not any(re.search(r"zmm.*\(%r[sb]p\)|\(%r[sb]p\).*zmm", tile) for tile in tiles)


def _loop(block: str) -> str:
    """The block up to its first jump, less the labels' comments."""
    return re.split(r"^\s+j\w+\s", block, maxsplit=1, flags=re.M)[0]


@pytest.mark.parametrize(
    "options, word",
    [
        ({"prefix": "2x"}, "identifier"),
        ({"prefix": "int"}, "word of C"),
        ({"prefix": "stdio"}, "another file"),
        ({"prefix": "a" * 33}, "identifier"),
        ({"prefix": "a;b"}, "identifier"),
        ({"layout": "wide"}, "layout"),
        ({"constants": "decimal"}, "constants"),
    ],
)
def test_bad_options_are_refused(options: dict[str, str], word: str) -> None:
    with pytest.raises(CompileError, match=word):
        backend(**options)


def broken(case: Model) -> None:
    source = case.place / "crystal.c"
    source.write_text(source.read_text() + "\nint crystal_oops(void) { return missing; }\n")


def test_tool_errors_carry_what_the_compiler_said(tmp_path: Path) -> None:
    case = model(tmp_path, "f32", frozen=1.0)
    with pytest.raises(ToolError, match="no C compiler: no-such-cc"):
        backend(compiler="no-such-cc").execute(tmp_path, case.vectors)
    broken(case)
    with pytest.raises(ToolError, match=r"failed with code 1[^@]*undeclared"):
        backend().execute(tmp_path, case.vectors)
