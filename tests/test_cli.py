"""The command line: options that show the inside, exit codes, and nothing on the wrong stream."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import as_document, tiny_checkpoint, write_pt, write_safetensors

from crystalc import __version__, backend, check
from crystalc.cli import cli as commands
from crystalc.cli import main, run
from crystalc.pipeline import meaning_passes, pass_names, shaping_passes
from crystalc.text import parse

FAST = ("-O", "cflags=-std=c99 -O0", "--count", "20")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model in the current folder."""
    monkeypatch.chdir(tmp_path)
    document = as_document(tiny_checkpoint(projection=True))
    document["metadata"] = {"dataset": "none", "accuracy": 0.5}
    write_safetensors(tmp_path / "tiny.safetensors", document)
    return "tiny.safetensors"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """``cli(words)``: exit code, stdout, stderr of a command in this process."""

    def call(*words: str) -> tuple[int, str, str]:
        code = run(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_compile_says_what_it_did(cli: Cli, model: str) -> None:
    code, out, err = cli(model, "--target", "c", *FAST)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(
        r"model   5 -> 6 neurons \(l2 radial/gelu; 3 frozen, 3 active, 0 dropped\) -> 3"
        r"   sha256 [0-9a-f]{12}",
        lines[0],
    )
    assert lines[1].startswith("wrote   build/c: crystal.c crystal.h crystal_main.c example.c")
    assert re.fullmatch(
        r"check   20 vectors against the oracle: max error \d\.\de-\d\d \(bound \d\.\de-\d\d, "
        r"worst \d+% of its own bound\), decisions 20/20: OK",
        lines[2],
    )
    assert lines[3] == "report  build/c/report.json"
    assert json.loads(Path("build/c/report.json").read_text())["ok"] is True


def test_a_fixed_compile_is_exact(cli: Cli, model: str) -> None:
    code, out, _ = cli(model, "--target", "c", "--arithmetic", "fixed", "-o", "out", *FAST)
    assert code == 0
    assert "20 vectors against the oracle: 0 steps of difference (exact), decisions 20/20" in out


def test_the_explicit_form_is_the_same(cli: Cli, model: str) -> None:
    short = cli(model, "--target", "c", "--no-check")
    assert cli("compile", model, "--target", "c", "--no-check") == short
    assert cli("--target", "c", "--no-check", model) == short  # options may come first


@pytest.mark.parametrize("words", [(), ("--arithmetic", "fixed"), ("--weights", "q8")])
def test_dump_after_every_pass(cli: Cli, model: str, words: tuple[str, ...]) -> None:
    names = {
        (): pass_names("float", "f32"),
        ("--arithmetic", "fixed"): pass_names("fixed", "f32"),
        ("--weights", "q8"): pass_names("float", "q8"),
    }[words]
    for name in names:
        code, out, _ = cli(model, "--target", "c", "--no-check", "--dump-after", name, *words)
        assert code == 0
        assert out.startswith('graph source="'), name
        assert "\n}\n" in out
    assert cli(model, "--target", "c", "--no-check", "--dump-after=" + names[-1], *words)[1] == out


def test_save_temps(cli: Cli, model: str) -> None:
    cli(model, "--target", "c", "--no-check", "--save-temps", "--arithmetic", "fixed", "-o", "out")
    files = sorted(p.name for p in Path("out/ir").iterdir())
    passes = (*meaning_passes("fixed", 8, "f32", None), *shaping_passes("fixed", "f32"))
    names = ["lower", *(p.name for p in passes)]
    assert files == [f"{k:02d}-{name}.ir" for k, name in enumerate(names)]
    dump = cli(model, "--target", "c", "--no-check", "--dump-after", "lower")[1]
    assert dump.startswith(Path("out/ir/00-lower.ir").read_text())
    text = Path("out/ir/00-lower.ir").read_text()
    side = {key: np.zeros(1) for key in re.findall(r"#([0-9a-f]{16})", text)}
    assert str(parse(text, side)).count("\n") == text.count("\n")


def test_no_temps_unless_asked_for(cli: Cli, model: str) -> None:
    cli(model, "--target", "c", "--no-check", "-o", "out")
    assert not Path("out/ir").exists()


def test_time_passes(cli: Cli, model: str) -> None:
    _, out, _ = cli(model, "--target", "c", "--no-check", "--time-passes")
    timed = re.findall(r"^ *(\S[\w ]*\S) +\d+\.\d ms$", out, re.M)
    wanted = [*pass_names("float", "f32"), "read", "compile", "build and check"]
    assert timed == wanted


def test_no_check_builds_nothing(cli: Cli, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "compare", lambda *_: pytest.fail("it was checked"))
    monkeypatch.setenv("CC", "no-such-compiler")
    code, out, _ = cli(model, "--target", "c", "--no-check")
    assert code == 0
    assert "check   not run (--no-check)" in out
    report = json.loads(Path("build/c/report.json").read_text())
    assert (report["checked"], report["ok"]) == (False, None)
    assert "bound" not in report


def test_a_failed_check_is_exit_1(cli: Cli, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from crystalc_c import CBackend

    honest = CBackend.execute
    monkeypatch.setattr(CBackend, "execute", lambda *a: honest(*a) + 0.5)
    code, out, err = cli(model, "--target", "c", *FAST)
    assert (code, err) == (1, "")
    assert re.search(r": FAILED: output 0 of vector 0 is \S+, the oracle says \S+ \(20 vec", out)
    report = json.loads(Path("build/c/report.json").read_text())
    assert report["ok"] is False
    assert report["reason"] in out
    monkeypatch.setattr(CBackend, "execute", lambda *a: honest(*a) * np.nan)
    code, out, _ = cli(model, "--target", "c", *FAST)
    assert code == 1
    assert "check   FAILED: the artefact gave NaN or infinity" in out


def test_a_refused_input_is_exit_2_and_leaves_nothing(cli: Cli, model: str) -> None:
    before = sorted(Path().iterdir())
    code, out, err = cli("absent.pt", "--target", "c")
    assert (code, out) == (2, "")
    assert err.startswith("error: absent.pt: no such file")
    assert sorted(Path().iterdir()) == before


def test_a_missing_tool_is_exit_3(cli: Cli, model: str) -> None:
    code, _, err = cli(model, "--target", "c", "-O", "compiler=no-such-cc")
    assert code == 3
    assert err == (
        "error: no C compiler: no-such-cc is not on the PATH\n"
        "  hint: install gcc or clang, or set the option 'compiler'\n"
    )
    assert not Path("build/c/report.json").exists()


def test_a_failing_tool_is_exit_3(cli: Cli, model: str) -> None:
    code, _, err = cli(model, "--target", "c", "-O", "cflags=-std=c99 -no-such-flag")
    assert code == 3
    assert "failed with code 1" in err
    assert "no-such-flag" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "cc"), "error: unknown target 'cc'\n  hint: did you mean 'c'?\n"),
        (("--target", "c", "--dump-after", "fould"),
         "error: unknown pass 'fould'\n  hint: did you mean 'fold'?\n"),
        (("--target", "c", "--dump-after", "quantize"),
         "error: unknown pass 'quantize'\n  hint: passes: "
         f"{', '.join(pass_names('float', 'f32'))}\n"),
        (("--target", "c", "-O", "layuot=simd"),
         "error: target 'c' has no option 'layuot'\n  hint: did you mean 'layout'?\n"),
        (("--target", "c", "--arithmetic", "fixed", "--width", "3"),
         "error: --width 3 is outside 4..16\n"),
        (("--target", "c", "--count", "0"),
         "error: Invalid value for '--count': 0 is not in the range x>=1.\n"),
        (("--target", "c", "--dumpafter", "fold"),
         "error: No such option '--dumpafter'. Did you mean '--dump-after'?\n"),
        (("--target", "c", "--vectors", "none.npy"),
         "error: none.npy: no such file or directory\n"),
    ],
)  # fmt: skip
def test_refused_options(cli: Cli, model: str, words: tuple[str, ...], message: str) -> None:
    assert cli(model, *words) == (2, "", message)
    assert not Path("build").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 4)), "v.npy: shape [3, 4] does not match [1 or more, inputs 5]"),
        (np.ones(5), "v.npy: shape [5] does not match [1 or more, inputs 5]"),
        (np.ones((0, 5)), "v.npy: shape [0, 5] does not match [1 or more, inputs 5]"),
        (np.full((2, 5), np.nan), "v.npy[0, 0]: nan is not a finite number"),
        (np.array([[{}] * 5]), "v.npy: not a .npy file of real numbers"),
    ],
)
def test_refused_vectors(cli: Cli, model: str, array: Any, message: str) -> None:
    np.save("v.npy", array, allow_pickle=True)
    code, out, err = cli(model, "--target", "c", "--vectors", "v.npy")
    assert (code, out) == (2, "")
    assert message in err


