"""``crystalc prove`` on folded builds: sound ones are proved, seeded faults are found and named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from crystalc.cli import run
from crystalc.cli.prove import table
from crystalc.driver import Options, compile_checkpoint, write
from crystalc_verilog.proof.build import load
from crystalc_verilog.proof.certificate import Certificate, Limits
from crystalc_verilog.proof.prove import prove
from hw_tests.verilog_models import tiny_checkpoint

pytest.importorskip("pyosys", reason="pyosys is not installed")

SHAPE: Any = {"inputs": 4, "neurons": 4, "outputs": 3, "frozen": 1.0}


def built(place: Path, lanes: int, argmax: bool = False, width: int = 8, **shape: Any) -> Path:
    options = {"arch": "folded", "lanes": str(lanes)}
    wanted = Options("verilog", arithmetic="fixed", width=width, backend=options, argmax=argmax)
    write(compile_checkpoint(tiny_checkpoint(**{**SHAPE, **shape}), wanted), place)
    return place


def proof(place: Path) -> Certificate:
    return prove(load(place), Limits(1, 60.0, None), lambda what, done, of: None)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("sound"), 2, kernel="radial", activation="relu")


def test_a_sound_build_is_proved(sound: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["prove", str(sound)]) == 0
    assert "everything that was tried is proved" in capfd.readouterr().out
    held = json.loads((sound / "proof.json").read_text())
    assert {item["group"] for item in held["items"]} == {"neuron", "function", "output", "control"}
    assert {i["neuron"] for i in held["items"] if i["group"] == "neuron"} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("lanes", "kernel"),
    [
        (1, {"kernel": "gauss"}),
        (4, {"kernel": "laplace", "metric": "l1"}),
        (3, {"kernel": "radial", "activation": "relu", "projection": True, "head": True}),
    ],
    ids=["gauss", "laplace", "projection and head"],
)
def test_every_kind_of_pass_is_proved(lanes: int, kernel: Any, tmp_path: Path) -> None:
    made = proof(built(tmp_path, lanes, **kernel))
    assert made.ok, [i for i in made.items if i.status != "proved"]


def test_what_is_not_covered_is_simulated_only(tmp_path: Path) -> None:
    """Active neurons are neither proved nor refuted."""
    made = proof(built(tmp_path, 2, frozen=0.5))
    bad = [item for item in made.items if item.status != "proved"]
    assert bad and {item.status for item in bad} == {"simulated only"}
    assert bad[0].detail == (
        "active neurons of a folded build stand in memories that a bus writes: such a build is "
        "only simulated (crystalc check), a parallel one is proved"
    )
    assert "NOT PROVED: nothing is refuted, but 1 statement is only simulated" in table(made, False)


NORMALISED: Any = {"kernel": "laplace", "normalized": True, "outputs": 1}


def test_a_division_is_proved_and_a_wrong_one_refuted(tmp_path: Path) -> None:
    place = built(tmp_path, 2, width=6, **NORMALISED)
    made = proof(place)
    assert made.ok, [i for i in made.items if i.status != "proved"]
    assert [i for i in made.items if i.what.startswith("div")]
    cells = place / "crystal_cells.v"
    text = cells.read_text()
    assert "more >= twice" in text
    cells.write_text(text.replace("more >= twice", "more > twice"))
    bad = [i for i in proof(place).items if i.status == "refuted"]
    assert bad and all(i.detail for i in bad)


@pytest.fixture(scope="module")
def choosing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with --argmax."""
    place = tmp_path_factory.mktemp("choosing")
    return built(place, 2, argmax=True, kernel="radial", activation="relu", outputs=5)


def test_argmax_is_proved(choosing: Path) -> None:
    made = proof(choosing)
    assert made.ok, [i for i in made.items if i.status != "proved"]
    assert [i for i in made.items if i.what.startswith("argmax")]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("crystal_cells.v", "number > best", "number >= best"),
        ("crystal_cells.v", "assign in_ready = ~out_valid;", "assign in_ready = 1'b1;"),
        ("crystal_cells.v", "best_index <= count;", "best_index <= count ^ 1'b1;"),
        ("crystal_cells.v", "localparam [31:0] LAST = N - 1;", "localparam [31:0] LAST = N - 2;"),
        ("crystal.v", "assign out_data = best;", "assign out_data = ~best;"),
        ("crystal.v", "result_ready, result, out", "result_ready, ~result, out"),
    ],
    ids=["the last largest", "never waits", "place", "one too few", "output", "input"],
)
def test_a_fault_of_argmax_is_found(
    choosing: Path, tmp_path: Path, file: str, old: str, new: str
) -> None:
    place = tmp_path / "wrong"
    shutil.copytree(choosing, place)
    text = (place / file).read_text()
    assert old in text
    (place / file).write_text(text.replace(old, new, 1))
    made = proof(place)
    assert "refuted" in {item.status for item in made.items}


def flipped(found: re.Match[str]) -> str:
    """The lowest bit of a hexadecimal digit inverted."""
    return f"{found[1]}{int(found[2], 16) ^ 1:x}{found[3]}"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("crystal.v", r"(?s)(module crystal_weights.*? = \d+'h[1-9a-f]\w*)(\w)(;)", flipped),
        ("crystal.v", r"(wire last = .*? == \d+'h)(\w)(\))", flipped),
        ("crystal.v", r"else if \(advance\) v <=", "else v <="),
        ("crystal.v", r"assign out_data = result;", "assign out_data = result ^ in_valid;"),
        ("crystal_cells.v", r"first \? ~start : ~sum", "first ? start : ~sum"),
        ("crystal_cells.v", r"over \? most : under", "under ? most : under"),
        ("crystal.v", r"\{d1, d2, live, first\} <= 0;", "{d1, d2, first} <= 0;"),
    ],
    ids=["weight", "step", "moves while held", "data and valid", "start", "clipping", "reset"],
)
def test_a_fault_is_found(sound: Path, tmp_path: Path, file: str, old: str, new: Any) -> None:
    place = tmp_path / "wrong"
    shutil.copytree(sound, place)
    text = (place / file).read_text()
    wrong = re.sub(old, new, text, count=1)
    assert wrong != text
    (place / file).write_text(wrong)
    made = proof(place)
    assert made.build.changed == [file]
    bad = [item for item in made.items if item.status != "proved"]
    assert bad and all(item.detail for item in bad)
