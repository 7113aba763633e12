"""Training for parts that vary: the noise of training is the noise of the compiled circuit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny_checkpoint

from crystalc.checkpoint import Checkpoint
from crystalc.cli import run
from crystalc.diagnostics import CompileError
from crystalc.driver import Options, compile_checkpoint
from crystalc.nn.classifier import CrystalClassifier
from crystalc.training.analog import Chip, Tolerance, circuit, for_parts
from crystalc.training.dataset import Dataset, Part
from crystalc.training.epoch import evaluate
from crystalc.training.finetune import fine_tune
from crystalc.training.loop import Result
from crystalc.training.recipe import Recipe
from crystalc_spice.build import Build
from crystalc_spice.equations import solve
from crystalc_spice.montecarlo import Spread, draw

SHAPES: list[Any] = [
    {"kernel": "radial", "activation": "relu"},
    {"kernel": "radial", "activation": "gelu", "head": True},
    {"kernel": "laplace"},
    {"kernel": "gauss"},
    {"kernel": "laplace", "metric": "l1"},
    {"kernel": "radial", "activation": "gelu", "metric": "l1"},
    {"kernel": "gauss", "normalized": True},
]
DRAWS = 400


def model_of(checkpoint: Checkpoint) -> CrystalClassifier:
    return CrystalClassifier.from_checkpoint(checkpoint)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_spread_it_is_the_model(shape: Any) -> None:
    checkpoint = tiny_checkpoint(**shape)
    x = torch.from_numpy(checkpoint.calibration)
    model = model_of(checkpoint)
    found = circuit(model, x, Chip(Tolerance(0.0, 0.0, 0.0), torch.Generator()))
    assert torch.allclose(found, model(x), atol=1e-4, rtol=1e-4)
    part = circuit(model, x, Chip(Tolerance(0.0, 0.0, 0.0), torch.Generator()), gain=2.0)
    constant = model.bias if model.head is None else model.head.bias
    assert torch.allclose(part - constant, 2.0 * (model(x) - constant), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("spread", [(0.02, 0.0, 0.0), (0.0, 5e-3, 0.0), (0.0, 0.0, 0.03)])
@pytest.mark.parametrize("shape", SHAPES)
def test_its_spread_is_that_of_the_compiled_circuit(
    shape: Any, spread: tuple[float, float, float]
) -> None:
    checkpoint = tiny_checkpoint(inputs=8, neurons=12, seed=3, **shape)
    options = Options("spice", backend={"level": "crossbar", "series": "exact"})
    made = compile_checkpoint(checkpoint, options)
    facts = json.loads(made.files[PurePosixPath("crystal.json")])
    build = Build(Path(), Path(), facts)
    rng, x = np.random.default_rng(1), made.samples
    theirs = [
        solve(build.stages, x, facts["outputs"], draw(build, Spread(*spread), rng, 27.0))
        for _ in range(DRAWS)
    ]
    model, generator = model_of(checkpoint), torch.Generator().manual_seed(1)
    real = torch.from_numpy(x.astype(np.float32))
    with torch.no_grad():
        ours = [circuit(model, real, Chip(Tolerance(*spread), generator)) for _ in range(DRAWS)]
    wanted, found = np.std(theirs, axis=0), np.std([y.numpy() for y in ours], axis=0)
    assert np.sqrt(np.mean(found**2)) == pytest.approx(np.sqrt(np.mean(wanted**2)), rel=0.12)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9


def clouds(seed: int, count: int) -> Part:
    """Three classes of points in 4 dimensions that nearly touch."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    centres = np.random.default_rng(0).standard_normal((3, 4))
    x = centres[y] + 0.45 * rng.standard_normal((count, 4))
    return Part(x.astype(np.float32), y.astype(np.int64))


def test_it_makes_a_crystal_that_parts_harm_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystalc.training.analog.EPOCHS", 20)
    data = Dataset("clouds", 3, clouds(1, 300), clouds(2, 150), clouds(3, 600), "")
    recipe = Recipe(neurons=8, epochs=2, lr=0.02, analog_r=0.05, analog_vos=0.02, analog_t=0.1)
    plain = model_of(tiny_checkpoint(inputs=4, neurons=8))
    before = Result(plain)
    after = for_parts(recipe, data, before)
    x, y = torch.from_numpy(data.test.x), torch.from_numpy(data.test.y)

    def lost(model: CrystalClassifier) -> float:
        chip = Chip(Tolerance(*recipe.analog), torch.Generator().manual_seed(5))
        return float(
            np.mean([evaluate(lambda z: circuit(model, z, chip), x, y)[1] for _ in "1234"])
        )

    assert lost(after.model) < 0.5 * lost(before.model)
    assert torch.equal(after.model.field.frozen, plain.field.frozen)
    assert torch.equal(
        plain.field.values, model_of(tiny_checkpoint(inputs=4, neurons=8)).field.values
    )
    again = for_parts(recipe, data, before)
    assert all(
        torch.equal(a, b)
        for a, b in zip(after.model.parameters(), again.model.parameters(), strict=True)
    )


def test_the_best_epoch_stays_and_the_gain_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged worse and worse, ten epochs end where one does; none changes nothing."""
    data = Dataset("clouds", 3, clouds(1, 64), clouds(2, 32), clouds(3, 32), "")
    recipe = Recipe(neurons=8, lr=0.02, gain=4.0, schedule="cosine")
    worse = iter(range(100))

    def judge(*_: torch.Tensor) -> tuple[float, float]:
        return 1.0 - next(worse) / 100, 0.0

    ends = []
    for epochs in (1, 2):
        model = model_of(tiny_checkpoint(inputs=4, neurons=8))
        monkeypatch.setattr("crystalc.training.epoch.rate", lambda *_: 0.01)
        fine_tune(model, model, recipe, data, torch.Generator(), judge, epochs=epochs)
        ends.append(model.field.positions.detach().clone())
    assert torch.equal(*ends)
    monkeypatch.setattr("crystalc.training.analog.EPOCHS", 1)
    monkeypatch.setattr("crystalc.training.epoch.rate", lambda *_: 0.0)
    plain = model_of(tiny_checkpoint(inputs=4, neurons=8))
    same = for_parts(replace(recipe, analog_r=0.01), data, Result(plain)).model
    assert torch.equal(same.field.values, plain.field.values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("R=1%,X=2", "'X=2' is not one of R=1%, VOS=1m, T=2%"),
        ("R", "'R' is not one of"),
        ("R=1%,R=2%", "'R=2%' is not one of"),
        ("R=1x", "'1x' is not a number with %, m or u"),
        ("T=100%", "analog noise must be from 0 to below 1"),
    ],
)
def test_wrong_words_are_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "digits", "-o", str(tmp_path / "a.pt"), "--analog-noise", text]
    assert run(words) == 2
    assert message in capsys.readouterr().err


def test_a_projection_is_refused() -> None:
    with pytest.raises(CompileError, match="analog noise has no model of a projection"):
        Recipe(projection=4, analog_r=0.01)