def test_vectors_from_a_file(cli: Cli, model: str) -> None:
    np.save("v.npy", np.ones((7, 5), dtype=np.int32))
    for words in ((), ("--arithmetic", "fixed")):
        code, out, _ = cli(model, "--target", "c", "--vectors", "v.npy", *FAST, *words)
        assert code == 0
        assert "check   7 vectors" in out


def test_argmax(cli: Cli, model: str) -> None:
    for words in ((), ("--arithmetic", "fixed")):
        code, out, _ = cli(model, "--target", "c", "--argmax", *FAST, *words)
        assert code == 0, out
    report = json.loads(Path("build/c/report.json").read_text())
    assert report["command"].startswith("crystalc --target c --arithmetic fixed --width 8 --argmax")
    assert report["output_type"] == "u2q0"


def test_name(cli: Cli, model: str) -> None:
    cli(model, "--target", "c", "--name", "mynet", "--no-check")
    assert Path("build/c/mynet.h").exists()
    assert "void mynet_run(" in Path("build/c/mynet.h").read_text()


def test_a_model_without_samples_says_so(cli: Cli, tmp_path: Path) -> None:
    document = as_document(tiny_checkpoint())
    del document["calibration"]
    path = write_safetensors(tmp_path / "bare.safetensors", document)
    out = cli(str(path), "--target", "c", "--no-check", "-o", str(tmp_path / "out"))[1]
    assert "note    the checkpoint holds no calibration samples: ranges are guessed\n" in out


