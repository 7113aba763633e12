"""``crystalc prove``: sound builds are proved, seeded faults are refuted and named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from crystalc.cli import run
from crystalc.driver import Options, compile_checkpoint, write
from crystalc_verilog.proof.build import load
from crystalc_verilog.proof.certificate import Certificate, Limits
from crystalc_verilog.proof.prove import prove
from hw_tests.verilog_models import tiny_checkpoint

pytest.importorskip("pyosys", reason="pyosys is not installed")

LIMITS = Limits(1, 60.0, None)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with frozen and active neurons, tables and rounding."""
    place = tmp_path_factory.mktemp("sound")
    checkpoint = tiny_checkpoint("gauss", inputs=3, neurons=4)
    options = Options("verilog", arithmetic="fixed", width=5, argmax=True)
    write(compile_checkpoint(checkpoint, options), place)
    return place


def proof(place: Path, limits: Limits = LIMITS) -> Certificate:
    """The certificate of a build."""
    return prove(load(place), limits, lambda what, done, of: None)


Replacement = str | Callable[[re.Match[str]], str]


def flipped(found: re.Match[str]) -> str:
    """The lowest bit of a hexadecimal digit inverted."""
    return f"{found[1]}{int(found[2], 16) ^ 1:x}{found[3]}"


def mutant(sound: Path, place: Path, file: str, old: str, new: Replacement) -> Path:
    """A copy of the build with the first match of ``old`` replaced."""
    shutil.copytree(sound, place)
    text = (place / file).read_text()
    wrong = re.sub(old, new, text, count=1)
    assert wrong != text
    (place / file).write_text(wrong)
    return place


def test_a_sound_build_is_proved(sound: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["prove", str(sound)]) == 0
    assert "everything that was tried is proved" in capfd.readouterr().out
    held = json.loads((sound / "proof.json").read_text())
    assert held["ok"] and not held["changed_since_compile"]
    groups = {item["group"] for item in held["items"]}
    assert groups == {"neuron", "function", "output", "cells", "handshake"}
    assert {i["neuron"] for i in held["items"] if i["group"] == "neuron"} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("crystal.v", r"(?s)(module crystal_t0002.*?B0 = \d+'h\w*)(\w)(\w;)", flipped),
        ("crystal.v", r"( \^ \d+'h\w*)(\w)(;)", flipped),
        ("crystal.v", r"crystal_add #\((\d+), (\d), (\d+), ", r"crystal_add #(\1, \2, 1\3, "),
        ("crystal.v", r"(crystal_saturate #\(\d+, \d, )(\d+)", r"\g<1>1\2"),
        ("crystal_cells.v", r"full = a \+ b", "full = a | b"),
        ("crystal_cells.v", r", a\[0\] \^ b\[0\]", ", a[0] | b[0]"),
        ("crystal_cells.v", r"high = a \+ b", "high = a | b"),
        ("crystal_cells.v", r"high = a\[WA-1:LB\] \+ b", "high = a[WA-1:LB] | b"),
    ],
    ids=[
        "table entry",
        "inverted sign",
        "adder's shift",
        "rounding's shift",
        "adder's gates",
        "adder's lowest bit",
        "adder's high bits",
        "adder's other high bits",
    ],
)
def test_a_wrong_bit_is_refuted(
    sound: Path, tmp_path: Path, file: str, old: str, new: Replacement
) -> None:
    place = mutant(sound, tmp_path / "wrong", file, old, new)
    made = proof(place)
    assert made.build.changed == [file]
    refuted = [item for item in made.items if item.status == "refuted"]
    assert refuted and all(item.detail for item in refuted)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"assign load = in_ready & in_valid;", "assign load = in_valid;"),
        (r"out_valid <= in_valid;", "out_valid <= in_valid & ~load;"),
        (r"if \(rst\) out_valid <= 1'b0;\s+else if", "if"),
        (r"assign in_ready = out_ready \| ~out_valid;", "assign in_ready = 1'b1;"),
    ],
    ids=["load without ready", "dropped valid", "no reset", "ready though full"],
)
def test_a_broken_handshake_is_refuted(sound: Path, tmp_path: Path, old: str, new: str) -> None:
    made = proof(mutant(sound, tmp_path / "wrong", "crystal_cells.v", old, new))
    assert any(i.group == "handshake" and i.status == "refuted" for i in made.items)


@pytest.mark.parametrize("end", [r"(: \|v", r"( = v"], ids=["beyond the last", "before the first"])
def test_a_wrong_entry_at_an_end_is_not_proved(sound: Path, tmp_path: Path, end: str) -> None:
    """No sample shows it at the output, so it is not called refuted."""
    wrong = end + r"\w+ \? \d+'h\w*)(\w)( : )"
    made = proof(mutant(sound, tmp_path / "wrong", "crystal.v", wrong, flipped))
    assert not made.ok
    assert any(i.what.startswith("kernel") and i.status != "proved" for i in made.items)


def test_a_register_outside_its_rank_is_not_proved(sound: Path, tmp_path: Path) -> None:
    place = mutant(sound, tmp_path / "wrong", "crystal.v", r"if \(load_1\) begin", "begin")
    assert not proof(place).ok


def test_one_neuron_alone(sound: Path) -> None:
    made = proof(sound, Limits(1, 60.0, 2))
    assert made.ok and {i.neuron for i in made.items if i.group == "neuron"} == {2}


def test_no_build_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["prove", str(tmp_path)]) == 2
    assert "no Verilog build" in capfd.readouterr().err
