"""``crystalc train`` as a person uses it: the table, Ctrl-C, resuming, refusals."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from crystalc.cli.train import train
from crystalc.diagnostics import CompileError
from crystalc.training import recipes, report
from crystalc.training.bar import Bar
from crystalc.training.loop import Epoch
from crystalc.training.recipe import Recipe

QUICK = ["digits", "--neurons", "8", "--epochs", "6", "--seed", "5"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(train, [*QUICK, *arguments])


def test_it_writes_a_checkpoint_and_a_table(tmp_path: Path) -> None:
    result = run("-o", str(tmp_path / "a.pt"))
    assert result.exit_code == 0, result.output
    assert "validation" in result.stdout and "frozen" in result.stdout
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert content["calibration"].shape == (512, 64)
    assert content["metadata"]["dataset"] == "digits" and content["metadata"]["seed"] == 5
    assert 0.3 < content["metadata"]["accuracy_test"] <= 1
    assert json.loads(content["metadata"]["recipe"])["neurons"] == 8
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_options_reach_the_model(tmp_path: Path) -> None:
    options = ("--kernel", "laplace", "--metric", "l1", "--normalized", "--projection", "9")
    result = run("-o", str(tmp_path / "a.safetensors"), *options, "--hidden", "4")
    assert result.exit_code == 0, result.output
    head = (tmp_path / "a.safetensors").read_bytes()
    size = int.from_bytes(head[:8], "little")
    header = json.loads(head[8 : 8 + size])
    config = json.loads(header["__metadata__"]["config"])
    assert (config["kernel"], config["metric"], config["normalized"]) == ("laplace", "l1", True)
    assert (config["dim"], config["projection"], config["head"]) == (9, True, True)
    assert header["field.values"]["shape"] == [8, 4]


def test_safetensors_can_be_read_by_its_own_library(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    assert run("-o", str(tmp_path / "a.safetensors")).exit_code == 0
    assert run("-o", str(tmp_path / "a.pt")).exit_code == 0
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    tensors = load_file(tmp_path / "a.safetensors")
    assert tensors.pop("calibration").shape == (512, 64)
    assert tensors.keys() == content["state_dict"].keys()
    for key, value in content["state_dict"].items():
        assert torch.equal(torch.from_numpy(tensors[key]), value)


def test_ctrl_c_saves_and_resume_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = report.show_epoch

    def press_after_two(bar: Bar, epoch: Epoch) -> None:
        show(bar, epoch)
        if epoch.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(report, "show_epoch", press_after_two)
        stopped = run("-o", str(tmp_path / "a.pt"))
    assert stopped.exit_code == 130
    assert "Interrupted after epoch 2" in stopped.stderr and "--resume" in stopped.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.resume.pt"]
    assert signal.getsignal(signal.SIGINT) is before
    assert run("-o", str(tmp_path / "a.pt"), "--resume").exit_code == 0
    assert run("-o", str(tmp_path / "b.pt")).exit_code == 0
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert not (tmp_path / "a.resume.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "a.onnx"), "cannot write a.onnx"),
        (("-o", "nowhere/a.pt"), "the folder nowhere does not exist"),
        (("-o", "a.pt", "--neurons", "0"), "neurons must be at least 1"),
        (("-o", "a.pt", "--lr", "nan"), "lr must be a number above 0"),
        (("-o", "a.pt", "--resume"), "nothing to resume"),
        (("-o", "a.pt", "--kernel", "gauss", "--activation", "relu"), "takes no activation"),
    ],
)
def test_refusals_come_before_any_work(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert isinstance(result.exception, CompileError) and words in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_refused_resume_draws_no_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("-o", "a.pt", "--resume")
    assert isinstance(result.exception, CompileError)
    assert result.output == ""


def test_a_run_that_stops_early_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = recipes.recipe_for

    def impatient(*words: Any) -> Recipe:
        return replace(usual(*words), patience=1)

    monkeypatch.setattr(recipes, "recipe_for", impatient)
    early = CliRunner().invoke(train, ["digits", "--neurons", "8", "--epochs", "60", "-o", "x.pt"])
    assert early.exit_code == 0
    assert re.search(r"stopped early, after epoch \d+ of 60: no better model in 1", early.stderr)


@pytest.mark.parametrize(("width", "kept"), [(80, 3), (120, 5), (50, 1), (40, 0)])
def test_what_does_not_fit_beside_the_bar_is_left_out(
    width: int, kept: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    notes = ("loss 5.123", "validation 5.210", "12,345 tokens/s", "neurons 128", "frozen 50%")
    with Bar(1000) as bar:
        bar.show(1000, *notes)
    said = capsys.readouterr().err
    assert "\N{HORIZONTAL ELLIPSIS}" not in said
    assert "1000/1000" in said
    assert [note for note in notes if note in said] == list(notes[:kept])
    assert max(map(len, said.splitlines())) <= width