# ---- the other commands ----


def test_inspect(cli: Cli, model: str) -> None:
    code, out, err = cli("inspect", model)
    assert (code, err) == (0, "")
    assert "kind         classifier: 5 inputs, 3 outputs\n" in out
    assert "field        6 neurons in 4 dimensions, l2 radial/gelu\n" in out
    assert "frozen       3 of 6 (50.0%), 3 active\n" in out
    assert re.search(r"^  field\.positions +6 x 4  float32$", out, re.M)
    assert re.search(r"^  dataset +none$", out, re.M)


def test_inspect_json(cli: Cli, model: str) -> None:
    facts = json.loads(cli("inspect", "--json", model)[1])
    assert facts["frozen_share"] == 0.5
    assert facts["calibration_samples"] == 16
    assert facts["metadata"] == {"dataset": "none", "accuracy": 0.5}
    assert facts["tensors"]["field.frozen"] == {"shape": [6], "dtype": "bool"}
    sizes = {k: int(np.prod(t["shape"])) for k, t in facts["tensors"].items()}
    assert facts["parameters"] == sum(v for k, v in sizes.items() if k != "field.frozen")
    assert re.fullmatch("[0-9a-f]{64}", facts["sha256"])


def test_list_targets(cli: Cli) -> None:
    code, out, err = cli("--list-targets")
    assert (code, err) == (0, "")
    assert re.search(r"^c          \S", out, re.M)


def test_doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = cli("doctor")
    assert (code, err) == (0, "")
    assert re.search(r"^  ok       numpy +\d", out, re.M)
    assert re.search(r"^  open     c  ", out, re.M)
    monkeypatch.setenv("PATH", "")
    code, out, _ = cli("doctor")
    assert code == 0
    assert re.search(r"^  missing  gcc .*; apt install build-essential$", out, re.M)
    assert re.search(r"^  closed   c  .*; apt install build-essential$", out, re.M)


