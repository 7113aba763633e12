"""spice_report.json and the commands that read it: noise, scope, levels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crystalc.cli import run
from hw_tests.spice_models import NEEDS_NGSPICE, as_document, tiny_checkpoint, write_pt

pytestmark = NEEDS_NGSPICE


LEVELS = ("behavioral", "crossbar", "macro")


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a frozen laplace crystal, m.pt, and its circuit of each level."""
    place = tmp_path_factory.mktemp("builds")
    checkpoint = tiny_checkpoint("laplace", None, inputs=3, dim=3, frozen=1.0, samples=20)
    write_pt(place / "m.pt", as_document(checkpoint))
    for level in LEVELS:
        assert compiled(place, level) == 0
    return place


@pytest.fixture(autouse=True)
def _there(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(builds)


def compiled(place: Path, level: str, out: str = "", *words: str) -> int:
    """The exit code of a compile into a folder called ``out``, or as the level."""
    options = ["--target", "spice", "--level", level, "--count", "20"]
    return run([str(place / "m.pt"), *options, "-o", str(place / (out or level)), *words])


def report(level: str) -> dict[str, object]:
    """Its spice_report.json."""
    found: dict[str, object] = json.loads(Path(level, "spice_report.json").read_text())
    return found


def test_every_level_writes_its_report(capsys: pytest.CaptureFixture[str]) -> None:
    for level in LEVELS:
        facts = report(level)
        assert facts["level"] == level
        assert facts["vectors"] == 20
        assert facts["ok"] is True
        assert 0 <= float(str(facts["max_error_share"])) < 0.05
        assert "ngspice" in str(facts["tools"])
        assert facts["accuracy"] is None
        assert (facts["power"] is None) == (level != "macro")
    assert run(["levels", "behavioral", "crossbar", "macro"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["build", "behavioral", "crossbar", "macro"]
    assert rows[1].split()[-2:] == ["-", "-"]
    assert rows[3].endswith(" us")
    assert " W " in rows[3]


def test_a_study_needs_a_check(builds: Path) -> None:
    Path("unchecked").mkdir()
    Path("unchecked/spice_report.json").write_text("{}")
    assert compiled(builds, "behavioral", "unchecked", "--no-check") == 0
    assert not Path("unchecked/spice_report.json").exists()


def test_noise_is_printed_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["noise", "macro", "--to", "100k"]) == 0
    found = report("macro")["noise"]
    assert isinstance(found, dict)
    assert found["to_hz"] == 1e5
    assert all(volts > 0 for volts in found["volts_rms"].values())
    assert "noise   1 Hz to 100000 Hz, volts rms" in capsys.readouterr().out


def test_pictures_are_drawn_from_kept_waveforms() -> None:
    assert run(["scope", "macro"]) == 0
    first = Path("macro/settling.svg").read_bytes()
    assert b"<svg" in first
    assert b"<svg" in Path("macro/transfer.svg").read_bytes()
    assert run(["scope", "macro"]) == 0
    assert Path("macro/settling.svg").read_bytes() == first
    assert run(["scope", "macro", "--format", "png"]) == 0
    assert Path("macro/transfer.png").read_bytes().startswith(b"\x89PNG")


def test_waveforms_of_an_earlier_circuit_are_not_drawn(
    builds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("again").mkdir()
    Path("again/waveforms.npz").write_bytes(Path("macro/waveforms.npz").read_bytes())
    assert compiled(builds, "behavioral", "again") == 0
    assert compiled(builds, "behavioral", "again", "--name", "other") == 0
    assert run(["scope", "again"]) == 2
    assert "again/waveforms.npz: no waveforms" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["noise", "behavioral"],
            "behavioral: the netlist is of level behavioral; this command takes macro or crossbar",
        ),
        (["noise", "behavioral", "--to", "fast"], "'fast' is not a frequency like 1k or 10M"),
        (["noise", "behavioral", "--from", "2k", "--to", "1k"], "--from is not below --to"),
        (["noise", "nowhere"], "nowhere: 0 netlists, not one"),
        (["scope", "behavioral"], "behavioral/waveforms.npz: no waveforms"),
        (["levels", "nowhere"], "nowhere/spice_report.json: missing or damaged"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_report_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("damaged").mkdir()
    Path("damaged/spice_report.json").write_text('{"level": "macro"}')
    assert run(["levels", "damaged"]) == 2
    assert "damaged/spice_report.json: missing or damaged" in capsys.readouterr().err
