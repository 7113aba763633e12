"""Training of language models: it learns, grows, freezes, resumes exactly, and shares its work."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from click.testing import Result as Invoked

from crystalc.cli.train import train
from crystalc.diagnostics import CompileError
from crystalc.frontend import read_model
from crystalc.language import LanguageModel
from crystalc.training.checkpoint import save
from crystalc.training.corpus import open_corpus
from crystalc.training.language import report
from crystalc.training.language.data import LanguageData, Wanted, prepare, vocabulary_for
from crystalc.training.language.living import LivingNet
from crystalc.training.language.loop import Look, Result, fit
from crystalc.training.language.recipe import RECIPES, LanguageRecipe
from crystalc.training.language.team import Team
from crystalc.training.split import rows_of
from crystalc.training.state import read_state, write_state

ALONE = Team(0, 1, torch.device("cpu"))
TINY = LanguageRecipe(
    dim=16, heads=2, context=8, blocks=2, neurons=12, steps=40, batch=8, stage=10, calm=50.0
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts are kept in a cache of their own; ``text.txt`` says that one follows the other."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    words = rng.choice(["one two three. ", "four five. ", "six. "], 400)
    Path("text.txt").write_text("".join(words))
    return tmp_path


def data_of(context: int = 8) -> LanguageData:
    corpus = open_corpus(Path("text.txt"))
    return prepare(corpus, vocabulary_for(corpus, Wanted(characters=True)), ALONE, context)


def tensors_of(result: Result) -> dict[str, torch.Tensor]:
    return result.net.state_dict()


def assert_same(first: Result, second: Result) -> None:
    assert first.history == second.history
    a, b = tensors_of(first), tensors_of(second)
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("kind", ["causal_lm", "flat_lm"])
@pytest.mark.parametrize("windows", ["random", "stride"])
def test_it_learns_grows_and_freezes(kind: Any, windows: Any) -> None:
    data = data_of()
    result = fit(replace(TINY, kind=kind, windows=windows), data, ALONE)
    neurons = [look.neurons for look in result.history]
    assert neurons == [6, 12, 18, 24, 24, 24, 24, 24, 24, 24]
    assert result.best and result.best == min(result.history[8:], key=lambda k: k.validation)
    assert result.history[-1].frozen == 16 / 24
    assert sum(int(v.sum()) for k, v in tensors_of(result).items() if "frozen" in k) == 16
    unigram = report.counted(data).unigram
    assert result.history[0].validation > result.best.validation < 0.8 * unigram
    assert (
        abs(report.losses(result.net, data, ALONE.device)["validation"] - result.best.validation)
        < 0.05
    )


def test_attention_sees_what_a_flat_model_cannot() -> None:
    data = data_of()
    recipe = replace(TINY, steps=120, start_share=1.0, frozen=0.0)
    found = [fit(replace(recipe, kind=k), data, ALONE).best for k in ("causal_lm", "flat_lm")]
    assert found[0] and found[1] and found[0].validation < found[1].validation - 0.05
    assert found[1].validation > report.counted(data).bigram - 0.02


@pytest.mark.parametrize(
    "changes", [{}, {"kernel": "laplace"}, {"kernel": "gauss", "metric": "l1"}, {"ffn": 8}]
)
def test_birth_and_freezing_change_no_logit(changes: dict[str, Any]) -> None:
    recipe = TINY.with_options(changes)
    living = living_of(recipe)
    before = logits_of(living)
    assert living.change(20) and living.neurons == 24 and living.frozen_share == 0.0
    torch.testing.assert_close(logits_of(living), before, rtol=1e-4, atol=1e-4)
    after = logits_of(living)
    assert living.change(38) and living.frozen_share > 0.5
    torch.testing.assert_close(logits_of(living), after, rtol=1e-4, atol=1e-4)


def living_of(recipe: LanguageRecipe) -> LivingNet:
    ids = torch.randint(12, (4, 9), generator=torch.Generator().manual_seed(1))
    living = LivingNet(recipe, 12, ids[:, :-1], ids[:, 1:])
    living.net.train()
    for field in living.fields:  # values as training leaves them
        torch.nn.init.normal_(field.active.values, std=0.5)
    return living


@torch.no_grad()
def logits_of(living: LivingNet) -> torch.Tensor:
    found: torch.Tensor = living.net(living.sample)
    return found


def test_frozen_neurons_stay_where_they_are() -> None:
    living = living_of(TINY)
    living.change(20)
    living.change(38)
    settled = [rows_of(field.settled) for field in living.fields]
    active = [rows_of(field.active) for field in living.fields]
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(
            living.net(living.sample).flatten(0, 1), living.targets.flatten()
        )
        living.adam.param_groups[0]["lr"] = living.adam.param_groups[1]["lr"] = 0.1
        loss.backward()
        living.adam.step()
    for block, field in enumerate(living.fields):
        assert all(torch.equal(v, settled[block][k]) for k, v in rows_of(field.settled).items())
        assert not any(torch.equal(v, active[block][k]) for k, v in rows_of(field.active).items())
        plain = living.finished().blocks[block].field
        kept = plain.positions[plain.frozen]  # type: ignore[union-attr, index]
        assert len(kept) == 8
        assert torch.equal(kept.sort(dim=0).values, settled[block]["positions"].sort(dim=0).values)


@pytest.mark.parametrize("stopped_at", [7, 20, 33])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_resumed_run_is_the_run(folder: Path, stopped_at: int, dropout: float) -> None:
    recipe, data, state = replace(TINY, dropout=dropout), data_of(), folder / "a.resume.pt"
    calls = iter(range(1, 99))
    first = fit(recipe, data, ALONE, stop=lambda: next(calls) == stopped_at, state=state)
    assert (
        first.interrupted
        and read_state(state, recipe.to_dict(), data.text_sha256)["step"] == stopped_at
    )
    looks: list[Look] = []
    resumed = fit(recipe, data, ALONE, observe=looks.append, state=state, resume=True)
    assert_same(resumed, fit(recipe, data, ALONE))
    assert looks == resumed.history and not state.exists()


def test_bfloat16_learns_as_well() -> None:
    data = data_of()
    recipe = replace(TINY, steps=60, precision="bf16")
    low, full = (fit(r, data, ALONE).best for r in (recipe, replace(recipe, precision="float32")))
    assert low and full and low.validation != full.validation
    assert abs(low.validation - full.validation) < 0.02


def test_the_curve_in_the_metadata_is_bounded() -> None:
    looks = [Look(step, 1.0 / (step + 1), 2.0, 8, 0.0) for step in range(5000)]
    found = report.curve(looks)
    assert len(found) <= 200 and found[0] == [0, 1.0, 2.0] and found[-1][0] > 4900
    assert report.curve(looks[:3]) == [[0, 1.0, 2.0], [1, 0.5, 2.0], [2, 0.333333, 2.0]]


def test_early_stop_waits_for_the_whole_model() -> None:
    recipe = replace(TINY, steps=400, lr=1e-9, freeze_end=0.5, patience=2)
    result = fit(recipe, data_of(), ALONE)
    assert result.best and result.best.step >= recipe.whole == 200
    assert result.history[-1].step == result.best.step + 2 * recipe.interval < 400


def test_divergence_is_said() -> None:
    with pytest.raises(CompileError, match="diverged before step"):
        fit(replace(TINY, lr=1e30), data_of(), ALONE)


def test_too_little_text_is_said(folder: Path) -> None:
    Path("text.txt").write_text("abc")
    with pytest.raises(CompileError, match=r"text\.txt has 3 tokens: too few for windows of 8"):
        data_of()


QUICK = ("--corpus", "text.txt", "--chars", "--dim", "16", "--heads", "2", "--context", "8",
         "--neurons", "8", "--batch", "8", "--steps", "100")  # fmt: skip


def run(*arguments: str) -> Invoked:
    return CliRunner().invoke(train, ["lm", *QUICK, *arguments])


def test_the_command_writes_what_the_reader_reads(folder: Path) -> None:
    for name in ("a.pt", "a.safetensors"):
        result = run("-o", name)
        assert result.exit_code == 0, result.output
    first, second = read_model(folder / "a.pt"), read_model(folder / "a.safetensors")
    assert isinstance(first, LanguageModel) and isinstance(second, LanguageModel)
    assert first.config == second.config and first.metadata == second.metadata
    assert all(np.array_equal(first.tensors[k], second.tensors[k]) for k in first.tensors)
    assert first.vocabulary and second.vocabulary
    assert first.vocabulary.tokens == second.vocabulary.tokens
    assert (
        first.metadata["corpus"] == "text.txt" and len(str(first.metadata["corpus_sha256"])) == 64
    )
    assert 0 < float(first.metadata["loss_validation"]) < math.log(first.config.vocabulary)
    assert json.loads(str(first.metadata["baselines"])).keys() >= {"unigram", "witten_bell"}
    for word in ("validation", "Witten-Bell", "frozen", str(first.metadata["corpus_sha256"])[:16]):
        assert word in result.stdout


def test_tensors_in_safetensors_are_aligned(folder: Path) -> None:
    corpus = open_corpus(Path("text.txt"))
    vocabulary = vocabulary_for(corpus, Wanted(characters=True))
    save(folder / "a.safetensors", living_of(TINY).finished().to_model(vocabulary))
    content = (folder / "a.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    kinds = {entry["dtype"] for key, entry in header.items() if key != "__metadata__"}
    assert size % 8 == 0 and kinds == {"F32", "I32", "U8", "BOOL"}
    wide = [entry for entry in header.values() if entry.get("dtype") in ("F32", "I32")]
    assert all(entry["data_offsets"][0] % 4 == 0 for entry in wide)


def test_a_learned_vocabulary_and_a_flat_model(folder: Path) -> None:
    arguments = [a for a in QUICK if a != "--chars"]
    command = ["lm", *arguments, "--vocab", "280", "--flat", "-o", "a.pt"]
    result = CliRunner().invoke(train, command)
    assert result.exit_code == 0, result.output
    model = read_model(folder / "a.pt")
    assert isinstance(model, LanguageModel) and model.vocabulary
    assert (model.config.kind, model.config.heads) == ("flat_lm", 1)
    assert model.config.vocabulary == len(model.vocabulary.tokens) <= 280


def test_ctrl_c_saves_and_resume_ends_in_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(_notes: report.Notes, look: Look) -> None:
        if look.step == 50:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(report.Notes, "__call__", press)
        stopped = run("-o", "a.pt")
    assert stopped.exit_code == 130 and "--resume" in stopped.stderr
    assert Path("a.resume.pt").exists() and not Path("a.pt").exists()
    assert run("-o", "a.pt", "--resume").exit_code == 0
    assert run("-o", "b.pt").exit_code == 0
    assert Path("a.pt").read_bytes() == Path("b.pt").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "a.onnx"), "cannot write a.onnx"),
        (("-o", "a.pt", "--recipe", "big"), "there is no recipe big"),
        (("-o", "a.pt", "--heads", "3"), "heads must divide dim"),
        (("-o", "a.pt", "--corpus", "b.txt"), "b.txt cannot be read"),
        (("-o", "a.pt", "--resume"), "nothing to resume"),
        (("-o", "a.pt", "--gpt2", "a", "b"), "--chars and --gpt2 exclude each other"),
        (("-o", "a.pt", "--kernel", "gauss", "--activation", "relu"), "takes no activation"),
        (("-o", "a.pt", "--kernel", "radial", "--normalized"), "cannot be normalised"),
    ],
)
def test_refusals(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, CompileError) and words in str(result.exception)


def test_a_state_of_other_options_is_refused(folder: Path) -> None:
    state = {"kind": "crystalc training state", "recipe": TINY.to_dict(), "data": "x"}
    write_state(folder / "a.resume.pt", state)
    with pytest.raises(CompileError, match="other options: steps"):
        read_state(folder / "a.resume.pt", replace(TINY, steps=9).to_dict(), "x")


def test_a_refused_resume_draws_no_bar(folder: Path) -> None:
    assert run("-o", "a.pt", "--resume").output == ""


def test_a_run_that_stops_early_says_so(folder: Path) -> None:
    done = run("-o", "a.pt", "--steps", "400", "--patience", "1", "--lr", "1e-9", "--frozen", "0")
    assert re.search(r"stopped early, after step \d+ of 400: no better model in 1 ", done.stderr)


def test_two_processes_learn_as_one(folder: Path) -> None:
    """The same loss curve: gradients are means over halves of the same batches."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = ["-m", "crystalc", "train", "lm", *QUICK, "--steps", "60", "-o"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for words in ([*command, "one.pt"], [*launch, *command, "two.pt"]):
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, env=environment, timeout=300
        )
        assert done.returncode == 0, done.stderr
    one, two = read_model(folder / "one.pt"), read_model(folder / "two.pt")
    curves = [json.loads(str(model.metadata["history"])) for model in (one, two)]
    assert len(curves[0]) == 10
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)


def test_recipes_are_consistent() -> None:
    for recipe in RECIPES.values():
        recipe.config(100, recipe.neurons)
        assert recipe.neurons_due(recipe.steps) == recipe.neurons
        assert recipe.frozen_due(recipe.steps, 1000) == 720
    original = RECIPES["original"]
    assert (original.neurons_at_birth, original.neurons) == (64, 788)
    assert original.steps * original.batch / 600 == pytest.approx(10_562, rel=0.01)
