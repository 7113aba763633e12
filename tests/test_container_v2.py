"""Version 2: what it holds, what it cannot, and how it becomes version 3."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from crystalc.container import Mode, read, v2, write
from crystalc.container.kinds import dtype_of, place_of
from crystalc.container.quantize import dequantize, quantize
from crystalc.diagnostics import CompileError
from tests.crystal_files import rich
from tests.crystal_files_v2 import V2_FIELDS, old, old_bytes
from tests.language_models import random_model, tiny_config

OLD_MODES: tuple[Mode, ...] = ("f32", "int16", "int8", "mixed", "mixed8")


@pytest.mark.parametrize("shape", [{}, {"ffn": 0}, {"kind": "flat_lm", "heads": 1}])
@pytest.mark.parametrize("mode", OLD_MODES)
def test_round_trip(mode: Mode, shape: dict[str, object]) -> None:
    model = old(**shape)
    back, info = read(bytes(old_bytes(mode, **shape)), heads=2)
    assert (info.version, info.mode, info.pruned, info.ids) == (2, mode, False, None)
    assert back.config == model.config
    for key, value in model.tensors.items():
        wanted = dequantize(quantize(value, dtype_of(place_of(key)[0], mode)))
        assert np.array_equal(back.tensors[key], wanted), key


def test_biases_that_a_model_does_not_have_are_zero() -> None:
    back, _ = read(bytes(old_bytes()), heads=2)
    extra = back.tensors.keys() - old().tensors.keys()
    assert "head.bias" in extra and "blocks.0.attention.query.bias" in extra
    assert not any(back.tensors[key].any() for key in extra)


def test_biases_are_kept() -> None:
    config = old().config
    model = replace(random_model(config), vocabulary=None)
    tensors = {k: v for k, v in model.tensors.items() if k != "blocks.0.field.bias"}
    back, _ = read(v2.write(replace(model, tensors=tensors), "f32"), heads=2)
    assert all(np.array_equal(back.tensors[k], v) for k, v in tensors.items())


def test_the_header_is_what_the_page_says() -> None:
    data = old_bytes("mixed8", ids=True)
    assert data[:8] == b"CRYS\2\0\0\0"
    fields = dict(zip(V2_FIELDS, struct.unpack_from("<14I", data, 8), strict=True))
    assert fields["flags"] == 0x0040 | 0x0002 | 0x0001
    assert [fields[k] for k in V2_FIELDS[1:6]] == [6, 8, 5, 6, 9]
    assert fields["at_tokens"] == 64
    assert fields["at_positions"] == 64 + 6 * 8 * 4
    assert fields["at_attention"] == fields["at_positions"] + 6 * 8 * 4
    matrices = 4 * (8 + 8 * 8) + 4 * 8 * 4
    assert fields["at_geometric"] == fields["at_attention"] + matrices
    assert fields["at_ffn"] == fields["at_geometric"] + 2 * (8 + 40) + 5 * 4 + 8


def test_ids_of_a_pruned_vocabulary() -> None:
    _, info = read(bytes(old_bytes(ids=True)), heads=2)
    assert info.pruned and info.ids is not None
    assert info.ids.tolist() == [0, 7, 14, 21, 28, 35]


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(CompileError, match="3 heads do not divide dim 8"):
        read(bytes(old_bytes()), heads=3)


@pytest.mark.parametrize("mode", OLD_MODES)
def test_version_3_of_it_means_the_same(mode: Mode) -> None:
    model, _ = read(bytes(old_bytes(mode)), heads=2)
    new, info = read(write(model, "f32"))
    assert info.version == 3
    assert new.config.heads == 2
    assert all(np.array_equal(new.tensors[k], v) for k, v in model.tensors.items())


def test_what_version_2_cannot_hold() -> None:
    cases = {
        "field.bias": random_model(old().config),
        "neurons": old(neurons=(5, 5)),
        "kernel": random_model(tiny_config(neurons=(5,))),
        "epsilon": old(epsilon=1e-6),
    }
    for key, model in cases.items():
        with pytest.raises(CompileError, match=f"{key}: version 2 cannot hold this"):
            v2.write(model, "f32")
    with pytest.raises(CompileError, match="weights"):
        v2.write(old(), "q8")
    assert rich().config.kernel == "radial"
