"""Language models on CUDA, on the CPU's shim: the C runtime's logits and texts, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cuda_language import (
    MODELS,
    ORDERS,
    PREFIX,
    build,
    changed,
    container,
    emitted,
    library,
    loaded,
    reference,
    same_bits,
    sampler,
    texts_agree,
    without_barrier,
    written,
)

from crystalc.container import read, write
from crystalc.container.extra import Extra
from crystalc_cuda.language import cuda_language_files
from crystalc_cuda.language_entry import Draw, GpuError, Plan
from tests.language_models import random_model, tiny_config, torch_logits

PLANS = {
    "one block": Plan(1, 1, 1, 1, 1, 1),
    "a cluster": Plan(3, 1, 1, 0, 0, 3),
    "a cluster with its keys": Plan(2, 1, 1, 0, 1),
    "a grid": Plan(4, 0, 1, 1, 1),
    "weights in L2": Plan(2),
}
DRAWS = [
    None,
    Draw(0.8, 1.0, 0, 7),
    Draw(1.2, 1.0, 5, 3),
    Draw(1.0, 0.7, 0, 11),
    Draw(2.0, 0.9, 9, 5),
]


def _ids(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    vocabulary = MODELS[name].get("vocabulary", 23)
    return np.random.default_rng(seed).integers(0, vocabulary, shape).astype(np.int32)


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_runtimes(name: str) -> None:
    """Nine windows: one more than a block of threads takes."""
    context = MODELS[name]["context"]
    ids, targets = _ids(name, (9, context)), _ids(name, (9, context), 1)
    with reference(name) as c:
        wanted = np.array([c.logits(row) for row in ids])
    shifted = wanted.astype(np.float64) - wanted.max(-1, keepdims=True)
    exact = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    exact = np.take_along_axis(exact, targets[..., None].astype(np.int64), -1)[..., 0]
    for order in ORDERS:
        with loaded(library(name), order) as gpu:
            found, logits = gpu.score(ids, targets)
        assert same_bits(logits, wanted), order
        assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


def test_logits_are_those_of_the_weights_in_the_file() -> None:
    """Against PyTorch, so that the runtime is not the only witness."""
    ids = _ids("two blocks", (1, 7))
    wanted = torch_logits(read(container("two blocks"))[0], ids.astype(np.int64))
    with loaded(library("two blocks")) as gpu:
        logits = gpu.score(ids, ids)[1]
    assert np.abs(logits - wanted).max() < 1e-2 * np.sqrt(np.square(wanted).mean())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("plan", PLANS)
def test_one_sequence_writes_the_runtimes_text(name: str, plan: str) -> None:
    """Past the context; greedy, and drawn in every way."""
    prompt, count = _ids(name, (3,)), 2 * MODELS[name]["context"]
    order = ORDERS[list(PLANS).index(plan) % 3]
    with reference(name) as c, loaded(library(name), order, PLANS[plan]) as gpu:
        for draw in DRAWS:
            text, logits = gpu.generate(prompt, count, draw)
            assert text.tolist() == c.generate(prompt, count, sampler(draw))
            known = [*prompt, *text][: MODELS[name]["context"]]
            wanted = c.logits(known)[len(prompt) - 1 :]
            assert same_bits(logits[: len(wanted)], wanted)


def test_the_first_of_equals_is_the_text_in_whatever_order_rows_stand() -> None:
    """All logits are 0; a lane meets token 1, which has more bits, before token 0."""
    model = random_model(tiny_config(**MODELS["more bits"]), 0)
    head = {k: np.zeros_like(v) for k, v in model.tensors.items() if k.startswith("head.")}
    model = replace(model, tensors={**model.tensors, **head}, vocabulary=None)
    file = write(model, "q8", extra=Extra({"head.weight": np.arange(1, 9)}))
    folder = written(file, "equals")
    prompt = _ids("more bits", (3,))
    with loaded(build(folder)) as gpu:
        assert gpu.generate(prompt, 3)[0].tolist() == [0] * 3
        assert gpu.generate_batch([prompt], 3)[0].tolist() == [0] * 3


def test_a_prompt_longer_than_the_context() -> None:
    prompt = _ids("two blocks", (30,))
    with reference("two blocks") as c, loaded(library("two blocks")) as gpu:
        wanted = c.generate(prompt, 5, sampler(None))
        assert gpu.generate(prompt, 5)[0].tolist() == wanted
        assert gpu.generate_batch([prompt], 5)[0].tolist() == wanted


@pytest.mark.parametrize("name", MODELS)
def test_many_sequences_write_the_runtimes_texts(name: str) -> None:
    """Prompts of all lengths; so many of them that a block takes sixteen."""
    count = MODELS[name]["context"] + 2
    prompts = [_ids(name, (1 + seed % 9,), seed) for seed in range(35)]
    with reference(name) as c, loaded(library(name), "random:5") as gpu:
        few, many = gpu.generate_batch(prompts[:3], count), gpu.generate_batch(prompts, count)
        wanted = [c.generate(p, count, sampler(None)) for p in prompts]
    assert few.tolist() == wanted[:3]
    assert many.tolist() == wanted


def test_a_row_without_room_or_prompt_is_left_alone() -> None:
    ids = np.full((3, 6), 2, np.int32)
    given = np.array([0, 4, 2], np.int32)
    with loaded(library("two blocks")) as gpu, reference("two blocks") as c:
        room = np.zeros(gpu.model.room(3), np.uint8)
        at = (a.ctypes.data for a in (room, ids, given))
        gpu.model.generate_batch(*at, 3, 6, 4)
        wanted = c.generate([2, 2], 4, sampler(None))
    assert ids[:2].tolist() == [[2] * 6] * 2
    assert ids[2].tolist() == [2, 2, *wanted]


def test_arguments_are_refused_by_code() -> None:
    ids = np.zeros(4, np.int32)
    at = ids.ctypes.data
    with loaded(library("two blocks")) as gpu:
        for given, count in ((0, 1), (1, -1), (2**31 - 1, 1)):
            with pytest.raises(GpuError, match=r"out of range \(code 51\)"):
                gpu.model.generate(at, at, given, count)
        with pytest.raises(GpuError, match="code 51"):
            gpu.model.score(at, at, at, 1, 8, 8, at)  # the context is 7
        with pytest.raises(GpuError, match="code 51"):
            gpu.model.generate_batch(at, None, at, 1, 4, 1)
    for plan, code in (
        (Plan(17, 1, 1), 51),
        (Plan(2, 1, 0), 51),
        (Plan(2, 0, 0, 0, 1), 51),
        (Plan(1, 0, 1, 0, 0, 17), 51),
        (Plan(9, 0), 52),
    ):
        with pytest.raises(GpuError, match=f"code {code}"), loaded(library("l1"), plan=plan):
            pass


def test_tensors_of_another_kind_are_refused() -> None:
    ids = torch.zeros((2, 4), dtype=torch.int32)
    room = torch.zeros(1 << 20, dtype=torch.uint8)
    with loaded(library("l1")) as gpu:
        gpu.model.generate(room, ids, 1, 3)
        for wrong, kind in (
            (ids.long(), TypeError),
            (ids.to("meta"), TypeError),
            (ids.T, ValueError),
        ):
            with pytest.raises(kind, match="a tensor is"):
                gpu.model.generate(room, wrong, 1, 3)
        with pytest.raises(TypeError, match="float32"):
            gpu.model.generate(room, ids, 1, 3, logits=ids)


def test_a_model_of_other_sizes_is_refused() -> None:
    """The file inside is replaced by one of another shape."""
    folder = changed("l1", "other-sizes", lambda text: text.replace("FFN = 0", "FFN = 64"))
    with pytest.raises(GpuError, match=r"compiled in \(code 50\)"), loaded(build(folder)):
        pass


BARRIERS = {
    "sums of warps": without_barrier("row_sums"),
    "largest of warps": without_barrier("cut_digits"),
    "a norm of many": without_barrier("take_norm"),
    "the cluster's": lambda text: text.replace("    CRYSTAL_GRID_SYNC();\n", ""),
    "digits of all": without_barrier("take_head_together", 0, "meet_cluster();"),
    "best of all": without_barrier("take_head_together", 1, "meet_cluster();"),
}


@pytest.mark.parametrize("barrier", BARRIERS)
def test_a_missing_barrier_is_felt(barrier: str) -> None:
    """In some order of threads the launch fails or the text is another."""
    path = build(changed("two blocks", "without-" + barrier.replace(" ", "-"), BARRIERS[barrier]))
    assert any(texts_agree(path, order).returncode for order in ORDERS)


def test_with_its_barriers_nothing_is_felt() -> None:
    assert not any(texts_agree(library("two blocks"), order).returncode for order in ORDERS)


def test_a_count_of_meetings_may_wrap() -> None:
    """As after a billion arrivals: each counts 2^28 here, so the count wraps at every sixteenth."""

    def large(text: str) -> str:
        text = text.replace("&o.room->arrived, 1u)", "&o.room->arrived, 1u << 28)")
        return text.replace("o.meetings * o.blocks", "(o.meetings * o.blocks << 28)")

    path, prompt = build(changed("l1", "wraps", large)), _ids("l1", (3,))
    with reference("l1") as c, loaded(path, "reverse", Plan(3, 0, 1, 1)) as gpu:
        assert gpu.generate(prompt, 9)[0].tolist() == c.generate(prompt, 9, sampler(None))


def test_another_device_is_refused() -> None:
    def moved(text: str) -> str:
        return text.replace("device == g.device ?", "device == g.device + 1 ?")

    with loaded(build(changed("l1", "moved", moved))) as gpu:
        calls = (
            lambda: gpu.generate(_ids("l1", (3,)), 2),
            lambda: gpu.generate_batch([_ids("l1", (3,))], 2),
            lambda: gpu.score(_ids("l1", (1, 3)), _ids("l1", (1, 3))),
        )
        for call in calls:
            with pytest.raises(GpuError, match=r"opened on \(code 54\)"):
                call()


def test_emitted_bytes_are_the_same_again() -> None:
    for path, content in cuda_language_files(container("l1"), PREFIX, "a test").items():
        data = content.encode() if isinstance(content, str) else content
        assert (emitted("l1") / path).read_bytes() == data
