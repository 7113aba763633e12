"""Training: growth that changes nothing, freezing that holds, caches that agree, exact resume."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystalc.diagnostics import CompileError
from crystalc.training import growth
from crystalc.training.checkpoint import save
from crystalc.training.crystal import Crystal
from crystalc.training.dataset import Dataset, Part
from crystalc.training.epoch import run_epoch
from crystalc.training.freezing import allowance, neurons_to_freeze
from crystalc.training.loop import Epoch, Result, fit, merit
from crystalc.training.optimizer import rate
from crystalc.training.recipe import Recipe
from crystalc.training.recipes import RECIPES, recipe_for
from crystalc.training.state import read_state, state_path

TINY = Recipe(neurons=12, epochs=8, batch=16, lr=0.02, calm=10.0, calm_epochs=1)


def blobs(per_class: int = 30, seed: int = 0) -> Dataset:
    """Three classes in four dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 4))

    def part(count: int) -> Part:
        y = np.repeat(np.arange(3), count)
        x = centres[y] + 0.5 * rng.normal(size=(len(y), 4))
        return Part(x.astype(np.float32), y.astype(np.int64))

    return Dataset("blobs", 3, part(per_class), part(10), part(10), f"blobs {seed}")


def crystal_of(recipe: Recipe, data: Dataset) -> Crystal:
    x, y = torch.from_numpy(data.train.x), torch.from_numpy(data.train.y)
    return Crystal(recipe, x, y, data.classes, torch.Generator().manual_seed(recipe.seed))


def one_epoch(crystal: Crystal, epoch: int, cache: bool = True) -> float:
    crystal.begin_epoch(epoch)
    loss = run_epoch(
        crystal.predict,
        crystal.adam,
        crystal.recipe,
        epoch,
        crystal.x,
        crystal.y,
        crystal.generator,
        crystal.cache if cache else None,
    )
    crystal.end_epoch()
    return loss


def tensors_of(result: Result) -> dict[str, torch.Tensor]:
    return result.model.state_dict()


def assert_same_model(first: Result, second: Result) -> None:
    a, b = tensors_of(first), tensors_of(second)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_it_learns_grows_and_freezes() -> None:
    result = fit(TINY, blobs())
    assert result.history[0].neurons == 6 and result.history[-1].neurons == 12
    assert result.best is not None and result.best.validation > 0.8
    assert int(tensors_of(result)["field.frozen"].sum()) == 8
    assert result.best.epoch >= TINY.whole


@pytest.mark.parametrize("kernel", ["radial", "gauss", "laplace"])
def test_birth_does_not_change_the_function(kernel: str) -> None:
    recipe = replace(TINY, kernel=kernel, activation="gelu" if kernel == "radial" else None)
    crystal = crystal_of(recipe, blobs())
    crystal.model.eval()
    before = crystal.predict(crystal.x)
    crystal.begin_epoch(recipe.grown)
    crystal.model.eval()
    assert len(crystal.field) == 12
    torch.testing.assert_close(crystal.predict(crystal.x), before, rtol=0, atol=1e-5)


def test_neurons_are_born_where_the_error_is() -> None:
    data = torch.arange(40.0).reshape(20, 2)
    error = torch.zeros(20)
    error[[3, 7]] = 1.0
    shape = TINY.shape(2, 3)
    born = growth.new_neurons(shape, 2, data, error, torch.Generator().manual_seed(0))
    assert sorted(born["positions"][:, 0].tolist()) == [6.0, 14.0]
    assert not born["values"].any()


def test_kernel_scale_is_the_median_and_the_spread() -> None:
    data = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    rows = growth.kernel_scale(TINY.shape(6, 3), data[:4], data)
    d2 = torch.cdist(data, data[:4]).square()
    torch.testing.assert_close(rows["radius"], d2.median(dim=0).values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rows["temperature"], d2.std(dim=0), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("projection", [0, 3])
def test_frozen_rows_do_not_move(projection: int) -> None:
    crystal = crystal_of(replace(TINY, projection=projection), blobs())
    for epoch in range(TINY.freezing[0] + 1):
        one_epoch(crystal, epoch)
    field = crystal.field.merged()
    frozen = field.frozen
    assert 0 < int(frozen.sum()) < len(field)
    for epoch in range(TINY.freezing[0] + 1, TINY.epochs):
        one_epoch(crystal, epoch)
    after = crystal.field.merged()
    assert bool(after.frozen[frozen].all())
    for name in ("positions", "values", "temperature", "radius"):
        assert torch.equal(getattr(after, name)[frozen], getattr(field, name)[frozen])
        assert not torch.equal(getattr(after, name)[~frozen], getattr(field, name)[~frozen])


@pytest.mark.parametrize("kernel", ["radial", "gauss", "laplace"])
def test_cached_training_equals_uncached(kernel: str) -> None:
    recipe = replace(TINY, kernel=kernel, activation="relu" if kernel == "radial" else None)
    cached, plain = (crystal_of(recipe, blobs()) for _ in range(2))
    for epoch in range(recipe.epochs):
        assert math.isclose(
            one_epoch(cached, epoch), one_epoch(plain, epoch, cache=False), rel_tol=1e-4
        )
    assert cached.cache is not None and len(cached.field.settled) == 8
    a, b = cached.finished().state_dict(), plain.finished().state_dict()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{"noise": 0.1}, {"projection": 3}])
