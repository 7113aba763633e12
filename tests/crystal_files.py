"""Small containers, and ways to damage one on purpose: what Python and C must judge alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crystalc.container import header as head
from crystalc.container import table, write
from crystalc.container.crc32c import crc32c
from crystalc.container.extra import Extra
from crystalc.container.kinds import MATRICES, NO_BLOCK, POSITIONS, VALUES, Mode, place_of
from crystalc.container.table import Entry
from crystalc.language import LanguageModel, Vocabulary
from tests.language_models import random_model, tiny_config

KINDS = {
    "tokens": 1,
    "positions": 2,
    "norm": 3,
    "head": 5,
    "head.bias": 6,
    "norm2": 32,
    "field": 34,
    "values": 35,
    "temperature": 36,
    "frozen": 39,
    "token_offsets": 64,
    "token_bytes": 65,
    "merges": 66,
    "metadata": 67,
}
GLOBAL = ("tokens", "positions", "norm", "head", "head.bias")
FIELDS = {name: 24 + 4 * k for k, name in enumerate(head.Header.__dataclass_fields__)}
"""Byte of each u32 of the header from flags on."""
COLUMNS = {
    "kind": (0, "H"),
    "part": (2, "H"),
    "block": (4, "I"),
    "dtype": (8, "B"),
    "layout": (9, "B"),
    "rank": (10, "B"),
    "flags": (11, "B"),
    "dim0": (12, "I"),
    "dim1": (16, "I"),
    "dim2": (20, "I"),
    "crc": (28, "I"),
    "offset": (32, "Q"),
    "size": (40, "Q"),
    "scale": (48, "f"),
    "zero": (52, "f"),
    "reserved": (56, "Q"),
}


def words(end: bytes = b"<end>") -> Vocabulary:
    """Six tokens, one of them (``end``) never made from text, and a piece that a merge needs."""
    tokens = (b"a", b"b", b"c", b"abc", b"ab", end, b"bc")
    return Vocabulary(tokens, np.array([[0, 1], [1, 2], [0, 6]], np.int32), 6)


def small(**changes: Any) -> LanguageModel:
    """A flat model, the fewest sections there can be beside tokens, merges and metadata."""
    shape = {"kind": "flat_lm", "heads": 1, "vocabulary": 6, "dim": 4, "context": 2, "ffn": 0}
    config = tiny_config(**{**shape, "neurons": (2,), **changes})
    model = random_model(config, biases=False)
    return replace(model, vocabulary=words(), source="ab" * 32)


def rich(**changes: Any) -> LanguageModel:
    """Everything a model can have."""
    config = tiny_config(**{"vocabulary": 6, **changes})
    return replace(random_model(config), vocabulary=words(), source="cd" * 32)


@dataclass
class File:
    """The bytes of a version 3 container, changed in place and sealed again."""

    data: bytearray
    sealed: bool = True

    @classmethod
    def of(cls, model: LanguageModel | None = None, mode: Mode = "f32", **options: Any) -> File:
        return cls(bytearray(write(model or small(), mode, **{"panels": False, **options})))

    @property
    def entries(self) -> list[Entry]:
        count = struct.unpack_from("<I", self.data, 12)[0]
        at = range(192, 192 + 64 * count, 64)
        return [table._unpack(memoryview(bytes(self.data[a : a + 64]))) for a in at]

    def find(self, name: str, part: int = 0) -> tuple[int, Entry]:
        """Byte of an entry in the table, and the entry."""
        kind = KINDS[name]
        block = NO_BLOCK if name in GLOBAL or kind >= 64 else 0
        for k, e in enumerate(self.entries):
            if e.slot == (kind, block, part):
                return 192 + 64 * k, e
        raise KeyError(name)

    def header(self, name: str, value: int) -> File:
        """Set a field of the header: one of `FIELDS`, or a byte offset."""
        struct.pack_into("<I", self.data, FIELDS[name], value)
        return self

    def put(self, at: int, raw: bytes) -> File:
        self.data[at : at + len(raw)] = raw
        return self

    def entry(self, name: str, of: int = 0, /, **values: float) -> File:
        """Set columns of a table entry; ``of`` is its part."""
        at, _ = self.find(name, of)
        for column, value in values.items():
            place, code = COLUMNS[column]
            struct.pack_into("<" + code, self.data, at + place, value)
        return self

    def content(self, name: str, raw: bytes, at: int = 0, part: int = 0) -> File:
        """Overwrite bytes of a section, and its checksum."""
        _, e = self.find(name, part)
        self.put(e.offset + at, raw)
        return self.entry(name, part, crc=crc32c(self.data[e.offset : e.offset + e.size]))

    def unsealed(self) -> File:
        self.sealed = False
        return self

    def bytes(self) -> bytes:
        """The file, its header's checksum made right again unless that is the point."""
        if self.sealed and len(self.data) >= 192:
            length = struct.unpack_from("<I", self.data, 8)[0]
            if length <= len(self.data):
                crc = head.checksum(bytes(self.data[:length]))
                struct.pack_into("<I", self.data, head.CRC_AT, crc)
        return bytes(self.data)


