"""The torch modules against their formulas, and their checkpoint form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystalc.checkpoint import Activation, Kernel, Metric
from crystalc.diagnostics import CompileError
from crystalc.nn import CrystalClassifier, FieldShape, GeometricField

CASES: list[tuple[Metric, Kernel, Activation | None, bool]] = [
    (metric, kernel, activation, normalized)
    for metric in ("l2", "l1")
    for kernel, activation, normalized in (
        ("laplace", None, False),
        ("laplace", None, True),
        ("gauss", None, False),
        ("gauss", None, True),
        ("radial", "relu", False),
        ("radial", "gelu", False),
    )
]


def random_field(shape: FieldShape, neurons: int = 7) -> GeometricField:
    generator = torch.Generator().manual_seed(3)
    field = GeometricField(shape, neurons)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_(generator=generator)
        field.temperature.abs_().add_(0.5)
        if field.radius is not None:
            field.radius.abs_().add_(3.0)
    return field


def formula(field: GeometricField, x: np.ndarray) -> np.ndarray:
    """The field in float64, written from its definition."""
    shape, t = field.shape, field.temperature.detach().double().numpy()
    p, v = (a.detach().double().numpy() for a in (field.positions, field.values))
    difference = x[:, None, :] - p[None]
    d = np.abs(difference).sum(2) if shape.metric == "l1" else np.sqrt((difference**2).sum(2))
    if shape.kernel == "radial":
        assert field.radius is not None
        z = (field.radius.detach().double().numpy() - d**2) / t
        gelu = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
        return (np.maximum(z, 0) if shape.activation == "relu" else gelu) @ v
    w = np.exp(-d / (np.abs(t) + 0.1) if shape.kernel == "laplace" else -(d**2) / t**2)
    return (w / w.sum(1, keepdims=True) if shape.normalized else w) @ v


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_field_equals_its_formula(
    case: tuple[Metric, Kernel, Activation | None, bool], training: bool
) -> None:
    field = random_field(FieldShape(5, 3, *case)).train(training)
    x = np.random.default_rng(0).normal(size=(11, 5))
    got = field(torch.from_numpy(x.astype(np.float32))).detach().numpy()
    np.testing.assert_allclose(got, formula(field, x), rtol=1e-3, atol=2e-5)


def test_eval_mode_has_no_cancellation_at_a_neuron() -> None:
    field = random_field(FieldShape(64, 1, "l2", "laplace", None)).eval()
    with torch.no_grad():
        field.positions.add_(30.0)
        exact = formula(field, field.positions.double().numpy())
        assert np.allclose(field(field.positions.clone()).numpy(), exact, atol=1e-5)


def test_training_mode_takes_the_energy_of_noise_off() -> None:
    field = random_field(FieldShape(400, 1, "l2", "radial", "relu")).train()
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(2000, 400)
    noisy = x + 0.3 * torch.randn(x.shape, generator=generator)
    clean = field.squared_distances(x).mean(0)
    field.noise_energy = 400 * 0.3**2
    with torch.no_grad():
        assert (field.squared_distances(noisy).mean(0) - clean).abs().max() < 1.0


@pytest.mark.parametrize(
    ("kernel", "activation", "normalized", "words"),
    [
        ("radial", None, False, "needs an activation"),
        ("gauss", "relu", False, "takes no activation"),
        ("radial", "relu", True, "cannot be normalised"),
    ],
)
def test_clashing_parts_are_refused(
    kernel: Kernel, activation: Activation | None, normalized: bool, words: str
) -> None:
    with pytest.raises(CompileError, match=words):
        FieldShape(2, 2, "l2", kernel, activation, normalized)


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("head", [False, True])
def test_checkpoint_round_trip(projection: bool, head: bool) -> None:
    shape = FieldShape(5, 6 if head else 3)
    model = CrystalClassifier(
        random_field(shape),
        torch.nn.Linear(9, 5) if projection else None,
        torch.nn.Linear(6, 3) if head else None,
        None if head else torch.arange(3.0),
    ).eval()
    checkpoint = model.to_checkpoint()
    again = CrystalClassifier.from_checkpoint(checkpoint)
    x = torch.randn(4, 9 if projection else 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(x), model(x))
    assert checkpoint.config.inputs == x.shape[1] and checkpoint.config.outputs == 3
    assert checkpoint.tensors["field.frozen"].dtype == np.bool_
