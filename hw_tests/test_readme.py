"""What the README and the examples tell a newcomer to type works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
README = (ROOT / "README.md").read_text()
LONG = (
    *("make test", "make hw-test", "make cuda-test"),  # this suite inside itself
    *(
        "make synth",
        "make fpga",
        "make asic",
        "crystalc prove",
    ),  # minutes each: other tests take small models
)
SHORTER = {"crystalc train lm": " --steps 20"}
"""What is added to a line so that it takes seconds."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one line as a newcomer would after `. .venv/bin/activate`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def run(line: str, folder: Path) -> str:
    done = shell(line, folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


TRAIN = "crystalc train digits -o digits.pt"
BLOCKS = [
    [line.split("#")[0].strip() for line in block.splitlines() if line.strip()]
    for block in blocks("sh")
]


@pytest.mark.timeout(560)
@pytest.mark.parametrize("commands", BLOCKS, ids=[b[0].split(" -")[0] for b in BLOCKS])
def test_every_command_of_the_readme(commands: list[str], tmp_path: Path) -> None:
    if TRAIN not in commands:
        run(TRAIN, tmp_path)
    for command in commands:
        if command.startswith((*LONG, ". ")):
            continue
        command += next((more for line, more in SHORTER.items() if command.startswith(line)), "")
        said = run(command, ROOT if command.startswith("make ") else tmp_path)
        assert "FAILED" not in said


def test_the_snippet_of_c(tmp_path: Path) -> None:
    run(TRAIN, tmp_path)
    assert ": OK" in run("crystalc digits.pt --target c -o build/c", tmp_path)
    compile_snippet(tmp_path)


def compile_snippet(folder: Path) -> None:
    """The C of the README against the header it talks about."""
    (snippet,) = blocks("c")
    top, body = snippet.split("\n\ncrystal_state_init", 1)
    source = (
        f"{top}\nvoid once(const crystal_in *in, crystal_out *out);\n"
        f"void once(const crystal_in *in, crystal_out *out)\n{{\ncrystal_state_init{body}}}\n"
    )
    (folder / "snippet.c").write_text(source)
    run("cc -std=c99 -Wall -Wextra -Werror -Ibuild/c -c snippet.c", folder)


def test_the_digits_example(tmp_path: Path) -> None:
    said = run(str(ROOT / "examples/digits/run.sh"), tmp_path)
    assert said.count(": OK") == 2
    before, after = (line.split(":")[1] for line in said.splitlines()[-2:])
    assert len(before.split()) == 10 and before != after


@pytest.mark.timeout(560)
@pytest.mark.skipif(not which("icepack"), reason="needs nextpnr-ice40 and icepack")
def test_the_fpga_example(tmp_path: Path) -> None:
    said = run(str(ROOT / "examples/fpga/run.sh"), tmp_path)
    assert "everything that was tried is proved" in said
    assert (tmp_path / "build/v/fpga-ice40-hx8k/design.bin").stat().st_size > 100_000
    assert re.search(r"^# neuron 63, row 17:.*\n(\d+ 0x[0-9a-f]+ -?\d+\n)+", said, re.MULTILINE)


@pytest.mark.timeout(560)
def test_the_circuit_example(tmp_path: Path) -> None:
    said = run(str(ROOT / "examples/circuit/run.sh"), tmp_path)
    assert said.count(": OK") == 4
    assert (tmp_path / "build/macro/settling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(560)
@pytest.mark.skipif(not SHARED.is_dir(), reason="data: no shared data folder beside the checkout")
def test_the_examples_on_real_data(tmp_path: Path) -> None:
    steps = {"mnist": "--epochs 1", "shakespeare": "--steps 30"}
    data = {"MNIST": "mnist.npz", "CORPUS": "tinyshakespeare.txt"}
    paths = "".join(f"{name}={SHARED / file} " for name, file in data.items())
    for name, options in steps.items():
        said = run(f"OPTIONS='{options}' {paths} {ROOT}/examples/{name}/run.sh", tmp_path)
        assert "FAILED" not in said and ": OK" in said
