"""Thousands of vectors through compiled RTL, and faults that it must see."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalc.cli import run
from crystalc.diagnostics import CompileError, ToolError
from crystalc.driver import Options, compile_checkpoint, write
from crystalc.interpret import interpret
from crystalc_verilog import bulk
from crystalc_verilog.chunks import LINES, cut
from crystalc_verilog.cxxrtl import Program, pack, unpack
from crystalc_verilog.simulate import from_hex, to_hex
from hw_tests.verilog_models import tiny_checkpoint

NEEDS_CXXRTL = pytest.mark.skipif(
    find_spec("pyosys") is None or not (shutil.which("clang++") or shutil.which("g++")),
    reason="pyosys or a C++ compiler is not installed",
)


def built(
    place: Path, name: str = "crystal", shape: Mapping[str, Any] | None = None, **options: Any
) -> Path:
    """A small frozen crystal, or one of this shape."""
    backend = {"prefix": name, **options}
    checkpoint = tiny_checkpoint(**{"activation": "relu", "frozen": 1.0, **(shape or {})})
    write(compile_checkpoint(checkpoint, Options("verilog", "fixed", backend=backend)), place)
    return place


@NEEDS_CXXRTL
@pytest.mark.parametrize("arch", ["parallel", "folded"])
def test_many_vectors_are_exact(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = built(tmp_path, "my_net", arch=arch)
    assert run(["check", str(place), "--vectors", "9000"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("check   9000 vectors against the oracle")
    assert out.endswith("0 differences: OK\n")


@NEEDS_CXXRTL
def test_a_wrong_adder_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = built(tmp_path)
    design = place / "crystal.v"
    text = design.read_text()
    adders = [found.split(", ") for found in re.findall(r"crystal_add #\(([^)]*)\)", text)]
    widest = max(adders, key=lambda parameters: int(parameters[7]))
    turned = [*widest[:6], str(1 - int(widest[6])), *widest[7:]]
    design.write_text(text.replace(", ".join(widest), ", ".join(turned), 1))
    assert run(["check", str(place), "--vectors", "5000"]) == 1
    assert "the oracle says" in capsys.readouterr().out


@NEEDS_CXXRTL
def test_no_function_grows_with_the_design(tmp_path: Path) -> None:
    """Compilers of C++ do not come to an end on one function of ten thousand statements."""
    place = built(tmp_path, shape={"frozen": 0.0, "inputs": 16, "neurons": 16})
    with Program(place, "crystal") as program:
        text = (program.place / "design.cc").read_text()
        [x] = bulk.vectors(bulk.find(place)[1], 300, 0)
        assert np.array_equal(program.run(x), interpret(bulk.find(place)[1], x))
    found = re.findall(r"^\w+ p_crystal::(?:eval|part_\d+)\(.*?^}", text, re.S | re.M)
    sizes = [len(re.findall(r"^\t+(?!//)", body, re.M)) for body in found]
    assert sum(sizes) > 10 * LINES
    assert max(sizes) < LINES + 50


def test_cxxrtl_of_another_shape_is_refused() -> None:
    with pytest.raises(ToolError, match="C\\+\\+ of another shape"):
        cut("bool p_crystal::eval() {\n}\n")


def test_a_folder_without_a_design_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="0 designs in this folder"):
        bulk.find(tmp_path)


@pytest.mark.parametrize(("width", "signed", "beats"), [(5, False, 1), (33, True, 1), (7, True, 6)])
def test_packing_is_that_of_the_testbench(width: int, signed: bool, beats: int) -> None:
    port = {"width": width, "signed": signed, "elements": 6, "beats": beats}
    low, high = (-(1 << width - 1), 1 << width - 1) if signed else (0, 1 << width)
    x = np.random.default_rng(0).integers(low, high, (20, 6))
    assert np.array_equal(unpack(pack(x, port), port), x)
    assert np.array_equal(from_hex(to_hex(x, port), port), x)


def test_vectors_are_reproducible_and_of_the_type(tmp_path: Path) -> None:
    _, graph = bulk.find(built(tmp_path))
    first, again = (np.concatenate(list(bulk.vectors(graph, 5000, 3))) for _ in range(2))
    assert np.array_equal(first, again)
    elem: Any = graph.input.type.elem
    assert first.shape[0] == 5000
    assert (first.min(), first.max()) == (elem.low, elem.high)
