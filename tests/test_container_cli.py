"""Containers on the command line: compile, inspect, verify, upgrade, quantize-study."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalc.cli import run
from crystalc.container import MODES, PRUNED, Mode, read, write
from crystalc.container.compare import matched, tensor_errors
from crystalc.container.convert import Text, convert
from crystalc.container.quality import BUDGETS
from crystalc.diagnostics import CompileError
from crystalc.frontend import read_model
from crystalc.language import LanguageModel
from crystalc.passes.prune_vocab import prune_vocab
from crystalc.training.checkpoint import save
from tests.crystal_files import rich, small, words
from tests.crystal_files_v2 import old, old_bytes
from tests.language_models import random_model, tiny_config
from tests.support import tiny_checkpoint

Cli = Callable[..., tuple[int, str, str]]
LOOSE = ("-O", "max_perplexity_change=9", "-O", "max_kl=9", "-O", "min_top1=0")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Exit code, stdout and stderr of a command, run where ``lm.pt`` and ``text`` lie."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "lm.safetensors", model())
    letters = np.random.default_rng(5).choice(list("abcdefghijk"), 900)
    (tmp_path / "text").write_text("".join(letters))
    (tmp_path / "other").write_text("abcdefghijkuvw" * 50)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def model() -> LanguageModel:
    return random_model(tiny_config(dim=32, heads=4))


def test_a_target_of_one_weight_mode_offers_no_other(cli: Cli, tmp_path: Path) -> None:
    """CUDA's budget is q8's, and replaced in the same way as that of a file."""
    words = ("lm.safetensors", "--target", "cuda", "--no-check", "-o", "cu")
    code, _, err = cli(*words, "--max-kl", "1e-12")
    assert code == 2 and "weights q8 cost too much: KL is " in err
    assert "hint: --max-kl, --min-top1" in err and not (tmp_path / "cu").exists()
    code, _, err = cli(*words, "--weights", "f32")
    assert code == 2 and "target 'cuda' takes language models with --weights q8, not f32" in err
    code, out, _ = cli(*words, *LOOSE)
    assert code == 0 and "within its budget" in out


def test_a_model_becomes_one_file(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("lm.safetensors", "--target", "crystal", "-o", "lm.crystal", *LOOSE)
    assert (code, err) == (0, "")
    made, info = read(tmp_path / "lm.crystal")
    assert (info.mode, info.version) == ("q8", 3)
    assert f"wrote   lm.crystal: version 3, q8, {info.size:,} bytes" in out
    assert re.search(r"perplexity [\d.]+ -> [\d.]+ \([+-][\d.]+%\), KL [\d.e-]+, top-1 ", out)
    assert made.source == read_model(tmp_path / "lm.safetensors").source != ""
    assert made.metadata["seed"] == 1
    assert 0 <= float(made.metadata["weights_kl"]) < 9
    assert made.metadata["weights_measured_on"] == "the model's own text"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "lm.crystal",
        "lm.safetensors",
        "other",
        "text",
    ]


def test_past_the_budget_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    strict = ("--weights", "q8q4", "-O", "max_kl=1e-12", "-o", "lm.crystal")
    code, _, err = cli("lm.safetensors", "--target", "crystal", "--text", "text", *strict)
    assert code == 2
    assert err.startswith("error: weights q8q4 cost too much: ")
    assert "KL is " in err
    assert not (tmp_path / "lm.crystal").exists()


def test_pruned_for_a_text(cli: Cli, tmp_path: Path) -> None:
    prune = ("--prune-vocab", "text", "-o", "lm.crystal")
    code, out, _ = cli("lm.safetensors", "--target", "crystal", *prune, *LOOSE)
    made, info = read(tmp_path / "lm.crystal")
    assert code == 0 and info.pruned
    assert "tokens  11 of 23 occur in text" in out
    assert "of the rest 0 of 90 tokens (0.00%, 0 distinct) are not in the vocabulary" in out
    assert made.config.vocabulary == 11 and made.metadata[PRUNED] == 23
    assert made.vocabulary is not None
    assert b"".join(made.vocabulary.tokens) == b"abcdefghijk"
    _, out, _ = cli("lm.safetensors", "--target", "crystal", *prune, "--text", "other", *LOOSE)
    assert "unseen  of 700 tokens of other, 150 of 700 tokens (21.43%, 3 distinct)" in out
    code, out, _ = cli("verify", "lm.crystal", "--against", "lm.safetensors", *ANY, *CHEAP)
    assert (code, out.splitlines()[-1]) == (0, "check   OK")


ANY = ("--max-perplexity-change", "9", "--max-kl", "9", "--min-top1", "0")
CHEAP = ("--count", "64")


@pytest.mark.parametrize("mode", MODES)
def test_verify(mode: Mode, cli: Cli, tmp_path: Path) -> None:
    made = read_model(tmp_path / "lm.safetensors")
    assert isinstance(made, LanguageModel)
    (tmp_path / "lm.crystal").write_bytes(write(made, mode))
    code, out, err = cli("verify", "lm.crystal", "--against", "lm.safetensors", *ANY, *CHEAP)
    assert (code, err) == (0, "")
    assert "64 predictions" in out
    off = convert_with(made, "head.weight", 1.5)
    (tmp_path / "lm.crystal").write_bytes(write(off, mode))
    code, out, _ = cli("verify", "lm.crystal", "--against", "lm.safetensors", *ANY, *CHEAP)
    assert code == 1
    assert re.search(r"check   FAILED: head.weight is (inf|[\d.]+) steps off", out)


def convert_with(model: LanguageModel, key: str, factor: float) -> LanguageModel:
    changed = {key: model.tensors[key] * np.float32(factor)}
    return replace(model, tensors={**model.tensors, **changed})


def test_verify_holds_to_the_budget(cli: Cli, tmp_path: Path) -> None:
    made = read_model(tmp_path / "lm.safetensors")
    assert isinstance(made, LanguageModel)
    (tmp_path / "lm.crystal").write_bytes(write(made, "q8q4"))
    command = ("verify", "lm.crystal", "--against", "lm.safetensors", *CHEAP)
    code, out, _ = cli(*command, "--max-perplexity-change", "9", "--max-kl", "1e-12")
    assert code == 1
    assert re.search(r"check   FAILED: KL is [\d.e-]+, more than 1.0e-12", out)


def test_verify_knows_another_checkpoint(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "lm.crystal").write_bytes(write(replace(model(), source="ab" * 32), "f32"))
    code, out, _ = cli("verify", "lm.crystal", "--against", "lm.safetensors", *ANY, *CHEAP)
    assert code == 1
    assert "FAILED: the file names another checkpoint, abababababab" in out


def test_verify_refuses_what_nothing_runs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "old.crystal").write_bytes(bytes(old_bytes()))
    code, _, err = cli("verify", "old.crystal", "--against", "lm.safetensors")
    assert (code, err.splitlines()[0]) == (2, "error: old.crystal: version 2, which nothing runs")


def test_inspect_lists_sections(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "lm.crystal").write_bytes(write(model(), "q8q4"))
    code, out, _ = cli("inspect", "lm.crystal")
    assert code == 0
    assert "container    version 3, q8q4, " in out
    assert re.search(r"head.weight.minima +f16 panels +128 bytes at ", out)
    code, out, _ = cli("inspect", "lm.crystal", "--json")
    facts = json.loads(out)["container"]
    assert facts["bytes"] == (tmp_path / "lm.crystal").stat().st_size
    assert {s["dtype"] for s in facts["sections"]} == {"s8r", "q4", "f32", "f16", "bits", "u8"} | {
        "u32"
    }


def test_upgrade(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "old.crystal").write_bytes(bytes(old_bytes("mixed8")))
    save(tmp_path / "words.safetensors", replace(rich(), vocabulary=words()))
    command = ("upgrade", "old.crystal", "-o", "new.crystal", "--heads", "2")
    code, out, _ = cli(*command)
    assert code == 0 and "version 3, mixed8, " in out and "without tokens" in out
    before, _ = read(tmp_path / "old.crystal", heads=2)
    after, info = read(tmp_path / "new.crystal")
    assert (info.version, info.mode, after.vocabulary) == (3, "mixed8", None)
    assert all(np.allclose(after.tensors[k], v, atol=1e-2) for k, v in before.tensors.items())
    assert cli(*command, "--tokens", "words.safetensors")[0] == 0
    named = read(tmp_path / "new.crystal")[0].vocabulary
    assert named is not None and named.tokens == words().tokens
    code, _, err = cli("upgrade", "new.crystal", "-o", "newer.crystal")
    assert (code, err) == (2, "error: new.crystal: already version 3\n")


def test_upgrade_takes_tokens_by_number(cli: Cli, tmp_path: Path) -> None:
    """A pruned version 2 file names its tokens in the vocabulary it came from."""
    (tmp_path / "old.crystal").write_bytes(bytes(old_bytes(ids=True, vocabulary=4)))
    command = ("upgrade", "old.crystal", "-o", "new.crystal", "--tokens", "lm.safetensors")
    code, _, err = cli(*command)
    assert (code, err) == (0, "")
    named = read(tmp_path / "new.crystal")[0].vocabulary
    assert named is not None and named.tokens == (b"a", b"h", b"o", b"v")


def test_upgrade_refuses_tokens_that_do_not_fit(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "old.crystal").write_bytes(bytes(old_bytes()))
    command = ("upgrade", "old.crystal", "-o", "new.crystal", "--tokens", "lm.safetensors")
    code, _, err = cli(*command)
    assert (code, err) == (2, "error: vocabulary: 23 tokens for a model of 6\n")


def test_quantize_study(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystalc_c.runtime.tokens_a_second", lambda data: len(data) * 10.0)
    code, out, err = cli("quantize-study", "lm.safetensors", "--text", "text", *CHEAP)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[3:]]
    assert [row[0] for row in rows] == list(MODES)
    sizes = {row[0]: int(row[1].replace(",", "")) for row in rows}
    assert sizes["q8q4"] < sizes["q8"] < sizes["int16"] < sizes["f32"]
    assert [row[-1] for row in rows] == [f"{10 * size:,}" for size in sizes.values()]
    _, out, _ = cli("quantize-study", "lm.safetensors", "--prune-vocab", "text", "--json", *CHEAP)
    facts = [json.loads(line) for line in out.splitlines()]
    assert [f["weights"] for f in facts] == list(MODES)
    assert facts[0]["kl"] < 1e-12 < facts[5]["kl"] < facts[6]["kl"]
    assert facts[0]["bytes"] < sizes["f32"]
    assert facts[0]["tokens_per_second"] == 10.0 * facts[0]["bytes"]
    monkeypatch.setattr("crystalc_c.runtime.tokens_a_second", lambda _: None)
    _, out, _ = cli("quantize-study", "lm.safetensors", "--text", "text", *CHEAP)
    assert {line.split()[-1] for line in out.splitlines()[3:]} == {"-"}


MISUSED = {
    ("--argmax",): "--argmax has no meaning for target 'crystal'",
    ("--name", "x"): "--name has no meaning for target 'crystal'",
    ("-O", "layout=tiles"): "option 'layout' of target 'crystal' is 'tiles'",
    ("-O", "max_kl=-1"): "option 'max_kl' of target 'crystal' is '-1', not a number >= 0",
    ("-O", "min_top1=nan"): "option 'min_top1' of target 'crystal' is 'nan', not a number >= 0",
    ("-O", "panels=1"): "target 'crystal' has no option 'panels'",
}


@pytest.mark.parametrize("option", MISUSED)
def test_options_that_mean_nothing(option: tuple[str, ...], cli: Cli) -> None:
    code, _, err = cli("lm.safetensors", "--target", "crystal", *option)
    assert (code, err.splitlines()[0]) == (2, f"error: {MISUSED[option]}")


@pytest.mark.parametrize("option", [("--prune-vocab", "text"), ("--text", "text")])
def test_options_of_language_models_alone(option: tuple[str, ...], cli: Cli) -> None:
    save(Path("classifier.safetensors"), tiny_checkpoint())
    code, _, err = cli("classifier.safetensors", "--target", "c", *option)
    assert (code, err) == (2, f"error: {option[0]} is for language models\n")


def test_a_container_is_a_checkpoint_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "lm.crystal").write_bytes(write(model(), "f32"))
    again = ("--target", "crystal", "--weights", "f32", "-o", "again.crystal", "--text", "text")
    assert cli("lm.crystal", *again)[0] == 0
    first, second = (read_model(tmp_path / n) for n in ("lm.crystal", "again.crystal"))
    assert all(np.array_equal(second.tensors[k], v) for k, v in first.tensors.items())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(MODES))
def test_rounding_is_all_that_happens(seed: int, mode: Mode) -> None:
    made = random_model(tiny_config(dim=40, heads=4), seed)
    made = replace(made, metadata={})
    back, info = read(write(made, mode))
    assert all(e.ok for e in tensor_errors(matched(made, back), back, info))


def test_models_that_do_not_match() -> None:
    pruned = prune_vocab(small(), np.array([1, 3]))
    assert matched(small(), pruned).config.vocabulary == 2
    cases = {
        "config.context: 3, but the checkpoint has 2": small(context=3),
        "without tokens nobody knows how": replace(pruned, vocabulary=None),
        "other tokens": replace(small(), vocabulary=words(b"<other>")),
        "only one of the two has it": replace(
            small(), tensors={**small().tensors, "head.bias": np.zeros(6, np.float32)}
        ),
        "no token of the checkpoint": replace(
            pruned, vocabulary=replace(pruned.vocabulary, tokens=(b"b", b"zz"))
        ),
    }
    for message, other in cases.items():
        with pytest.raises(CompileError, match=message):
            matched(small(), other)


def test_every_mode_keeps_its_budget_on_smooth_logits() -> None:
    """A model with even rows, as trained ones are; trained ones are measured in docs/LOG.md."""
    made = model()
    ids = np.random.default_rng(8).integers(0, 23, 600)
    for mode in ("f32", "int16", "mixed"):
        quality = convert(made, mode, Text(ids, "")).quality
        assert BUDGETS[mode].excess(quality) == []
    assert old().config.kernel == "laplace"
