"""The picture of the neurons: written whole, the same each time, for every kind of crystal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalc.checkpoint import Checkpoint, Config
from crystalc.viz import neurons_picture
from crystalc.viz.neurons import embedded, image_side, influence, principal_plane


def checkpoint(
    dim: int = 16, neurons: int = 6, projection: bool = False, samples: int = 20
) -> Checkpoint:
    rng = np.random.default_rng(0)
    inputs = 5 if projection else dim
    config = Config(inputs, 3, neurons, dim, projection=projection)
    tensors = {
        "field.positions": rng.normal(size=(neurons, dim)).astype(np.float32),
        "field.values": rng.normal(size=(neurons, 3)).astype(np.float32),
        "field.frozen": np.arange(neurons) % 3 > 0,
    }
    if projection:
        tensors["projection.weight"] = rng.normal(size=(dim, 5)).astype(np.float32)
        tensors["projection.bias"] = np.ones(dim, np.float32)
    calibration = rng.normal(size=(samples, inputs)).astype(np.float32) if samples else None
    return Checkpoint(config, tensors, calibration)


@pytest.mark.parametrize(
    "model",
    [
        checkpoint(),
        checkpoint(dim=7),
        checkpoint(dim=1, neurons=1),
        checkpoint(projection=True),
        checkpoint(samples=0),
        checkpoint(neurons=250),
    ],
    ids=["image", "no image", "one neuron", "projection", "no samples", "many"],
)
def test_a_png_is_written_and_is_the_same_each_time(model: Checkpoint, tmp_path: Path) -> None:
    neurons_picture(model, tmp_path / "a.png")
    neurons_picture(model, tmp_path / "b.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG") and content == (tmp_path / "b.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_frozen_and_active_look_different(tmp_path: Path) -> None:
    first, second = checkpoint(), checkpoint()
    second.tensors["field.frozen"][:] = ~first.frozen
    neurons_picture(first, tmp_path / "a.png")
    neurons_picture(second, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_positions_are_images_only_when_they_are_square_and_not_projected() -> None:
    assert image_side(checkpoint(dim=64)) == 8
    assert image_side(checkpoint(dim=63)) == image_side(checkpoint(dim=9)) == 0
    assert image_side(checkpoint(dim=16, projection=True)) == 0


def test_samples_are_projected_into_the_space_of_the_neurons() -> None:
    model = checkpoint(projection=True)
    assert model.calibration is not None
    expected = model.calibration @ model.tensors["projection.weight"].T + 1
    np.testing.assert_allclose(embedded(model), expected, rtol=1e-5, atol=1e-5)


def test_the_principal_plane_holds_the_widest_directions() -> None:
    points = np.random.default_rng(0).normal(size=(500, 3)) * [5.0, 1.0, 0.1]
    _, axes, share = principal_plane(points)
    assert abs(axes[0, 0]) > 0.99 and abs(axes[1, 1]) > 0.99
    assert share[0] > 0.9 and share.sum() <= 1.0


def test_influence_is_the_length_of_the_values() -> None:
    model = checkpoint()
    length = np.linalg.norm(model.tensors["field.values"], axis=1)
    np.testing.assert_allclose(influence(model), length / length.max(), rtol=1e-6)
