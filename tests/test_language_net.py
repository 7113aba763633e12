"""The torch network: its keys, its numbers, its cache, and the text it writes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from language_models import KERNELS, random_model, tiny_config, torch_logits

from crystalc.language import parameters
from crystalc.nn.generate import draw, first_kept, generate
from crystalc.nn.language import Cache, LanguageNet

FLAT = {"kind": "flat_lm", "heads": 1}


@pytest.mark.parametrize("changes", [{}, FLAT, {"ffn": 0}])
def test_its_keys_are_those_of_the_contract(changes: dict[str, Any]) -> None:
    config = tiny_config(**changes)
    found = {key: tuple(value.shape) for key, value in LanguageNet(config).state_dict().items()}
    assert found == parameters(config)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("changes", [*KERNELS, FLAT, {"ffn": 0}])
def test_it_computes_what_the_contract_says(changes: dict[str, Any], biases: bool) -> None:
    model = random_model(tiny_config(**changes), biases=biases)
    ids = np.random.default_rng(0).integers(23, size=(3, 6))
    with torch.no_grad():
        found = LanguageNet.from_model(model)(torch.from_numpy(ids)).numpy()
    np.testing.assert_allclose(found, torch_logits(model, ids), rtol=1e-3, atol=1e-3)


def test_a_model_comes_back_as_it_went_in() -> None:
    model = random_model(tiny_config())
    found = LanguageNet.from_model(model).to_model()
    assert found.config == model.config and found.tensors.keys() == model.tensors.keys()
    assert all(np.array_equal(found.tensors[k], model.tensors[k]) for k in model.tensors)


@pytest.mark.parametrize("changes", [{}, FLAT])
@torch.no_grad()
def test_the_cache_gives_the_logits_of_the_whole(changes: dict[str, Any]) -> None:
    net = LanguageNet.from_model(random_model(tiny_config(**changes)))
    ids, cache = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]]), Cache()
    parts = [net.advance(ids[:, :2], cache)]
    parts += [net.advance(ids[:, t : t + 1], cache) for t in range(2, 6)]
    torch.testing.assert_close(torch.cat(parts, dim=1), net(ids), rtol=1e-5, atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 40))
def test_what_is_seen_is_what_a_filling_context_leaves(count: int, context: int) -> None:
    kept = 0
    for token in range(count):
        if token - kept == context:
            kept = token - context // 2
    assert first_kept(count, context) == kept


@torch.no_grad()
def test_greedy_text_goes_on_past_the_context() -> None:
    net = LanguageNet.from_model(random_model(tiny_config()))
    ids = [7, 3]
    for _ in range(20):
        seen = ids[first_kept(len(ids), 6) :]
        ids.append(int(net(torch.tensor([seen]))[0, -1].argmax()))
    assert list(itertools.islice(generate(net, [7, 3]), 20)) == ids[2:]
    assert len(set(ids[2:])) > 2


def test_a_long_prompt_and_its_text_fed_singly_agree() -> None:
    net = LanguageNet.from_model(random_model(tiny_config()))
    text = [7, 3, *itertools.islice(generate(net, [7, 3]), 20)]
    assert list(itertools.islice(generate(net, text[:13]), 9)) == text[13:]


def test_draws_follow_temperature_top_k_and_seed() -> None:
    logits = torch.tensor([0.0, 2.0, 1.0, -1.0])

    def drawn(temperature: float, top_k: int = 0, seed: int = 1) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return [draw(logits, temperature, top_k, generator) for _ in range(200)]

    assert set(drawn(0.0)) == {1}
    assert set(drawn(1.0, top_k=2)) == {1, 2}
    assert drawn(1.0) == drawn(1.0) != drawn(1.0, seed=2)
    share = drawn(1.0).count(1) / 200
    assert abs(share - float(torch.softmax(logits, 0)[1])) < 0.1
