"""Language models in files of our own layout: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from crystalc.cli.inspect import describe, table
from crystalc.diagnostics import CompileError
from crystalc.frontend import read_checkpoint, read_model
from crystalc.language import LanguageModel
from tests.language_models import random_model, tiny_config

TOKENS = [b"a", b"b", b"ab", b"abb", b"c"]


def document(model: LanguageModel) -> dict[str, Any]:
    """What a .pt file of the model holds."""
    tokens = [*TOKENS, *(bytes([k]) * 2 for k in range(model.config.vocabulary))]
    return {
        "format": "crystalc",
        "version": 1,
        "config": model.config.to_dict(),
        "state_dict": {k: torch.from_numpy(np.array(v)) for k, v in model.tensors.items()},
        "vocabulary": {
            "bytes": torch.frombuffer(bytearray(b"".join(tokens)), dtype=torch.uint8),
            "lengths": torch.tensor([len(t) for t in tokens], dtype=torch.int32),
            "merges": torch.tensor([[0, 1], [2, 1]], dtype=torch.int32),
            "size": model.config.vocabulary,
            "split": "gpt2",
        },
        "metadata": {"corpus": "none"},
    }


def read(folder: Path, content: dict[str, Any]) -> Any:
    torch.save(content, folder / "lm.pt")
    return read_model(folder / "lm.pt")


@pytest.mark.parametrize("changes", [{}, {"kind": "flat_lm", "heads": 1, "ffn": 0}])
def test_a_model_is_read_as_it_was_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = random_model(tiny_config(**changes))
    found = read(tmp_path, document(model))
    assert isinstance(found, LanguageModel)
    assert found.config == model.config
    assert set(found.tensors) == set(model.tensors)
    assert all(np.array_equal(found.tensors[k], model.tensors[k]) for k in model.tensors)
    assert found.vocabulary is not None
    assert found.vocabulary.tokens[:5] == tuple(TOKENS)
    assert found.vocabulary.merges.tolist() == [[0, 1], [2, 1]]
    assert found.metadata == {"corpus": "none"}
    assert len(found.source) == 64


def test_safetensors_say_the_same(tmp_path: Path) -> None:
    model = random_model(tiny_config())
    content = document(model)
    vocabulary = content["vocabulary"]
    tensors = {k: np.asarray(v) for k, v in content["state_dict"].items()}
    for key in ("bytes", "lengths", "merges"):
        tensors[f"vocabulary.{key}"] = vocabulary[key].numpy()
    header = {
        "format": "crystalc",
        "version": "1",
        "config": json.dumps(content["config"]),
        "vocabulary": json.dumps({"size": 23, "split": "gpt2"}),
        "metadata": json.dumps(content["metadata"]),
    }
    save_file(tensors, tmp_path / "lm.safetensors", header)
    found, other = read_model(tmp_path / "lm.safetensors"), read(tmp_path, content)
    assert found.config == other.config
    assert found.vocabulary.tokens == other.vocabulary.tokens
    assert all(np.array_equal(found.tensors[k], other.tensors[k]) for k in other.tensors)


def test_a_classifier_is_not_a_language_model(tmp_path: Path) -> None:
    torch.save(document(random_model(tiny_config())), tmp_path / "lm.pt")
    with pytest.raises(CompileError, match="where a classifier is needed"):
        read_checkpoint(tmp_path / "lm.pt")


WRONG: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "heads": (("config", "heads"), 3, "config.heads: 3 does not divide dim 8"),
    "vocabulary size": (("config", "vocabulary"), 0, "config.vocabulary: 0 is not a whole number"),
    "bool": (("config", "ffn"), True, "config.ffn: True is not a whole number"),
    "neurons": (("config", "neurons"), 5, "config.neurons: 5 is not a list"),
    "a count": (("config", "neurons"), [5, -1], r"config.neurons\[1\]: -1 is not a whole"),
    "kernel": (("config", "kernel"), "radal", "did you mean 'radial'"),
    "epsilon": (("config", "epsilon"), 1.0, "config.epsilon: 1.0 is not between 0 and 1"),
    "unknown": (("config", "head"), 2, "config.head: unknown key"),
    "shape": (("state_dict", "norm.bias"), torch.zeros(9), r"norm.bias: shape \[9\] does not"),
    "dtype": (("state_dict", "norm.bias"), torch.zeros(8).double(), "norm.bias: float64 tensor"),
    "nan": (
        ("state_dict", "blocks.1.field.values"),
        torch.full((7, 8), torch.nan),
        r"blocks.1.field.values\[0, 0\]: nan is not a finite",
    ),
    "temperature": (
        ("state_dict", "blocks.0.field.temperature"),
        torch.zeros(5),
        r"blocks.0.field.temperature\[0\]: 0 is too near 0",
    ),
    "extra": (("state_dict", "blocks.2.norm1.bias"), torch.zeros(8), "unknown key"),
    "size": (("vocabulary", "size"), 22, "vocabulary.size: 22 differs"),
    "split": (("vocabulary", "split"), "bytes", "'bytes' is not a known split"),
    "merges": (("vocabulary", "merges"), torch.tensor([[0, 99]]).int(), "not pairs of token ids"),
    "no token": (("vocabulary", "merges"), torch.tensor([[1, 0]]).int(), "joined are no token"),
    "length 0": (("vocabulary", "lengths"), torch.zeros(28).int(), r"lengths\[0\]: 0 is not from"),
    "lengths": (("vocabulary", "lengths"), torch.ones(28).int(), "the lengths add up to another"),
    "too few": (("vocabulary", "lengths"), torch.ones(3).int(), "3 tokens, not 23 to"),
    "chars": (("vocabulary", "split"), "chars", "split 'chars' has no merges"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    (section, key), value, message = WRONG[name]
    content = document(random_model(tiny_config()))
    content[section][key] = value
    with pytest.raises(CompileError, match=message):
        read(tmp_path, content)


def test_two_tokens_of_the_same_bytes_are_refused(tmp_path: Path) -> None:
    content = document(random_model(tiny_config()))
    content["vocabulary"]["bytes"][1] = ord("a")
    content["vocabulary"]["merges"] = torch.zeros((0, 2), dtype=torch.int32)
    with pytest.raises(CompileError, match="the same bytes as token 0"):
        read(tmp_path, content)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    content = document(random_model(tiny_config()))
    del content["state_dict"]["norm.bias"]
    content["vocabulary"]["size"] = 22
    with pytest.raises(CompileError) as caught:
        read(tmp_path, content)
    assert len(caught.value.diagnostics) == 2


def test_inspect_tells_the_shape(tmp_path: Path) -> None:
    text = table(describe(read(tmp_path, document(random_model(tiny_config())))))
    assert "kind         causal_lm: 23 tokens, context 6, 2 heads\n" in text
    assert "fields       5, 7 neurons in 8 dimensions, l2 radial/gelu\n" in text
    assert "token table  28, 2 merges\n" in text
    assert "blocks.1.field.positions" in text
