"""What programs outside Python say of themselves, and how they fail."""

from pathlib import Path

import pytest

from crystalc import tools
from crystalc.diagnostics import ToolError


def script(place: Path, text: str) -> str:
    """A program of its own."""
    program = place / "tool"
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("echo; echo '******'; echo '** tool-39 : simulator'", "tool-39 : simulator"),
        ("echo tool 1.2 >&2", "tool 1.2"),
        ("echo 'Icarus 11.0 (stable) ()'", "Icarus 11.0 (stable)"),
        ("echo 'usage: -B0'; exit 1", "unknown"),
        ("echo nothing", "unknown"),
    ],
)
def test_a_version_is_the_first_line_with_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, version: str
) -> None:
    script(tmp_path, text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert tools.find("tool").version == version


def test_a_failing_program_is_told_with_its_words(tmp_path: Path) -> None:
    program = script(tmp_path, "echo out; echo err >&2; exit 3")
    with pytest.raises(ToolError, match="tool failed with code 3") as caught:
        tools.run([program], tmp_path, timeout=5)
    assert str(caught.value).endswith("| err\n  | out")


def test_a_slow_or_missing_program_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="tool took longer than 0 s"):
        tools.run([script(tmp_path, "exec sleep 5")], tmp_path, timeout=0.1)
    with pytest.raises(ToolError, match="simulator does not start: No such file"):
        tools.run(["/nonexistent"], tmp_path, timeout=1, name="simulator")


def test_a_program_gets_its_input_and_gives_its_output(tmp_path: Path) -> None:
    assert tools.run([script(tmp_path, "exec tr a b")], tmp_path, b"aha", timeout=5) == b"bhb"
