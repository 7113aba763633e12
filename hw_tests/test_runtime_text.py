"""Text in the C runtime: tokens as the tokenizers library cuts them, UTF-8 streams, sampling."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_library import Running, Sampler, Stream, running, runtime

from crystalc.container import write
from crystalc.language import Vocabulary
from crystalc.render import template_root
from crystalc.training import tokens
from crystalc.training.tokens import Encoder
from crystalc_c.unicode_table import header
from tests.language_models import random_model, tiny_config

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
TEXT = (
    "The field's a sum; it's 42 times\n\nthe field,\tand “fields” of fields — naïve café, "
    "ДОМ дома, 数字は五です, १२३ ٣٤, Ⅷ ½ x²; we'll, they've 'DON'T'  \u00a0\u3000\u2028 end.\r\n"
    * 9
)
VARIED = st.text(st.sampled_from("ab Tde's'll  \n\t.é1٣½²Дж数\u00a0\u3000\u2028\x1c\x85😀\u0301ª_"))


def model_of(vocabulary: Vocabulary) -> bytes:
    """A model over these tokens."""
    made = random_model(tiny_config(vocabulary=vocabulary.size))
    return write(dataclasses.replace(made, vocabulary=vocabulary), "f32")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8", newline="")
    return tokens.learn(path, 400)


@pytest.fixture(scope="module")
def model(learned: Vocabulary) -> Iterator[Running]:
    with running(model_of(learned)) as m:
        yield m


@given(text=st.one_of(VARIED, st.text(max_size=80)))
@settings(max_examples=400, deadline=None)
def test_tokens_are_those_of_the_library(learned: Vocabulary, model: Running, text: str) -> None:
    assert model.encode(text.encode()) == (Encoder(learned).encode(text).tolist(), 0)


def test_every_character_is_cut_as_the_library_does(learned: Vocabulary, model: Running) -> None:
    """Letter, number, space or other: of all but what newer versions of Unicode have added."""
    encoder, wrong = Encoder(learned), 0
    codes = [*range(0x3000), *range(0x3000, 0x11000, 7), *range(0x1F000, 0x1F800, 5)]
    for code in codes:
        if 0xD800 <= code < 0xE000:
            continue
        text = f"a{chr(code)}{chr(code)}1 {chr(code)}b"
        wrong += model.encode(text.encode()) != (encoder.encode(text).tolist(), 0)
    assert wrong <= len(codes) // 500


def test_gpt2_on_shakespeare() -> None:
    if not SHARED.is_dir():
        pytest.skip("data: no shared data folder beside the checkout")
    vocabulary = tokens.gpt2(SHARED / "gpt2_encoder.json", SHARED / "gpt2_vocab.bpe")
    text = (SHARED / "tinyshakespeare.txt").read_bytes()[:200_000]
    with running(model_of(vocabulary)) as m:
        assert m.encode(text) == (Encoder(vocabulary).encode(text.decode()).tolist(), 0)
        assert m.encode(TEXT.encode())[0] == Encoder(vocabulary).encode(TEXT).tolist()


def test_pieces_are_written_as_what_they_were_made_of() -> None:
    """Ids from 5 on have no row in the model: ab is a, b again; c is no token at all."""
    words = (b"a", b"b", b"d", b"abd", b"\n", b"ab", b"x")
    merges = np.array([[0, 1], [5, 2]], np.int32)
    with running(model_of(Vocabulary(words, merges, 5))) as m:
        assert m.encode(b"ab") == ([0, 1], 0)
        assert m.encode(b"abd") == ([3], 0)
        assert m.encode(b"abab\nd") == ([0, 1, 0, 1, 4, 2], 0)
        assert m.encode(b"axcb") == ([0, 1], 2)


def test_characters() -> None:
    words = tuple(c.encode() for c in "aé数😀\n")
    vocabulary = Vocabulary(words, np.zeros((0, 2), np.int32), 5, "chars")
    with running(model_of(vocabulary)) as m:
        assert m.encode("數😀aé数\n".encode()) == ([3, 0, 1, 2, 4], 3)
        assert m.encode(b"\xff\xf0\x9fa") == ([0], 3)


@given(st.one_of(st.binary(max_size=40), VARIED.map(str.encode)), st.integers(1, 7))
@settings(max_examples=300)
def test_a_stream_never_breaks_a_character(data: bytes, size: int) -> None:
    stream, out = Stream(), b""
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        room = ctypes.create_string_buffer(len(piece) + 3)
        at = ctypes.byref(stream)
        count = runtime().crystal_decode(at, piece, len(piece), room)
        shown = room.raw[:count]
        out += shown
        if data.decode(errors="ignore").encode() == data:
            shown.decode()  # whole characters only
    assert out + ctypes.string_at(ctypes.addressof(stream), stream.held) == data


def test_the_table_of_letters_is_the_scripts() -> None:
    text = (template_root() / "c" / "runtime" / "unicode.h").read_text()
    if text.splitlines()[0] != header().splitlines()[0]:
        pytest.skip("data: this Python knows another version of Unicode")
    assert text == header()


# ---- sampling ----


@pytest.fixture(scope="module")
def wide() -> Iterator[Running]:
    with running(write(random_model(tiny_config(vocabulary=90)), "f32")) as m:
        yield m


def draws(m: Running, logits: np.ndarray, *how: float, count: int = 4000) -> np.ndarray:
    """How often each token is drawn."""
    sampler = Sampler(how[0], how[1], int(how[2]), 99)
    return np.bincount([m.sample(logits, sampler) for _ in range(count)], minlength=len(logits))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


LOGITS = np.random.default_rng(2).normal(size=90).astype(np.float32) * 2


def test_temperature_is_the_softmaxs(wide: Running) -> None:
    for temperature in (0.5, 1.0, 1.7):
        share = softmax(LOGITS / temperature)
        found = draws(wide, LOGITS, temperature, 1.0, 0) / 4000
        assert np.abs(found - share).max() < 5 * np.sqrt(share.max() / 4000)


def test_top_k_and_top_p_keep_the_likeliest(wide: Running) -> None:
    order = np.argsort(-LOGITS, kind="stable")
    assert set(np.flatnonzero(draws(wide, LOGITS, 1.0, 1.0, 3))) == set(order[:3])
    share = softmax(LOGITS)[order].cumsum()
    kept = int((share < 0.6).sum()) + 1
    assert set(np.flatnonzero(draws(wide, LOGITS, 1.0, 0.6, 0))) == set(order[:kept])
    top = softmax(LOGITS[order[:10]]).cumsum()
    both = int((top < 0.6).sum()) + 1
    assert set(np.flatnonzero(draws(wide, LOGITS, 1.0, 0.6, 10))) == set(order[:both])


def test_the_likeliest_is_the_first_of_equals(wide: Running) -> None:
    logits = LOGITS.copy()
    logits[[17, 71]] = logits.max() + 1
    assert wide.sample(logits, Sampler(0.0, 1.0, 0, 1)) == 17
    assert wide.sample(logits, Sampler(1.0, 1.0, 1, 1)) == 17


def test_a_seed_means_one_text_in_every_layer(wide: Running) -> None:
    for top_k, top_p in ((0, 1.0), (20, 1.0), (0, 0.9)):
        texts = {
            tuple(wide.generate([1, 2], 50, Sampler(0.9, top_p, top_k, seed)))
            for _ in wide.layers()
            for seed in (4, 4, 5)
        }
        assert len(texts) == 2


def test_log_probability(wide: Running) -> None:
    wanted = np.log(softmax(LOGITS.astype(np.float64)))
    room = np.concatenate([LOGITS, np.zeros(64, np.float32)])
    at = ctypes.c_void_p(room.ctypes.data)
    found = [runtime().crystal_log_probability(wide.handle, at, t) for t in range(90)]
    assert np.abs(np.array(found) - wanted).max() < 1e-6
