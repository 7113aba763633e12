"""Version 3 of the container: layouts, types, round trips, files that stay readable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crystalc.container import MODES, PRUNED, Mode, read, write
from crystalc.container.crc32c import LANES, crc32c
from crystalc.container.kinds import GROUP, Dtype, Layout, Part, dtypes_of, place_of
from crystalc.container.layout import groups, pack, size_of, unpack, up
from crystalc.container.quantize import dequantize, quantize
from crystalc.diagnostics import CompileError
from crystalc.language import LanguageModel
from tests.crystal_files import finer, rich, small
from tests.crystal_files_v2 import old_bytes
from tests.language_models import KERNELS, random_model, tiny_config

GOLDEN = Path(__file__).parent / "golden" / "crystal"


def bitwise_crc(data: bytes) -> int:
    """The definition, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_checksum_of_the_reference_string() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("size", [1, 511, 512, 513, 4 * LANES - 1, 4 * LANES, 12 * LANES + 5])
def test_checksum_in_lanes(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == bitwise_crc(data)


def test_checksum_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).bytes(50_001)
    whole = crc32c(data)
    monkeypatch.setattr("crystalc.container.crc32c.CHUNK", 7_001)
    assert crc32c(data) == whole == bitwise_crc(data)


STORED = {Dtype.F32: np.float32, Dtype.S16: np.int16, Dtype.S8: np.int8, Dtype.S8R: np.int8}


