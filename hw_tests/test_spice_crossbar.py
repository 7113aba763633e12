"""Crossbars: resistors of a series, their tolerances, their parts lists."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from crystalc.cli import run
from crystalc.diagnostics import CompileError
from crystalc.interpret import interpret
from crystalc.ir import Op
from crystalc_spice import SpiceBackend
from crystalc_spice.build import Build, read_build
from crystalc_spice.equations import Parts, solve
from crystalc_spice.montecarlo import BOUND, Spread, draw, in_ngspice, tolerances
from crystalc_spice.parts import kicad, lines, placed, scaled
from crystalc_spice.series import decade, nearest
from hw_tests.spice_models import NEEDS_NGSPICE, build, random_float_graph

SEEDS = range(8)


def made(folder: Path, seed: int, series: str = "E96") -> tuple[Build, np.ndarray, np.ndarray]:
    """A build, inputs, and what the oracle says to them."""
    graph, x = random_float_graph(seed)
    build(folder, graph, level="crossbar", series=series)
    return read_build(folder), x, interpret(graph, x)


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_parts_give_the_oracle(seed: int, tmp_path: Path) -> None:
    """What is left is the finite gain of the amplifiers and resistors beyond 10 M."""
    found, x, wanted = made(tmp_path, seed, "exact")
    got = solve(found.facts["stages"], x, found.facts["outputs"], Parts(found.resistors, {}))
    assert np.abs(got - wanted).max() <= 0.02 * max(1.0, np.ptp(wanted))


@NEEDS_NGSPICE
@pytest.mark.parametrize("seed", SEEDS)
def test_the_equations_are_those_of_the_netlist(seed: int, tmp_path: Path) -> None:
    found, x, wanted = made(tmp_path, seed)
    parts = draw(found, Spread(0.05, 1e-3, 0.05), np.random.default_rng(seed), 60.0)
    ours = solve(found.facts["stages"], x, found.facts["outputs"], parts)
    assert np.abs(in_ngspice(found, parts, x) - ours).max() <= 1e-6 * max(1.0, np.ptp(wanted))


@NEEDS_NGSPICE
def test_ngspice_notices_equations_of_another_circuit(tmp_path: Path) -> None:
    found, x, _ = made(tmp_path, 3)
    stage = next(s for s in found.facts["stages"] if len(s.get("resistors", ())) > 2)
    stage["resistors"][1][1] = "one"
    result = tolerances(found, x, None, Spread(0.01, 0.0), trials=2, repeated=1)
    assert result.difference > BOUND
    assert not result.ok


@NEEDS_NGSPICE
def test_no_spread_changes_no_decision(tmp_path: Path) -> None:
    found, x, _ = made(tmp_path, 3)
    result = tolerances(found, x, x[:, 0].astype(np.int64), Spread(0.0, 0.0), 3, repeated=1)
    assert result.ok
    assert result.agreement[27.0].tolist() == [1.0, 1.0, 1.0]
    assert len(set(result.accuracy[27.0].tolist())) == 1


def test_a_seed_draws_the_same_parts(tmp_path: Path) -> None:
    found, _, _ = made(tmp_path, 3)
    first, second, third = (
        draw(found, Spread(0.01, 1e-3), np.random.default_rng(s), 27.0) for s in (1, 1, 2)
    )
    assert first == second != third
    ratio = np.array([first.ohms[n] / r for n, r in found.resistors.items()])
    assert 0.002 < ratio.std() < 0.03


@pytest.mark.parametrize("seed", [1, 7, 11, 13])
def test_a_temperature_is_the_gain_before_a_kernel(seed: int, tmp_path: Path) -> None:
    """One feedback resistor for each neuron changes, and each kernel's argument by as much."""
    found, x, _ = made(tmp_path, seed)
    parts = draw(found, Spread(0.0, 0.0, 0.1), np.random.default_rng(seed), 27.0)
    changed = {n for n, ohms in found.resistors.items() if parts.ohms[n] != ohms}
    scores = [s for s in found.stages if s["out"] in found.facts["scores"]]
    assert changed == {s["resistors"][0][0] for s in scores if "resistors" in s}
    graph, _ = random_float_graph(seed)
    kernels = graph.find(Op.EXP) + graph.find(Op.RELU) + graph.find(Op.GELU)
    assert len(scores) == sum(graph[i].type.shape[0] for i in kernels)
    nets = [s["out"] for s in scores if "resistors" in s]
    before, after = (solve(found.stages, x, nets, p) for p in (Parts(found.resistors, {}), parts))
    ratios = [parts.ohms[s["resistors"][0][0]] / s["resistors"][0][2] for s in scores]
    assert after == pytest.approx(before * ratios, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("series", ["E12", "E24", "E48", "E96", "E192"])
def test_every_resistor_is_of_the_series(series: str, tmp_path: Path) -> None:
    found, _, _ = made(tmp_path, 5, series)
    for ohms in found.resistors.values():
        mantissa = float(f"{ohms:.6e}".partition("e")[0])
        assert any(abs(mantissa - v) < 1e-9 for v in decade(series)), ohms


def test_the_series() -> None:
    assert decade("E12") == (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2, 10.0)
    assert [len(decade(s)) - 1 for s in ("E24", "E48", "E96", "E192")] == [24, 48, 96, 192]
    assert {4.99, 9.09, 9.76} <= set(decade("E96"))
    assert 9.2 in decade("E192")
    assert nearest(4990.0, "E96") == 4990.0
    assert nearest(5.0e3, "E12") == 4700.0
    assert nearest(9.9e4, "E24") == 1e5


def test_the_parts_list_counts_every_part(tmp_path: Path) -> None:
    found, _, _ = made(tmp_path, 5)
    (tmp_path / "vectors.npy").touch()
    assert run(["bom", str(tmp_path)]) == 0
    with (tmp_path / "bom.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    resistors = sum(int(r["quantity"]) for r in rows if r["part"] == "resistor")
    netlist = (tmp_path / "crystal.cir").read_text()
    assert resistors == len(re.findall(r"^r\d+ ", netlist, re.MULTILINE))
    assert int(rows[-1]["quantity"]) == len(found.offsets)
    assert lines(placed(found))[0] == ("quantity", "part", "value", "references")
    assert [scaled(v) for v in (4990.0, 1.2e6, 820.0, 5e-11)] == ["4.99k", "1.2M", "820", "50p"]


def test_the_kicad_netlist_is_balanced_and_connects_every_pin(tmp_path: Path) -> None:
    found, _, _ = made(tmp_path, 5)
    text = kicad(placed(found))
    assert text.count("(") == text.count(")")
    pins = 2 * len(found.resistors) + 3 * len(found.offsets)
    assert text.count("(node ") == pins
    assert text.count("(comp ") == len(found.resistors) + len(found.offsets)


@NEEDS_NGSPICE
def test_montecarlo_writes_a_report_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, x, _ = made(tmp_path, 5)
    np.save(tmp_path / "vectors.npy", x)
    words = ["--trials", "6", "--sigma-r", "2%", "--temp", "0,85", "--repeat", "1"]
    assert run(["montecarlo", str(tmp_path), *words]) == 0
    facts = json.loads((tmp_path / "montecarlo.json").read_text())
    assert [row["temperature"] for row in facts["rows"]] == [0.0, 85.0]
    assert facts["repeated_in_ngspice"] == 2
    assert facts["sigma_r"] == 0.02
    assert (tmp_path / "montecarlo.png").read_bytes().startswith(b"\x89PNG")
    assert "2 trials repeated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["montecarlo", "nowhere"], "nowhere: 0 netlists, not one"),
        (["bom", "nowhere"], "nowhere: 0 netlists, not one"),
        (["montecarlo", ".", "--sigma-r", "1x"], "'1x' is not a number with %, m or u"),
        (["montecarlo", ".", "--temp", "hot"], "--temp hot is not a list of numbers"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made(tmp_path, 5)
    np.save(tmp_path / "vectors.npy", np.ones((2, 2)))
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert message in capsys.readouterr().err


def test_a_series_needs_resistors(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="option 'series' has no meaning here"):
        SpiceBackend(series="E24")
    graph, _ = random_float_graph(1)
    build(tmp_path, graph)
    with pytest.raises(
        CompileError, match="the netlist is of level behavioral; this command takes crossbar"
    ):
        read_build(tmp_path)