def finer(model: LanguageModel, *rows: int) -> Extra:
    """These rows of every matrix but values with four bits more, and the values with 16."""
    matrices = {k: place_of(k)[0] for k in model.tensors if place_of(k)[0] in MATRICES}
    not_these = {VALUES, POSITIONS} if model.config.metric == "l1" else {VALUES}
    fine = {k: np.array(rows) for k, kind in matrices.items() if kind not in not_these}
    return Extra(fine, frozenset(k for k, kind in matrices.items() if kind == VALUES))


def with_more_bits(**options: Any) -> File:
    return File.of(mode="q8", extra=finer(small(), 0, 1), **options)


def with_extra(critical: bool, kind: int = 999) -> File:
    """A last section of 5 bytes of an unknown kind."""
    f = File.of()
    table_end = struct.unpack_from("<I", f.data, 8)[0]
    moved = [replace(e, offset=e.offset + 64) for e in f.entries]
    last = len(f.data) + 64
    extra = Entry(kind, 7, 7, 77, 7, 7, int(critical), (1, 2, 3, 4), crc32c(b"extra"), last, 5)
    body = bytes(f.data[table_end:]) + b"extra".ljust(64, b"\0")
    start = bytearray(f.data[:192])
    struct.pack_into("<IIQ", start, 8, table_end + 64, len(moved) + 1, 192 + len(body))
    made = start + b"".join(table.pack(e) for e in [*moved, extra]) + body
    struct.pack_into("<Q", made, 16, len(made))
    return File(bytearray(made))


Make = Callable[[], File]


def _merges(*rows: tuple[int, int, int]) -> bytes:
    return np.array(rows, "<u4").tobytes()