def _elements(dtype: Dtype, shape: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    if dtype == Dtype.Q4:
        return rng.integers(0, 16, shape, dtype=np.uint8)
    return rng.integers(-100, 100, shape).astype(STORED[dtype])


@given(
    st.sampled_from([*STORED, Dtype.Q4]),
    st.sampled_from(list(Layout)),
    st.tuples(st.integers(1, 130), st.integers(1, 70)),
)
def test_layouts_come_back(dtype: Dtype, layout: Layout, shape: tuple[int, int]) -> None:
    assume(dtype != Dtype.Q4 or layout != Layout.TRANSPOSED)
    values = _elements(dtype, shape, 3)
    data = pack(values, dtype, layout)
    assert len(data) == size_of(dtype, layout, shape)
    assert np.array_equal(unpack(data, dtype, layout, shape), values)


@pytest.mark.parametrize(("dtype", "e"), [(Dtype.F32, 1), (Dtype.S16, 2), (Dtype.S8R, 4)])
def test_panels_are_where_the_page_says(dtype: Dtype, e: int) -> None:
    """The formula of docs/format.md, element by element."""
    rows, columns = 70, 6
    values = _elements(dtype, (rows, columns), 5)
    data = pack(values, dtype, Layout.PANELS)
    turned = pack(values.T, dtype, Layout.TRANSPOSED)
    steps = -(-columns // e)
    for r in range(rows):
        for c in range(columns):
            at = ((r // 64) * steps + c // e) * 256 + (r % 64) * 4 + (c % e) * (4 // e)
            for found in (data, turned):
                assert np.frombuffer(found, values.dtype, 1, at)[0] == values[r, c]
    assert len(data) == len(turned) == up(rows, 64) * steps * 4


@pytest.mark.parametrize("layout", [Layout.ROWS, Layout.PANELS])
def test_nibbles_are_where_the_page_says(layout: Layout) -> None:
    rows, columns = 66, 40
    values = _elements(Dtype.Q4, (rows, columns), 5)
    data, steps = pack(values, Dtype.Q4, layout), groups(columns) * 4
    for r in range(rows):
        for c in range(columns):
            at = r * groups(columns) * 16 + (c // 8) * 4 + c % 4
            if layout == Layout.PANELS:
                at = ((r // 64) * steps + c // 8) * 256 + (r % 64) * 4 + c % 4
            assert (data[at] & 15 if c % 8 < 4 else data[at] >> 4) == values[r, c]


def test_scales_in_panels_are_where_the_page_says() -> None:
    scales = np.arange(66 * 3, dtype=np.float16).reshape(66, 3)
    flat = np.frombuffer(pack(scales, Dtype.F16, Layout.PANELS), np.float16)
    for r in range(66):
        for g in range(3):
            assert flat[((r // 64) * 3 + g) * 64 + r % 64] == scales[r, g]
    rows = np.frombuffer(pack(scales[:, 0].astype(np.float32), Dtype.F32, Layout.PANELS), "<f4")
    assert np.array_equal(rows[:66], scales[:, 0])
    assert rows.size == 128 and not rows[66:].any()


def test_bits_are_lowest_first() -> None:
    mask = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1], np.bool_)
    assert pack(mask, Dtype.BITS, Layout.ROWS) == b"\x01\x02"
    assert np.array_equal(unpack(b"\x01\x02", Dtype.BITS, Layout.ROWS, (10,)), mask)


@pytest.mark.parametrize(("dtype", "steps"), [(Dtype.S16, 32767), (Dtype.S8, 127)])
def test_one_scale_and_offset_for_a_tensor(dtype: Dtype, steps: int) -> None:
    tensor = (np.random.default_rng(2).standard_normal((9, 5)) + 3).astype(np.float32)
    stored = quantize(tensor, dtype)
    half = (tensor.max() - tensor.min()) / steps / 4
    assert np.abs(dequantize(stored) - tensor).max() <= half * 1.001 + 1e-6
    assert np.abs(stored.parts[Part.VALUES].astype(int)).max() == steps


def test_one_scale_for_a_row() -> None:
    tensor = np.array([[1e3, -400], [1e-3, 2e-4], [0, 0]], np.float32)
    stored = quantize(tensor, Dtype.S8R)
    assert stored.parts[Part.VALUES].tolist() == [[127, -51], [127, 25], [0, 0]]
    error = np.abs(dequantize(stored) - tensor)
    assert (error <= np.abs(tensor).max(axis=1, keepdims=True) / 254 * 1.001).all()


@given(st.integers(0, 1000), st.integers(1, 70))
def test_groups_of_four_bits(seed: int, columns: int) -> None:
    """Within the error of 16 even levels over the group's range, in root mean square."""
    tensor = np.random.default_rng(seed).standard_normal((3, columns)).astype(np.float32) * 5
    back = dequantize(quantize(tensor, Dtype.Q4))
    for start in range(0, columns, GROUP):
        group = tensor[:, start : start + GROUP]
        step = np.ptp(group, axis=1) / 15
        rms = np.sqrt(((back[:, start : start + GROUP] - group) ** 2).mean(axis=1))
        assert (rms <= step / 2 + 0.02).all()


def test_constant_rows_stay_themselves() -> None:
    tensor = np.full((2, 40), 0.75, np.float32)
    for dtype in (Dtype.S16, Dtype.S8, Dtype.S8R, Dtype.Q4):
        assert np.array_equal(dequantize(quantize(tensor, dtype)), tensor)


def stored_form(model: LanguageModel, mode: Mode) -> dict[str, Any]:
    """What every reader must make of ``model``."""
    kinds = {key: dtypes_of(place_of(key)[0], mode)[0] for key in model.tensors}
    return {k: dequantize(quantize(v, kinds[k])) for k, v in model.tensors.items()}


@pytest.mark.parametrize("panels", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_round_trip(mode: Mode, panels: bool) -> None:
    model = rich(dim=40, heads=4, neurons=(70, 3))
    back, info = read(write(model, mode, panels=panels))
    assert (info.version, info.mode, info.pruned) == (3, mode, False)
    assert back.config == model.config
    assert (back.metadata, back.source) == (model.metadata, model.source)
    assert back.vocabulary is not None and model.vocabulary is not None
    assert back.vocabulary.tokens == model.vocabulary.tokens
    assert np.array_equal(back.vocabulary.merges, model.vocabulary.merges)
    assert back.vocabulary.size == 6
    wanted = stored_form(model, mode)
    assert back.tensors.keys() == wanted.keys()
    for key, value in wanted.items():
        assert np.array_equal(back.tensors[key], value), key
        assert back.tensors[key].dtype == value.dtype
        exact = mode == "f32" or value.ndim == 1
        assert not exact or np.array_equal(value, model.tensors[key]), key


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", ["causal_lm", "flat_lm"])
def test_round_trip_of_every_kernel(kind: str, kernel: dict[str, Any]) -> None:
    heads = 2 if kind == "causal_lm" else 1
    model = random_model(tiny_config(kind=kind, heads=heads, ffn=0, **kernel))
    back, _ = read(write(model, "f32"))
    assert back.config == model.config
    assert all(np.array_equal(back.tensors[k], v) for k, v in model.tensors.items())


@pytest.mark.parametrize("mode", MODES)
def test_what_was_written_is_written_again(mode: Mode) -> None:
    """Quantising numbers that lie on the grid already changes none of them."""
    data = write(rich(), mode)
    again, _ = read(write(read(data)[0], mode))
    for key, value in read(data)[0].tensors.items():
        scale = np.abs(value.astype(np.float64)).max()
        assert np.allclose(again.tensors[key], value, atol=scale * 2e-3), key


def test_the_bytes_do_not_depend_on_the_order_of_tensors() -> None:
    model = rich()
    turned = replace(model, tensors=dict(reversed(model.tensors.items())))
    assert write(model, "q8") == write(turned, "q8")


def test_pruning_stands_in_the_header() -> None:
    _, info = read(write(replace(small(), metadata={PRUNED: 50257}), "q8"))
    assert info.pruned


REFUSED = {
    "norm.weight: missing": lambda m: {k: v for k, v in m.items() if k != "norm.weight"},
    "norm.wieght: unknown key": lambda m: m | {"norm.wieght": m["norm.weight"]},
    "no such tensor": lambda m: m | {"blocks.1.norm2.weight": m["norm.weight"]},
    "does not match [6, 4]": lambda m: m | {"head.weight": m["head.weight"][:5]},
    "nan is not a number": lambda m: m | {"norm.bias": m["norm.bias"] * np.float32("nan")},
    "divides by it": lambda m: m | {"blocks.0.field.temperature": np.zeros(2, np.float32)},
}


@pytest.mark.parametrize("message", REFUSED)
def test_no_file_that_a_reader_would_refuse(message: str) -> None:
    model = small()
    wrong = replace(model, tensors=REFUSED[message](dict(model.tensors)))
    with pytest.raises(CompileError) as caught:
        write(wrong, "f32")
    assert message in str(caught.value)


def test_metadata_is_bounded_and_finite() -> None:
    for value, message in (("x" * 70_000, "more than 65536"), (float("inf"), "not finite")):
        with pytest.raises(CompileError, match=message):
            write(replace(small(), metadata={"note": value}), "f32")


def golden_files() -> dict[str, bytes]:
    """Every version and mode, once in each layout."""
    model = rich(neurons=(5,))
    files = {f"v3-{mode}": write(model, mode) for mode in MODES}
    whole: tuple[Mode, ...] = ("int16", "mixed")
    files |= {f"v3-{mode}-tensor": write(model, mode, upgraded=True) for mode in whole}
    extra = finer(model, 0, 1, 4)
    files |= {
        f"v3-q8-more{n}": write(model, "q8", panels=not n, extra=extra) for n in ("", "-rows")
    }
    files |= {f"v3-{mode}-rows": write(model, mode, panels=False) for mode in ("f32", "q8q4")}
    old: tuple[Mode, ...] = ("f32", "int16", "int8", "mixed", "mixed8")
    return files | {f"v2-{mode}": bytes(old_bytes(mode, ids=True)) for mode in old}


def digests(data: bytes) -> dict[str, str]:
    """Hashes of what a file means: read today, and in every later version."""
    model, _ = read(data)
    return {k: hashlib.sha256(v.tobytes()).hexdigest()[:16] for k, v in model.tensors.items()}


@pytest.mark.parametrize("name", golden_files())
def test_golden_file(name: str, request: pytest.FixtureRequest) -> None:
    """The writer still makes these bytes, and readers still take them for the same numbers."""
    path, meaning = GOLDEN / f"{name}.crystal", GOLDEN / f"{name}.json"
    if request.config.getoption("--update-golden"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        path.write_bytes(golden_files()[name])
        meaning.write_text(json.dumps(digests(path.read_bytes()), indent=1) + "\n")
    assert digests(path.read_bytes()) == json.loads(meaning.read_text())
    assert path.read_bytes() == golden_files()[name], "if this is meant: --update-golden"
