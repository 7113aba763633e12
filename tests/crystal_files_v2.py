"""Files of version 2, whole and broken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crystalc.container import v2
from crystalc.container.kinds import Mode
from crystalc.language import LanguageModel
from tests.crystal_files import HUGE
from tests.language_models import random_model, tiny_config

V2_FIELDS = (
    "flags",
    "vocabulary",
    "dim",
    "neurons",
    "context",
    "ffn",
    *(f"at_{s}" for s in v2.SECTIONS),
)


def old(**changes: Any) -> LanguageModel:
    """A model that version 2 can hold."""
    shape = {"kernel": "laplace", "activation": None, "neurons": (5,), "vocabulary": 6}
    model = random_model(tiny_config(**{**shape, **changes}), biases=False)
    return replace(model, vocabulary=None)


def old_bytes(mode: Mode = "f32", ids: bool = False, **changes: Any) -> bytearray:
    """That model as version 2."""
    model = old(**changes)
    numbers = np.arange(model.config.vocabulary, dtype=np.uint32) * 7 if ids else None
    return bytearray(v2.write(model, mode, numbers))


def old_file(mode: Mode = "f32", **fields: int) -> bytes:
    """A version 2 file with some of its header's fields changed."""
    data = old_bytes(mode, ids=True)
    for name, value in fields.items():
        struct.pack_into("<I", data, 8 + 4 * V2_FIELDS.index(name), value)
    return bytes(data)


def old_with(at: int, raw: bytes, mode: Mode = "f32") -> bytes:
    """A version 2 file with ``raw`` at a byte."""
    data = old_bytes(mode, ids=True)
    data[at : at + len(raw)] = raw
    return bytes(data)


NAN = struct.pack("<f", float("nan"))

OLD_CORPUS: dict[str, Callable[[], bytes]] = {
    "00-fine": old_file,
    "00-int8": lambda: old_file("int8"),
    "01-cut": lambda: old_file()[:63],
    "05-truncated": lambda: old_file()[:-4],
    "05-longer": lambda: old_file() + bytes(4),
    "09-vocabulary-zero": lambda: old_file(vocabulary=0),
    "09-neurons-huge": lambda: old_file(neurons=HUGE),
    "09-ffn-huge": lambda: old_file(ffn=HUGE),
    "11-memory": lambda: old_file(dim=1 << 14, context=1 << 16),
    "23-padding": lambda: old_with(struct.unpack_from("<I", old_file(), 48)[0] - 1, b"\1"),
    "24-nan": lambda: old_with(64, NAN),
    "24-scale-nan": lambda: old_with(64, NAN, "int8"),
    "24-mask": lambda: old_with(old_bytes(ids=True).find(b"\1\1"), b"\2"),
    "26-ids-descend": lambda: old_file()[:-4] + bytes(4),
    "40-two-modes": lambda: old_file(flags=0x0030),
    "40-unknown-flag": lambda: old_file(flags=0x0100),
    "41-place": lambda: old_file(at_head=64),
    "41-absent-section": lambda: old_file(at_ids=0),
    "41-other-shape": lambda: old_file(context=7),
}
"""Version 2 files; C says 30 to each that is long enough to have a version."""