def _offsets(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


HUGE = 0xFFFFFFFF

CORPUS: dict[str, Make] = {
    "00-fine": File.of,
    "00-no-tokens": lambda: File.of(replace(small(), vocabulary=None)),
    "00-optional-extra": lambda: with_extra(critical=False),
    "00-gguf-byte-token": lambda: File.of(replace(small(), vocabulary=words(b"<0x-1>"))),
    "00-more-bits": with_more_bits,
    "00-more-bits-in-panels": lambda: with_more_bits(panels=True),
    "00-sixteen-bits-of-rows": lambda: File.of(mode="int16"),
    "00-sixteen-bits-of-a-tensor": lambda: File.of(mode="int16", upgraded=True),
    "00-metadata-not-json": lambda: File.of().content("metadata", b"\xff\xfe[["),
    "01-empty": lambda: File(bytearray()),
    "01-seven-bytes": lambda: File(bytearray(b"CRYS\3\0\0")),
    "01-header-cut": lambda: File(bytearray(File.of().data[:191])),
    "01-gguf-37-bytes": lambda: File(bytearray(File.of().data[:37])),
    "02-magic": lambda: File.of().put(0, b"GGUF"),
    "03-version-4": lambda: File.of().put(4, b"\4"),
    "03-version-1": lambda: File.of().put(4, b"\1"),
    "04-no-sections": lambda: File.of().put(12, bytes(4)),
    "04-header-bytes": lambda: File.of().put(8, b"\xc0\0\0\0").unsealed(),
    "04-many-sections": lambda: File.of().put(8, struct.pack("<II", 192 + 64 * 8193, 8193)),
    "05-truncated": lambda: File(File.of().data[:-64]),
    "05-longer": lambda: File(File.of().data + bytes(64)),
    "05-file-bytes-huge": lambda: File.of().put(16, b"\xff" * 8),
    "05-header-beyond-file": lambda: File.of().put(8, struct.pack("<II", 192 + 64 * 4096, 4096)),
    "06-header-flip": lambda: File.of().put(36, b"\5").unsealed(),
    "06-table-flip": lambda: File.of().put(200, b"\5").unsealed(),
    "07-flag": lambda: File.of().header("flags", 4),
    "07-header-tail": lambda: File.of().put(191, b"\1"),
    "07-entry-flag": lambda: File.of().entry("norm", flags=3),
    "07-entry-tail": lambda: File.of().entry("norm", reserved=1 << 63),
    "07-stray-scale": lambda: File.of().entry("norm", scale=1.0),
    "07-negative-zero-scale": lambda: File.of().entry("norm", zero=-0.0),
    "08-kind": lambda: File.of().header("kind", 2),
    "08-split": lambda: File.of().header("split", 2),
    "08-metric": lambda: File.of().header("metric", HUGE),
    "08-kernel": lambda: File.of().header("kernel", 3),
    "08-activation": lambda: File.of().header("activation", 3),
    "08-weights": lambda: File.of().header("weights", 7),
    "08-norm": lambda: File.of().header("norm", 1),
    "08-rounding": lambda: File.of().header("rounding", 1),
    "09-vocabulary-zero": lambda: File.of().header("vocabulary", 0),
    "09-vocabulary-huge": lambda: File.of().header("vocabulary", (1 << 20) + 1),
    "09-gguf-zero-dim": lambda: File.of().header("dim", 0),
    "09-dim-huge": lambda: File.of().header("dim", HUGE),
    "09-context-zero": lambda: File.of().header("context", 0),
    "09-heads-zero": lambda: File.of().header("heads", 0),
    "09-heads-huge": lambda: File.of().header("heads", 5),
    "09-blocks-zero": lambda: File.of().header("blocks", 0),
    "09-blocks-huge": lambda: File.of().header("blocks", 257),
    "09-ffn-huge": lambda: File.of().header("ffn", HUGE),
    "09-tokens-few": lambda: File.of().header("tokens", 5),
    "09-merges-huge": lambda: File.of().header("merges", HUGE),
    "09-neurons-zero": lambda: File.of().entry("field", dim0=0),
    "09-neurons-huge": lambda: File.of().entry("field", dim0=HUGE),
    "09-token-bytes-zero": lambda: File.of().entry("token_bytes", dim0=0),
    "09-gguf-unbounded-string": lambda: File.of().entry("token_bytes", dim0=HUGE),
    "09-metadata-long": lambda: File.of().entry("metadata", dim0=65537),
    "09-fine-rows-none": lambda: with_more_bits().entry("head", 3, dim0=0),
    "09-fine-rows-many": lambda: with_more_bits().entry("head", 3, dim0=7),
    "10-heads-divide": lambda: File.of(rich()).header("heads", 3),
    "10-flat-heads": lambda: File.of().header("heads", 2),
    "10-activation-missing": lambda: File.of().header("activation", 0),
    "10-activation-alien": lambda: File.of().header("kernel", 1),
    "10-normalized-radial": lambda: File.of().header("flags", 1),
    "10-epsilon-zero": lambda: File.of().header("epsilon", 0),
    "10-epsilon-nan": lambda: File.of().header("epsilon", 0x7FC00000),
    "10-merges-without-tokens": lambda: File.of().header("tokens", 0),
    "10-merges-of-characters": lambda: File.of().header("split", 1),
    "11-memory": lambda: File.of().put(36, struct.pack("<II", 1 << 14, 1 << 16)),
    "12-gap": lambda: File.of().entry("norm2", offset=1 << 12),
    "12-overlap": lambda: File.of().entry("norm2", offset=File.of().find("head")[1].offset),
    "12-unaligned": lambda: File.of().entry("norm2", offset=File.of().find("norm2")[1].offset + 4),
    "12-beyond": lambda: File.of().entry("metadata", size=1 << 20),
    "12-gguf-offset-wrap": lambda: File.of().entry("tokens", size=(1 << 64) - 64),
    "12-gguf-pad-wrap": lambda: File.of().entry("tokens", size=(1 << 64) - 1),
    "12-in-table": lambda: File.of().entry("norm2", offset=192),
    "13-end": lambda: File(File.of().data + bytes(64)).put(
        16, struct.pack("<Q", len(File.of().data) + 64)
    ),
    "14-critical-extra": lambda: with_extra(critical=True),
    "14-unknown-kind": lambda: File.of().entry("metadata", kind=999, flags=1),
    "15-twice": lambda: File.of(rich()).entry("head.bias", kind=4),
    "16-missing": lambda: File.of().entry("norm", kind=999, flags=0),
    "16-missing-scales": lambda: File.of(mode="q8").entry("head", 1, kind=999, flags=0),
    "16-missing-fine-minima": lambda: with_more_bits().entry("head", 5, kind=999, flags=0),
    "16-missing-fine-rows": lambda: with_more_bits().entry("head", 6, kind=999, flags=0),
    "17-scales-of-s16": lambda: File.of(mode="int16").entry("head", dtype=1),
    "17-scales-of-s16-in-panels": lambda: (
        File.of(mode="int16").entry("head", dtype=1).entry("head", 1, layout=1)
    ),
    "17-fine-of-values": lambda: with_more_bits().entry("values", 1, part=3, dtype=4),
    "17-fine-of-l1": lambda: with_more_bits().header("metric", 1),
    "17-fine-of-f32": lambda: File.of().entry("head", part=3),
    "17-part-after-the-last": lambda: with_more_bits().entry("head", 6, part=7),
    "17-block": lambda: File.of().entry("values", block=1),
    "17-no-block": lambda: File.of().entry("values", block=NO_BLOCK),
    "17-block-of-global": lambda: File.of().entry("head", block=0),
    "17-attention-of-flat": lambda: File.of().entry("values", kind=18),
    "17-part": lambda: File.of().entry("values", part=1),
    "17-part-unknown": lambda: File.of().entry("values", part=HUGE & 0xFFFF),
    "17-merges-not-announced": lambda: File.of().header("merges", 0),
    "17-minima-of-q8": lambda: File.of(mode="q8").entry("head", 1, part=2),
    "18-gguf-element-type": lambda: File.of().entry("values", dtype=9),
    "18-dtype-of-mode": lambda: File.of().entry("values", dtype=2),
    "18-mode-of-dtype": lambda: File.of().header("weights", 5),
    "18-fine-of-bytes": lambda: with_more_bits().entry("head", 3, dtype=2),
    "19-fine-in-panels": lambda: with_more_bits().entry("head", 4, layout=1),
    "19-layout": lambda: File.of().entry("values", layout=3),
    "19-panels-of-embedding": lambda: File.of().entry("tokens", layout=1),
    "19-transposed-head": lambda: File.of().entry("head", layout=2),
    "19-parts-differ": lambda: File.of(mode="q8").entry("head", 1, layout=1),
    "20-dims": lambda: File.of().entry("values", dim1=5),
    "20-dims-swapped": lambda: File.of().entry("head", dim0=4, dim1=6),
    "20-rank": lambda: File.of().entry("values", rank=1),
    "20-rank-huge": lambda: File.of().entry("values", rank=255),
    "20-unused-dim": lambda: File.of().entry("values", dim2=1),
    "20-gguf-count-beyond-array": lambda: File.of().entry("merges", dim0=4),
    "20-gguf-product-overflow": lambda: File.of().entry("tokens", dim0=1 << 31, dim1=1 << 31),
    "20-fine-scales": lambda: with_more_bits().entry("head", 4, dim0=1),
    "20-fine-rows-rank": lambda: with_more_bits().entry("head", 6, rank=2, dim1=1),
    "20-tokens-of-header": lambda: File.of().header("tokens", 8),
    "21-bytes": lambda: File.of().entry("tokens", size=95),
    "21-bytes-of-bits": lambda: File.of().entry("frozen", size=2),
    "21-fine-rows-bytes": lambda: with_more_bits().entry("head", 6, size=4),
    "22-values-flip": lambda: File.of().put(File.of().find("values")[1].offset, b"\x5a"),
    "22-extra-flip": lambda: (f := with_extra(critical=False)).put(f.entries[-1].offset, b"!"),
    "22-frozen-flip": lambda: File.of().put(File.of().find("frozen")[1].offset, b"\xff"),
    "23-padding": lambda: File.of().put(File.of().find("frozen")[1].offset + 1, b"\1"),
    "23-last-padding": lambda: (f := File.of()).put(len(f.data) - 1, b"\1"),
    "24-nan": lambda: File.of().content("norm", struct.pack("<f", float("nan")), 4),
    "24-infinity": lambda: File.of().content("head", struct.pack("<f", float("-inf"))),
    "24-large": lambda: File.of().content("tokens", struct.pack("<f", 2.0**41), 92),
    "24-scale-nan": lambda: File.of(mode="int8").entry("head", scale=float("nan")),
    "24-offset-large": lambda: File.of(mode="int16", upgraded=True).entry("head", zero=2.0**41),
    "24-fine-scale-nan": lambda: with_more_bits().content("head", b"\1\x7e", 0, 4),
    "24-row-scale-nan": lambda: File.of(mode="q8").content("head", b"\0\0\xc0\x7f", 20, 1),
    "24-group-scale-infinite": lambda: File.of(mode="q8q4").content("head", b"\0\x7c", 0, 1),
    "24-group-minimum-nan": lambda: File.of(mode="q8q4").content("head", b"\1\x7e", 10, 2),
    "25-temperature-zero": lambda: File.of().content("temperature", bytes(4), 4),
    "25-temperature-denormal": lambda: File.of().content("temperature", b"\0\0\0\x80", 0),
    "26-first-offset": lambda: File.of().content("token_offsets", _offsets(1)),
    "26-empty-token": lambda: File.of().content("token_offsets", _offsets(0, 0)),
    "26-descending": lambda: File.of().content("token_offsets", _offsets(0, 3, 2)),
    "26-gguf-offset-beyond": lambda: File.of().content("token_offsets", _offsets(HUGE), 28),
    "26-short-of-bytes": lambda: File.of().content("token_offsets", _offsets(14), 28),
    "27-id": lambda: File.of().content("merges", _merges((0, 1, 7))),
    "27-gguf-negative-id": lambda: File.of().content("merges", _merges((HUGE, 1, 4))),
    "27-result": lambda: File.of().content("merges", _merges((0, 1, 6))),
    "28-rows-descend": lambda: with_more_bits().content("head", _offsets(1, 0), 0, 6),
    "28-row-twice": lambda: with_more_bits().content("tokens", _offsets(1, 1), 0, 6),
    "28-row-beyond": lambda: with_more_bits().content("head", _offsets(0, 6), 0, 6),
    "28-row-huge": lambda: with_more_bits(panels=True).content("head", _offsets(0, HUGE), 0, 6),
}
"""Version 3 files by name; the number in front is the verdict."""

GGUF = {
    "zero_dim_divides": "09-gguf-zero-dim",  # llama.cpp 24263
    "product_overflows": "20-gguf-product-overflow",  # llama.cpp 18674
    "unbounded_string": "09-gguf-unbounded-string",  # llama.cpp 19003
    "element_type_indexes_a_table": "18-gguf-element-type",  # llama.cpp 26690
    "count_beyond_array": "20-gguf-count-beyond-array",  # llama.cpp 25821
    "padding_wraps": "12-gguf-pad-wrap",  # llama.cpp 26318
    "file_of_37_bytes_aborts": "01-gguf-37-bytes",  # llama.cpp 24884
    "token_text_is_an_index": "27-gguf-negative-id",  # lmstudio-bug-tracker 2289
}
"""Bugs that loaders of GGUF had, as the same mistake in this format."""


def corpus() -> Iterator[tuple[str, int, bytes]]:
    """Name, code and bytes of every file that Python and C judge alike."""
    for name, make in CORPUS.items():
        yield name, int(name[:2]), make().bytes()