def test_no_cache_where_it_would_be_wrong(options: dict[str, float]) -> None:
    recipe = TINY.with_options(options)
    crystal = crystal_of(recipe, blobs())
    for epoch in range(recipe.epochs):
        one_epoch(crystal, epoch)
    assert len(crystal.field.settled) == 8 and crystal.cache is None


def test_restless_neurons_are_not_frozen() -> None:
    result = fit(replace(TINY, calm=1e-9), blobs())
    assert not tensors_of(result)["field.frozen"].any()


def test_the_calmest_freeze_first_and_no_more_than_there_is_room_for() -> None:
    movement = torch.tensor([0.3, 0.1, 0.2, 0.0])
    ready = torch.tensor([True, True, True, False])
    assert neurons_to_freeze(movement, ready, 2).tolist() == [False, True, True, False]
    assert not neurons_to_freeze(movement, ready, -1).any()


def test_the_allowance_rises_to_the_share_and_stays() -> None:
    recipe = Recipe(neurons=100, epochs=101, freeze_start=0.5, freeze_end=0.8)
    steps = [allowance(recipe, epoch, 100) for epoch in range(101)]
    assert steps == sorted(steps) and steps[49] == 0 and steps[80] == steps[100] == 72


def test_merging_keeps_the_order_of_birth_and_the_function() -> None:
    crystal = crystal_of(replace(TINY, gain=3.0), blobs())
    for epoch in range(TINY.epochs):
        one_epoch(crystal, epoch)
    torch.testing.assert_close(
        crystal.finished()(crystal.x), crystal.predict(crystal.x), rtol=1e-4, atol=1e-4
    )
    order = torch.cat([crystal.field.settled_born, crystal.field.active_born])
    rows = torch.cat([crystal.field.settled.positions, crystal.field.active.positions])
    assert torch.equal(crystal.finished().field.positions[order], rows)


def test_the_same_seed_gives_the_same_model_and_another_does_not() -> None:
    first, again = fit(TINY, blobs()), fit(TINY, blobs())
    assert_same_model(first, again)
    other = fit(replace(TINY, seed=1), blobs())
    assert not torch.equal(other.model.field.positions, first.model.field.positions)


@pytest.mark.parametrize("stop_after", [1, 3, 6])
@pytest.mark.parametrize("options", [{}, {"noise": 0.05, "projection": 3}])
def test_interrupted_and_resumed_is_bit_equal(
    tmp_path: Path, stop_after: int, options: dict[str, float]
) -> None:
    recipe, state = TINY.with_options(options), tmp_path / "a.resume.pt"
    seen: list[Epoch] = []
    first = fit(
        recipe, blobs(), observe=seen.append, stop=lambda: len(seen) == stop_after, state=state
    )
    assert first.interrupted and len(first.history) == stop_after and state.is_file()
    resumed = fit(recipe, blobs(), state=state, resume=True)
    straight = fit(recipe, blobs())
    assert_same_model(resumed, straight)
    assert resumed.history == straight.history and not state.exists()


def test_resume_refuses_another_run(tmp_path: Path) -> None:
    state = tmp_path / "a.resume.pt"
    with pytest.raises(CompileError, match="nothing to resume"):
        fit(TINY, blobs(), state=state, resume=True)
    fit(TINY, blobs(), state=state, stop=lambda: True)
    with pytest.raises(CompileError, match="other options: lr"):
        fit(replace(TINY, lr=0.5), blobs(), state=state, resume=True)
    with pytest.raises(CompileError, match="other data"):
        fit(TINY, blobs(seed=1), state=state, resume=True)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(CompileError, match="not a resume file"):
        read_state(state, {}, "")


def test_patience_stops_early_and_the_best_is_kept() -> None:
    recipe = replace(TINY, epochs=200, freeze_start=0.1, freeze_end=0.1, patience=5)
    result = fit(recipe, blobs())
    assert result.best is not None
    assert len(result.history) == result.best.epoch + 1 + 5 < 200
    late = result.history[recipe.whole :]
    assert result.best.validation == max(epoch.validation for epoch in late)


