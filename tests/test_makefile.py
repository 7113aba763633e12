"""What the Makefile refuses before it makes anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from crystalc.cli.fpga import BOARDS
from crystalc.cli.synth import DEVICES

ROOT = Path(__file__).resolve().parents[1]


def dry(*words: str) -> subprocess.CompletedProcess[str]:
    """``make -n WORDS``: what would be run."""
    if not shutil.which("make"):
        pytest.skip("make is missing")
    command = ["make", "-n", "-C", str(ROOT), "MODEL=pyproject.toml", *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(("goal", "devices"), [("synth", DEVICES), ("fpga", BOARDS)])
def test_a_device_that_nobody_knows_is_refused_before_anything_is_made(
    goal: str, devices: tuple[str, ...]
) -> None:
    refused = dry(goal, "DEVICE=virtex")
    assert (refused.returncode, refused.stdout.count("crystalc")) == (2, 0)
    assert f"DEVICE=virtex is not one of: {' '.join(devices)}." in refused.stderr
    for device in devices:
        done = dry(goal, f"DEVICE={device}")
        assert done.returncode == 0
        assert f"--device {device}" in done.stdout
    assert dry(goal).returncode == 0


def test_other_goals_know_no_device() -> None:
    assert dry("help", "DEVICE=virtex").returncode == 0
