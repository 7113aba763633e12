"""Finding backends, refusing what they cannot take, and one that comes from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support import as_document, tiny_checkpoint, write_safetensors

from crystalc import backend as module
from crystalc.backend import Backend, Capabilities, Exact, Within, available, create, illegal, load
from crystalc.diagnostics import CompileError
from crystalc.frontend.lower import lower
from crystalc.ir import Graph, Op
from crystalc.pipeline import meaning_passes, run_passes, shaping_passes
from crystalc.vectors import samples_of

THIRD_PARTY = Path(__file__).parent / "third_party_backend"
EVERY = frozenset(Op)


@dataclass(frozen=True)
class Good:
    """Takes everything, makes nothing."""

    name: ClassVar[str] = "good"
    capabilities: ClassVar[Capabilities] = Capabilities(EVERY, EVERY, 62, Within(24), Exact())
    colour: str = "blue"
    shape: str = "round"

    def emit(self, graph: Graph, header: str) -> dict[Any, Any]:
        return {}

    def execute(self, build: Path, inputs: Any) -> Any:
        return inputs


class NoDataclass:
    name = "plainclass"
    capabilities = Good.capabilities
    emit = Good.emit
    execute = Good.execute


@dataclass(frozen=True)
class NoExecute:
    name: ClassVar[str] = "half"
    capabilities: ClassVar[Capabilities] = Good.capabilities

    def emit(self, graph: Graph, header: str) -> dict[Any, Any]:
        return {}


a_function = Good().emit


def offer(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> None:
    """Let these (name, value) be all installed entry points."""
    made = [EntryPoint(name, value, module.GROUP) for name, value in entries]
    monkeypatch.setattr(module, "entry_points", lambda group: made)


def refusal(name: str, **options: str) -> str:
    with pytest.raises(CompileError) as caught:
        create(name, options)
    return str(caught.value)


HERE = __name__


def test_backends_are_sorted_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("zebra", "no.such:Thing"), ("good", f"{HERE}:Good"))
    assert list(available()) == ["good", "zebra"]
    assert load("good") is Good


def test_options_are_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("good", f"{HERE}:Good"))
    made = create("good", {"colour": "red"})
    assert isinstance(made, Backend)
    assert made == Good(colour="red")


def test_the_same_backend_seen_twice_is_no_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("good", f"{HERE}:Good"), ("good", f"{HERE}:Good"))
    assert list(available()) == ["good"]


def test_two_packages_with_one_name_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("good", f"{HERE}:Good"), ("good", "other:Good"))
    assert refusal("good") == (
        f"error: two packages offer the target 'good': {HERE}:Good and other:Good\n"
        "  hint: uninstall one of them"
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("goood", "error: unknown target 'goood'\n  hint: did you mean 'good'?"),
        ("vhdl", "error: unknown target 'vhdl'\n  hint: targets: broken, good, half, missing, "
                 "nodata, notype"),
        ("broken", "error: the backend for 'broken' in no.such:Thing does not import: "
                   "No module named 'no'"),
        ("missing", f"error: the backend for 'missing' in {HERE}:Nothing does not import: "
                    f"module '{HERE}' has no attribute 'Nothing'"),
        ("half", f"error: '{HERE}:NoExecute' in {HERE}:NoExecute is not a Backend dataclass"),
        ("nodata", f"error: '{HERE}:NoDataclass' in {HERE}:NoDataclass is not a Backend dataclass"),
        ("notype", f"error: '{HERE}:a_function' in {HERE}:a_function is not a Backend dataclass"),
    ],
)  # fmt: skip
def test_bad_targets(monkeypatch: pytest.MonkeyPatch, asked: str, message: str) -> None:
    offer(
        monkeypatch,
        ("good", f"{HERE}:Good"),
        ("broken", "no.such:Thing"),
        ("missing", f"{HERE}:Nothing"),
        ("half", f"{HERE}:NoExecute"),
        ("nodata", f"{HERE}:NoDataclass"),
        ("notype", f"{HERE}:a_function"),
    )
    assert refusal(asked) == message


def test_unknown_options_come_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("good", f"{HERE}:Good"))
    assert refusal("good", color="red", weight="1") == (
        "error: target 'good' has no option 'color'\n  hint: did you mean 'colour'?\n"
        "error: target 'good' has no option 'weight'\n  hint: options: colour, shape"
    )


# ---- what a backend takes ----


def graphs() -> tuple[Graph, Graph]:
    """A float and a fixed one."""
    checkpoint = tiny_checkpoint("gauss", frozen=1.0)
    samples = samples_of(checkpoint)
    real = run_passes(lower(checkpoint), shaping_passes("float", "f32"))
    fixed = run_passes(lower(checkpoint), meaning_passes("fixed", 8, "f32", samples))
    return real, run_passes(fixed, shaping_passes("fixed", "f32"))


def taking(**changes: Any) -> Backend:
    """A Good with other capabilities."""
    caps = replace(Good.capabilities, **changes)
    made = type("Less", (Good,), {"capabilities": caps})()
    assert isinstance(made, Backend)
    return made


def test_a_legal_graph() -> None:
    assert [illegal(g, Good()) for g in graphs()] == [[], []]


def test_ops_that_are_not_there() -> None:
    real, fixed = graphs()
    less = taking(float_ops=EVERY - {Op.EXP}, fixed_ops=EVERY - {Op.LOOKUP, Op.SUMSQ})
    assert [str(d) for d in illegal(real, less)] == [
        "error: field.temperature: target 'good' has no float 'exp'"
    ]
    assert sorted(d.message for d in illegal(fixed, less)) == [
        "target 'good' has no fixed 'lookup'",
        "target 'good' has no fixed 'sumsq'",
    ]


def test_arithmetic_that_is_not_there() -> None:
    real, fixed = graphs()
    assert [str(d) for d in illegal(fixed, taking(fixed_ops=frozenset()))] == [
        "error: target 'good' has no fixed arithmetic"
    ]
    assert [str(d) for d in illegal(real, taking(float_ops=frozenset()))] == [
        "error: target 'good' has no float arithmetic"
    ]


def test_values_that_are_too_wide() -> None:
    _, fixed = graphs()
    found = [str(d) for d in illegal(fixed, taking(max_width=18))]
    assert found
    assert all("is wider than the 18 bits of target 'good'" in text for text in found)
    assert all(text.endswith("hint: lower --width") for text in found)
    widest = max(n.type.elem.width for n in fixed.nodes)  # type: ignore[union-attr]
    assert not illegal(fixed, taking(max_width=widest))
    assert illegal(fixed, taking(max_width=widest - 1))


# ---- a package from outside, through the real door ----


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The third-party package, installed by pip into a folder of its own."""
    place = tmp_path_factory.mktemp("third_party")
    source, target = place / "source", place / "site"
    shutil.copytree(THIRD_PARTY, source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", str(target)),
            str(source),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return target


def run(installed: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line with the package on the path."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-m", "crystalc", *words],
        cwd=where, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    checkpoint = tiny_checkpoint("radial", "relu", frozen=1.0, head=True)
    return write_safetensors(tmp_path / "model.safetensors", as_document(checkpoint))


def test_it_is_listed_compiled_and_checked(installed: Path, model: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "--list-targets")
    assert "plain      one Python file\n" in listed.stdout
    assert "\nplain" not in run(tmp_path, tmp_path, "--list-targets").stdout
    done = run(installed, tmp_path, str(model), "--target", "plain", "-o", "out")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["ok"] is True
    assert report["target"] == "plain"
    assert report["vectors"] == 1000
    assert 0 < report["max_abs_error"] < report["bound"]
    assert list(report["tools"]) == ["python3"]
    assert sorted(report["files"]) == ["model.py", "names.json"]


def test_its_options_and_a_failing_check(installed: Path, model: Path, tmp_path: Path) -> None:
    command = (str(model), "--target", "plain", "-o", "out")
    done = run(installed, tmp_path, *command, "-O", "factor=1.001")
    assert done.returncode == 1
    assert "FAILED: output 0 of vector 0 is" in done.stdout
    assert json.loads((tmp_path / "out" / "report.json").read_text())["ok"] is False
    done = run(installed, tmp_path, *command, "-O", "factr=2")
    assert done.returncode == 2
    assert done.stderr == (
        "error: target 'plain' has no option 'factr'\n  hint: did you mean 'factor'?\n"
    )
    done = run(installed, tmp_path, *command, "-O", "factor=many")
    assert (done.returncode, done.stderr) == (
        2,
        "error: option 'factor' of target 'plain' is 'many'\n",
    )


def test_what_it_does_not_take(installed: Path, model: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, str(model), "--target", "plain", "--arithmetic", "fixed")
    assert (done.returncode, done.stderr) == (
        2,
        "error: target 'plain' has no fixed arithmetic\n",
    )
    gelu = write_safetensors(tmp_path / "gelu.safetensors", as_document(tiny_checkpoint()))
    done = run(installed, tmp_path, str(gelu), "--target", "plain")
    assert done.returncode == 2
    assert "target 'plain' has no float 'gelu'" in done.stderr
    assert not (tmp_path / "build").exists()