def test_a_more_frozen_model_is_kept_even_if_it_is_a_little_worse() -> None:
    early = Epoch(1, 0.1, 0.99, 0.05, neurons=12, frozen=0.5)
    late = Epoch(2, 0.1, 0.98, 0.06, neurons=12, frozen=0.7)
    assert merit(late) > merit(early) > merit(replace(early, validation_loss=0.07))
    result = fit(TINY, blobs())
    assert result.best is not None
    assert result.best.frozen == max(epoch.frozen for epoch in result.history)


def test_everything_may_freeze_before_growth_is_over() -> None:
    result = fit(replace(TINY, frozen=1.0, freeze_start=0.0, freeze_end=0.1), blobs())
    assert bool(tensors_of(result)["field.frozen"].all())


def test_temperatures_stay_away_from_the_pole() -> None:
    crystal = crystal_of(replace(TINY, lr=1e-6), blobs())
    with torch.no_grad():
        crystal.field.active.temperature[0] = 1e-3
    one_epoch(crystal, 0)
    assert float(crystal.field.active.temperature.detach().min()) >= crystal.narrowest > 0


def test_divergence_is_one_sentence() -> None:
    with pytest.raises(CompileError, match="diverged in epoch 1"):
        fit(replace(TINY, lr=1e30), blobs())


def test_bad_recipes_are_refused_all_at_once() -> None:
    with pytest.raises(CompileError) as caught:
        Recipe(neurons=0, lr=math.nan, frozen=2.0, noise=-1.0)
    assert len(caught.value.diagnostics) == 4
    with pytest.raises(CompileError, match="unknown recipe option: neuron"):
        TINY.with_options({"neuron": 3})


def test_a_projection_is_born_keeping_the_distances() -> None:
    flat, generator = blobs(), torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(9, 4, generator=generator)).Q
    x = torch.from_numpy(flat.train.x) @ turn.t() + 5  # four dimensions inside nine
    recipe = replace(TINY, projection=4)
    crystal = Crystal(recipe, x, torch.from_numpy(flat.train.y), 3, generator)
    z = crystal.model.embed(x)
    torch.testing.assert_close(torch.pdist(z), torch.pdist(x), rtol=1e-3, atol=1e-3)
    assert float(z.mean(dim=0).detach().norm()) < 1e-3


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_the_rate_ends_at_nothing(schedule: str) -> None:
    recipe = replace(TINY, schedule=schedule)
    steps = [rate(recipe, i / 1000) for i in range(1001)]
    assert math.isclose(max(steps), recipe.lr, rel_tol=1e-6) and steps[-1] < 1e-9


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("kernel", ["radial", "gauss", "laplace"])
def test_every_recipe_exists_for_every_kernel(name: str, kernel: str) -> None:
    assert recipe_for(name, kernel).kernel == kernel
    assert recipe_for(name, kernel, "l1").noise == 0


def test_checkpoint_bytes_are_reproducible_and_writing_is_atomic(tmp_path: Path) -> None:
    checkpoint = fit(TINY, blobs()).model.to_checkpoint(blobs().train.x, {"seed": 0})
    for suffix in (".pt", ".safetensors"):
        first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        save(first, checkpoint)
        save(second, checkpoint)
        assert first.read_bytes() == second.read_bytes()
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".pt", ".pt", *[".safetensors"] * 2]
    with pytest.raises(CompileError, match=r"cannot write a\.onnx"):
        save(tmp_path / "a.onnx", checkpoint)
    with pytest.raises(CompileError, match="cannot write"):
        save(tmp_path / "missing" / "a.pt", checkpoint)


def test_a_checkpoint_holds_the_contract(tmp_path: Path) -> None:
    result = fit(TINY, blobs())
    save(tmp_path / "a.pt", result.model.to_checkpoint(blobs().train.x))
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert content["format"] == "crystalc" and content["version"] == 1
    assert content["config"]["neurons"] == 12 and content["config"]["kernel"] == "radial"
    shapes = {key: tuple(t.shape) for key, t in content["state_dict"].items()}
    assert shapes == {
        "field.positions": (12, 4),
        "field.values": (12, 3),
        "field.temperature": (12,),
        "field.radius": (12,),
        "field.frozen": (12,),
        "bias": (3,),
    }
    assert content["calibration"].dtype == torch.float32


def test_the_state_file_stands_beside_the_output() -> None:
    assert state_path(Path("x/digits.pt")) == Path("x/digits.resume.pt")
