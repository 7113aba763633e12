"""The C runtime's logits: against PyTorch within a bound, and the same bits in every layer."""

from __future__ import annotations

import numpy as np
import pytest
from runtime_library import Sampler, running

from crystalc.container import MODES, read, write
from crystalc.container.extra import Extra
from crystalc.nn.generate import generate
from crystalc.nn.language import LanguageNet
from tests.crystal_files import finer
from tests.language_models import KERNELS, random_model, tiny_config, torch_logits

BOUNDS = {"f32": 1e-4, "int16": 1e-4, "mixed": 1e-4, "q8q4": 0.1}
"""Largest error over rms of the logits, on models that amplify every rounding."""
BYTES = 1e-2
L1 = [
    {"kernel": "laplace", "activation": None, "metric": "l1"},
    {"kernel": "radial", "activation": "relu", "metric": "l1"},
]
SHAPES = [
    {"vocabulary": 23, "dim": 8, "context": 6, "heads": 2, "neurons": (5, 7), "ffn": 9},
    {"vocabulary": 70, "dim": 20, "context": 5, "heads": 4, "neurons": (33,), "ffn": 0},
    {"vocabulary": 100, "dim": 96, "context": 16, "heads": 3, "neurons": (100, 20), "ffn": 70},
]


def equal_everywhere(files: list[bytes], ids: np.ndarray, bound: float) -> None:
    """Logits of every layer and layout have the same bits, and are PyTorch's to ``bound``."""
    wanted = torch_logits(read(files[0])[0], ids[None])[0]
    found = []
    for data in files:
        with running(data) as m:
            found += [m.logits(ids) for _ in m.layers()]
    error = np.abs(found[0] - wanted).max() / np.sqrt(np.square(wanted).mean())
    assert error < bound
    assert all(np.array_equal(f.view(np.uint32), found[0].view(np.uint32)) for f in found)


@pytest.mark.parametrize("kind", ["causal_lm", "flat_lm"])
@pytest.mark.parametrize("kernel", [*KERNELS, *L1], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_logits_are_those_of_the_weights_in_the_file(kind: str, kernel: dict, mode: str) -> None:
    for seed, shape in enumerate(SHAPES):
        heads = shape["heads"] if kind == "causal_lm" else 1
        model = random_model(tiny_config(kind=kind, **{**shape, "heads": heads}, **kernel), seed)
        ids = np.random.default_rng(seed).integers(0, shape["vocabulary"], shape["context"])
        files = [write(model, mode, panels=panels) for panels in (True, False)]
        equal_everywhere(files, ids, BOUNDS.get(mode, BYTES))


@pytest.mark.parametrize("kernel", [KERNELS[0], *L1], ids=str)
@pytest.mark.parametrize("mode", ["q8", "int16"])
def test_rows_with_more_bits(kernel: dict, mode: str) -> None:
    """In every layer and layout; and they bring logits nearer to those of the model."""
    for seed, shape in enumerate(SHAPES):
        model = random_model(tiny_config(**shape, **kernel), seed)
        ids = np.random.default_rng(seed).integers(0, shape["vocabulary"], shape["context"])
        extra = finer(model, *range(0, shape["context"], 2))
        extra = extra if mode == "q8" else Extra(extra.fine)
        files = [write(model, mode, panels=panels, extra=extra) for panels in (True, False)]
        equal_everywhere(files, ids, BOUNDS.get(mode, BYTES))


def test_four_bits_more_are_felt() -> None:
    """All rows with twelve bits: the runtime's logits are sixteen times nearer, or nearly."""
    model = random_model(tiny_config(dim=32, heads=4, neurons=(40,), vocabulary=90), 5)
    ids, errors = np.arange(6) * 9, []
    wanted = torch_logits(model, ids[None])[0]
    rows = {k: np.arange(len(model.tensors[k])) for k in finer(model, 0).fine}
    for extra in (Extra(), Extra(rows, finer(model, 0).wide)):
        with running(write(model, "q8", extra=extra)) as m:
            errors.append(np.abs(m.logits(ids) - wanted).max())
    assert errors[1] < errors[0] / 8


def test_a_sum_is_exact_beyond_what_an_int32_holds() -> None:
    """70,000 neurons: products of bytes are added up span by span."""
    model = random_model(tiny_config(neurons=(70_000,), kernel="radial", activation="gelu"))
    model.tensors["blocks.0.field.temperature"][:] = 1000.0  # type: ignore[index]
    ids = np.arange(4)
    data = write(model, "q8")
    wanted = torch_logits(read(data)[0], ids[None])[0]
    with running(data) as m:
        found = [m.logits(ids) for _ in m.layers()]
    assert np.abs(found[0] - wanted).max() < 2e-3 * np.abs(wanted).max()
    assert all(np.array_equal(f, found[0]) for f in found)


@pytest.mark.parametrize("kind", ["causal_lm", "flat_lm"])
def test_greedy_text_is_pytorchs_past_the_context(kind: str) -> None:
    shape = {"vocabulary": 60, "dim": 32, "context": 16, "neurons": (50, 40), "ffn": 48}
    model = random_model(tiny_config(kind=kind, heads=4 if kind == "causal_lm" else 1, **shape), 3)
    for prompt in ([5], list(range(40))):
        ids = generate(LanguageNet.from_model(model).eval(), prompt)
        wanted = [next(ids) for _ in range(200)]
        assert len(set(wanted)) > 1
        with running(write(model, "f32")) as m:
            for _ in m.layers():
                assert m.generate(prompt, 200, Sampler(0.0, 1.0, 0, 0)) == wanted


def test_int16_logits_are_within_a_thousandth() -> None:
    model = random_model(tiny_config(dim=32, heads=4, neurons=(40,), vocabulary=90), 5)
    for key in model.tensors:
        if key.endswith("weight") and "norm" not in key:
            model.tensors[key][:] *= 0.2  # type: ignore[index]
    ids = np.arange(6) * 9
    rows = []
    for mode in ("f32", "int16"):
        with running(write(model, mode)) as m:
            rows.append(m.logits(ids))
    assert 0 < np.abs(rows[0] - rows[1]).max() < 1e-3
