"""Reading checkpoints: every layout, and what each one becomes."""

from __future__ import annotations

import hashlib
import itertools
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import as_document, tiny_checkpoint, write_pt, write_safetensors

from crystalc.checkpoint import Activation, Checkpoint, Kernel, Metric
from crystalc.diagnostics import CompileError
from crystalc.frontend import read_checkpoint
from crystalc.frontend.bare import read_bare
from crystalc.frontend.parameters import KEYS
from crystalc.frontend.tree import Tree
from crystalc.frontend.version1 import read_version1
from crystalc.training.checkpoint import save

FORMS: list[tuple[Kernel, Activation, Metric, bool, bool]] = [
    (kernel, activation, metric, projection, head)
    for kernel, activation in (("laplace", "relu"), ("gauss", "relu"), ("radial", "gelu"))
    for metric, projection, head in itertools.product(("l2", "l1"), (False, True), (False, True))
]


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Equal in everything but the source."""
    assert one.config == other.config
    assert one.metadata == other.metadata
    assert set(one.tensors) == set(other.tensors)
    for key, array in one.tensors.items():
        assert array.dtype == other.tensors[key].dtype, key
        assert np.array_equal(array, other.tensors[key]), key
    if one.calibration is None or other.calibration is None:
        return one.calibration is other.calibration
    return np.array_equal(one.calibration, other.calibration)


@pytest.mark.parametrize("form", FORMS)
def test_safetensors_come_back(form: tuple[Any, ...], tmp_path: Path) -> None:
    kernel, activation, metric, projection, head = form
    wanted = tiny_checkpoint(kernel, activation, metric, projection=projection, head=head)
    path = write_safetensors(tmp_path / "m.safetensors", as_document(wanted))
    found = read_checkpoint(path)
    assert same(found, wanted)
    assert found.source == hashlib.sha256(path.read_bytes()).hexdigest()


def test_pt_comes_back(tmp_path: Path) -> None:
    wanted = tiny_checkpoint("radial", "relu", "l1", projection=True, head=True, frozen=0.3)
    path = write_pt(tmp_path / "a model (1).pt", as_document(wanted))
    found = read_checkpoint(path)
    assert same(found, wanted)
    assert found.source == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(found.tensors) == [key for key in KEYS if key in found.tensors]


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    wanted = tiny_checkpoint("gauss")
    written = write_safetensors(tmp_path / "m.safetensors", as_document(wanted))
    assert same(read_checkpoint(written.rename(tmp_path / "m.pt")), wanted)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    wanted = tiny_checkpoint("gauss")
    link = tmp_path / "link"
    link.symlink_to(write_safetensors(tmp_path / "m.safetensors", as_document(wanted)))
    assert same(read_checkpoint(link), wanted)


def test_calibration_and_metadata_are_optional() -> None:
    document = as_document(tiny_checkpoint())
    del document["calibration"], document["metadata"]
    found = read_version1(document, "")
    assert found.calibration is None
    assert found.metadata == {}


def test_all_problems_are_found_at_once() -> None:
    document = as_document(tiny_checkpoint("radial"))
    state = document["state_dict"]
    state["field.positions"][3, 1] = np.nan
    state["field.values"] = state["field.values"][:, :2]
    state["field.temperature"][2] = 0
    state["field.radios"] = state.pop("field.radius")
    with pytest.raises(CompileError) as caught:
        read_version1(document, "")
    keys = [str(diagnostic.loc) for diagnostic in caught.value.diagnostics]
    assert sorted(keys) == [
        "field.positions[3, 1]",
        "field.radios",
        "field.radius",
        "field.temperature[2]",
        "field.values",
    ]


# --- bare layouts ------------------------------------------------------------------------------


def bare(neurons: int = 5, dim: int = 4, outputs: int = 3, prefix: str = "") -> Tree:
    """The state_dict of a model that has only a field."""
    rng = np.random.default_rng(1)
    return {
        f"{prefix}positions": normal(rng, neurons, dim),
        f"{prefix}values": normal(rng, neurons, outputs),
        f"{prefix}temperature": normal(rng, neurons),
    }


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "prefix", ["", "field.", "geometric.", "crystal.", "module.", "_orig_mod.module.field."]
)
def test_bare_field(prefix: str) -> None:
    state = bare(prefix=prefix)
    found = read_bare(dict(state), "abc")
    config = found.config
    assert (config.kind, config.kernel, config.metric) == ("classifier", "laplace", "l2")
    assert (config.inputs, config.dim, config.neurons, config.outputs) == (4, 4, 5, 3)
    assert not config.projection and not config.head and not config.normalized
    assert np.array_equal(found.tensors["field.positions"], np.asarray(state[f"{prefix}positions"]))
    assert found.frozen.all(), "no mask: training is over"
    assert found.source == "abc"


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict", "model"])
def test_training_wrappers(wrapper: str) -> None:
    tree: Tree = {wrapper: bare(), "epoch": 12, "best_loss": 0.25, "optimizer_state_dict": {}}
    found = read_bare(tree, "")
    assert found.metadata == {"epoch": 12, "best_loss": 0.25}


def test_bare_projection_and_head() -> None:
    rng = np.random.default_rng(2)
    state = bare(neurons=5, dim=4, outputs=6)
    state["input_proj.weight"] = normal(rng, 4, 9)
    state["output_proj.weight"] = normal(rng, 3, 6)
    state["output_proj.bias"] = normal(rng, 3)
    found = read_bare(state, "")
    assert (found.config.inputs, found.config.outputs) == (9, 3)
    assert found.config.projection and found.config.head
    assert not found.tensors["projection.bias"].any(), "a linear layer without bias adds nothing"
    assert np.array_equal(found.tensors["head.weight"], np.asarray(state["output_proj.weight"]))


@pytest.mark.parametrize("name", ["frozen", "frozen_mask"])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_bare_mask(name: str, dtype: type[np.generic]) -> None:
    mask = np.array([1, 0, 0, 1, 1])
    found = read_bare({**bare(), name: mask.astype(dtype)}, "")
    assert found.frozen.tolist() == mask.astype(bool).tolist()


@pytest.mark.parametrize("shape", [(), (1,), (5, 1)])
def test_bare_temperature_is_spread(shape: tuple[int, ...]) -> None:
    temperature = np.full(shape, 0.5, np.float32)
    found = read_bare({**bare(), "temperature": temperature}, "")
    assert found.tensors["field.temperature"].tolist() == [0.5] * 5


def language_model(attention: bool, blocks: int = 2) -> Tree:
    """A state_dict with embeddings, ``blocks`` fields and a head."""
    rng = np.random.default_rng(3)
    state: Tree = {
        "token_embed.weight": normal(rng, 11, 4),
        "pos_embed.weight": normal(rng, 8, 4),
        "ln_f.weight": normal(rng, 4),
        "head.weight": normal(rng, 11, 4),
    }
    for block in range(blocks):
        name = f"blocks.{block}."
        state |= bare(dim=4, outputs=4, prefix=f"{name}geometric.")
        state[f"{name}ffn.0.weight"] = normal(rng, 16, 4)
        for projection in "qkvo" if attention else "":
            state[f"{name}attention.{projection}_proj.weight"] = normal(rng, 4, 4)
    return state


@pytest.mark.parametrize(("attention", "kind"), [(True, "causal_lm"), (False, "flat_lm")])
def test_language_models_are_recognised(attention: bool, kind: str) -> None:
    state = language_model(attention)
    state["blocks.1.geometric.frozen"] = np.array([True, False, False, True, True])
    state["blocks.0.attention.tril"] = np.tril(np.ones((8, 8), np.float32))
    found = read_bare({"model_state_dict": state}, "")
    assert found.config.kind == kind
    assert (found.config.inputs, found.config.outputs) == (11, 11)
    assert (found.config.neurons, found.config.dim) == (10, 4)
    assert found.frozen.tolist() == [True] * 5 + [True, False, False, True, True]
    assert "blocks.0.ffn.0.weight" in found.tensors
    assert "blocks.0.attention.tril" not in found.tensors


def test_language_model_problems_are_located() -> None:
    state = language_model(True)
    state["blocks.0.geometric.valuse"] = state.pop("blocks.0.geometric.values")
    state["pos_embed.weight"] = np.zeros((8, 5), np.float32)
    state["head.weight"] = np.full((11, 4), np.inf, np.float32)
    with pytest.raises(CompileError) as caught:
        read_bare(state, "")
    messages = "\n".join(map(str, caught.value.diagnostics))
    assert "head.weight[0, 0]: inf is not a finite number (43 more)" in messages
    assert "pos_embed.weight: shape [8, 5] does not match [rows, dim 4]" in messages
    assert "blocks.0.geometric.valuse: unknown key" in messages
    assert "blocks.0.geometric.values: missing" in messages


def test_non_finite_numbers_beside_a_bare_state_are_kept_as_text() -> None:
    found = read_bare({"model": bare(), "best_loss": float("inf"), "done": True}, "")
    assert found.metadata == {"best_loss": "inf", "done": 1}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_training_writes_comes_back(suffix: str, tmp_path: Path) -> None:
    wanted = tiny_checkpoint("laplace", projection=True, normalized=True)
    path = tmp_path / f"trained{suffix}"
    save(path, wanted)
    assert same(read_checkpoint(path), wanted)


def test_every_record_of_a_pt_file_has_its_checksum(tmp_path: Path) -> None:
    path = write_pt(tmp_path / "m.pt", as_document(tiny_checkpoint()))
    good = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        records = [r for r in file.infolist() if r.file_size]
    for record in records:
        length = 30 + sum(struct.unpack_from("<2H", good, record.header_offset + 26))
        data = bytearray(good)
        data[record.header_offset + length + record.file_size - 1] ^= 1
        path.write_bytes(data)
        with pytest.raises(CompileError, match=f"checksum of record '{record.filename}' differs"):
            read_checkpoint(path)


def test_a_pt_file_may_be_saved_without_checksums(tmp_path: Path) -> None:
    import torch

    wanted = tiny_checkpoint()
    usual = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = write_pt(tmp_path / "m.pt", as_document(wanted))
    finally:
        torch.serialization.set_crc32_options(usual)
    with zipfile.ZipFile(path) as file:
        assert {record.CRC for record in file.infolist()} == {0}
    assert same(read_checkpoint(path), wanted)
