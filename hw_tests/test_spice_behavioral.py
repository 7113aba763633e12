"""The behavioral circuit against the oracle, through both ways of running ngspice."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError, ToolError
from crystalc.interpret import interpret
from crystalc_spice import SpiceBackend
from crystalc_spice.netlist import Netlist
from crystalc_spice.ngspice import Ngspice, NgspiceError
from hw_tests.spice_models import NEEDS_NGSPICE, build, random_float_graph

pytestmark = NEEDS_NGSPICE

LIMIT = 1e-6


@pytest.mark.parametrize("seed", range(24))
def test_equals_the_oracle(seed: int, tmp_path: Path) -> None:
    graph, x = random_float_graph(seed, "q8" if seed % 4 == 3 else "f32")
    got = build(tmp_path, graph, engine="shared").execute(tmp_path, x)
    wanted = interpret(graph, x)
    assert np.abs(got - wanted).max() <= LIMIT * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("seed", range(100, 106))
def test_both_engines_agree(seed: int, tmp_path: Path) -> None:
    if not shutil.which("ngspice"):
        pytest.skip("ngspice is not installed")
    graph, x = random_float_graph(seed)
    first, second = (
        build(tmp_path, graph, engine=engine).execute(tmp_path, x) for engine in ("shared", "batch")
    )
    assert np.abs(first - second).max() <= 1e-9 * max(1.0, np.abs(first).max())


@pytest.mark.parametrize("count", [1, 2])
def test_few_vectors_in_a_sweep(count: int, tmp_path: Path) -> None:
    graph, x = random_float_graph(7)
    got = build(tmp_path, graph, engine="batch").execute(tmp_path, x[:count])
    assert np.abs(got - interpret(graph, x[:count])).max() <= LIMIT


def test_a_wrong_gain_is_noticed(tmp_path: Path) -> None:
    graph, x = random_float_graph(1)
    backend = build(tmp_path, graph)
    netlist = tmp_path / "crystal.cir"
    lines = netlist.read_text().split("\n")
    at = next(k for k, line in enumerate(lines) if re.match(r"g\d+ 0 n\d+_0 x0 ", line))
    lines[at] = " ".join([*lines[at].split()[:-1], "0.5"])
    netlist.write_text("\n".join(lines))
    assert np.abs(backend.execute(tmp_path, x) - interpret(graph, x)).max() > 1e-3


def test_the_netlist_says_what_it_is(tmp_path: Path) -> None:
    graph, _ = random_float_graph(1)
    build(tmp_path, graph, prefix="mine")
    text = (tmp_path / "mine.cir").read_text()
    assert text.startswith("* mine: crystal as a circuit, level behavioral\n* made by a test\n")
    assert text.endswith(".end\n")
    assert max(map(len, text.split("\n"))) <= 400
    facts = json.loads((tmp_path / "mine.json").read_text())
    assert facts["elements"]["g"] == len(re.findall(r"^g\d", text, re.MULTILINE))
    assert len(facts["outputs"]) == graph.output.type.shape[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "ideal"}, "option 'level' of target 'spice' is 'ideal'"),
        ({"engine": "fast"}, "option 'engine' of target 'spice' is 'fast'"),
        ({"prefix": "a\n.control"}, "is not a lower-case identifier"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        SpiceBackend(**options)


def test_what_ngspice_says_becomes_an_error(tmp_path: Path) -> None:
    graph, x = random_float_graph(1)
    backend = build(tmp_path, graph, engine="shared")
    netlist = tmp_path / "crystal.cir"
    netlist.write_text(netlist.read_text().replace("\nrn", "\nbroken n", 1))
    with pytest.raises(ToolError, match="ngspice failed with code 3"):
        backend.execute(tmp_path, x)


def test_an_unknown_source_is_an_error() -> None:
    netlist = Netlist()
    netlist.source("x0", 1.0)
    netlist.summing("y")
    netlist.add("y", "x0", 2.0)
    simulator = Ngspice()
    simulator.load(["* title", *netlist.lines, ".end"])
    simulator.command("op")
    assert simulator.vector("y")[0] == pytest.approx(2.0)
    with pytest.raises(NgspiceError):
        simulator.command("alter vnone dc = 1")
    with pytest.raises(NgspiceError, match="no vector none"):
        simulator.vector("none")


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = random_float_graph(1)
    backend = build(tmp_path, graph, engine="batch")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="ngspice does not start") as caught:
        backend.execute(tmp_path, x)
    assert "apt install ngspice" in str(caught.value)