def test_a_broken_backend_does_not_hide_the_others(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [
        EntryPoint("c", "crystalc_c:CBackend", backend.GROUP),
        EntryPoint("a", "no.such:Thing", backend.GROUP),
    ]
    monkeypatch.setattr(backend, "entry_points", lambda group: entries)
    code, out, _ = cli("--list-targets")
    assert code == 0
    assert out.startswith("a          broken: the backend for 'a' in no.such:Thing does not impo")
    assert "\nc          freestanding" in out
    code, out, _ = cli("doctor")
    assert code == 0
    assert re.search(r"^  closed   a +broken: the backend for 'a'", out, re.M)


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version") == (0, f"crystalc, version {__version__}\n", "")
    for words in (("--help",), ("-h",), ("compile", "--help"), ("inspect", "-h"), ("train", "-h")):
        code, out, err = cli(*words)
        assert (code, err) == (0, "")
        assert out.startswith("Usage: crystalc")
    code, _, err = cli()
    assert code == 2
    assert err.startswith("Usage: crystalc")


def test_options_of_a_target_are_long_options(cli: Cli, model: str) -> None:
    words = ("--target", "c", "--layout", "compact", "--constants=hex", "--no-check")
    code, _, err = cli(model, *words)
    assert (code, err) == (0, "")
    command = json.loads(Path("build/c/report.json").read_text())["command"]
    assert command.endswith("-O constants=hex -O layout=compact")


def test_help_lists_the_options_of_each_target(cli: Cli) -> None:
    every = cli("compile", "--help")[1]
    assert "Options of --target c" in every
    assert "--levels-per-stage TEXT" in every
    one = cli("compile", "--target", "c", "--help")[1]
    assert "--layout TEXT" in one
    assert "--levels-per-stage" not in one


def test_ctrl_c_is_exit_130(cli: Cli, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crystalc.driver.compile_checkpoint", interrupted)
    assert cli(model, "--target", "c") == (130, "", "\ninterrupted\n")


def test_main_leaves_with_the_code() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["absent.pt", "--target", "c"])
    assert caught.value.code == 2


def test_a_closed_pipe_is_no_error(model: str) -> None:
    command = f"{sys.executable} -m crystalc inspect {model} | true"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert done.stderr == ""


def test_the_help_lists_every_command_on_a_line_of_its_own(cli: Cli) -> None:
    _, said, _ = cli("--help")
    listed = [line for line in said.split("Models:")[1].splitlines() if line.startswith("  ")]
    assert [line for line in listed if line.endswith("...") or len(line) > 80] == []
    assert {line.split()[0] for line in listed} == set(commands.commands)


def test_inspect_cuts_what_is_longer_than_a_line(cli: Cli) -> None:
    document = as_document(tiny_checkpoint())
    document["metadata"] = {"recipe": "r" * 3000, "sum": "5" * 64}
    path = str(write_pt(Path("long.pt"), document))
    out = cli("inspect", path)[1]
    assert max(map(len, out.splitlines())) <= 120
    assert "r" * 60 + "... (3,000 characters: --json)" in out
    assert out.endswith("5" * 64 + "\n")
    assert json.loads(cli("inspect", "--json", path)[1])["metadata"] == document["metadata"]


def test_a_model_whose_name_begins_with_a_dash(cli: Cli, model: str) -> None:
    Path(model).rename("-dash.safetensors")
    for words in (("--", "-dash.safetensors", "--target", "c", "--no-check"),
                  ("--target", "c", "--no-check", "--", "-dash.safetensors")):  # fmt: skip
        code, out, err = cli(*words)
        assert (code, err) == (0, "")
        assert "wrote   build/c" in out
    assert cli("--")[0] == 2


def test_the_help_of_the_demo_names_the_language_model(cli: Cli) -> None:
    assert "language model" in cli("demo", "--help")[1]


def test_lanes_without_work_are_told(cli: Cli, model: str) -> None:
    words = (model, "--target", "verilog", "--arch", "folded", "--no-check", "--lanes")
    code, out, err = cli(*words, "100000")
    assert (code, err) == (0, "")
    most = json.loads(Path("build/verilog/crystal.json").read_text())["cells"]["lanes"]
    assert f"note    {most} lanes of the 100000: no product of the model has work for more\n" in out
    assert "lanes" not in cli(*words, str(most))[1]
    assert f"note    {most} lanes of the {most + 1}: " in cli(*words, str(most + 1))[1]
