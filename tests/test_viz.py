"""The picture of the neurons: written whole, the same each time, for every kind of crystal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystalc.checkpoint import Checkpoint, Config
from crystalc.viz import neurons_picture
from crystalc.viz.circuit import settling_figure
from crystalc.viz.histogram import edges
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


@pytest.mark.parametrize("outputs", [1, 10, 12])
def test_every_output_that_settles_has_its_name_and_its_line(outputs: int) -> None:
    seconds = np.linspace(0, 1e-6, 5)
    found = {
        "hold": np.array(1e-6),
        "seconds": seconds,
        "outputs": np.zeros((5, outputs)),
        "wanted": np.zeros((1, outputs)),
        "watts": np.zeros(5),
    }
    drawn = settling_figure(found)
    legend = drawn.legends[0]
    assert [t.get_text() for t in legend.get_texts()] == [str(k) for k in range(outputs)]
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn.axes[0].get_lines()}
    assert len(looks) == outputs


@pytest.mark.parametrize("span", [0, 3, 30, 31, 200])
def test_every_bin_holds_as_many_of_the_values_that_can_occur(span: int) -> None:
    low, high = 700, 700 + span
    bounds = edges(np.array([low, high]) / 1000, 1000)
    possible = np.arange(low, high + 1) / 1000
    counts, _ = np.histogram(possible, bounds)
    assert counts.sum() == span + 1 and len(counts) <= 30
    assert len(set(counts[:-1].tolist())) <= 1
    assert np.abs(possible[:, None] - bounds).min() > 1e-4
