"""The fixed header of version 3: fields, limits, checks (steps 1 to 3 of ``docs/format.md``)."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass

import numpy as np

from crystalc.checkpoint import Activation, Kernel, Metric
from crystalc.container.codes import Code, ContainerError, require
from crystalc.container.crc32c import crc32c
from crystalc.container.kinds import MODES, Mode
from crystalc.language import Kind, LanguageConfig, Split

MAGIC = b"CRYS"
VERSION = 3
HEADER_BYTES = 192
ENTRY_BYTES = 64
SECTIONS = 8192
CRC_AT = 128

KINDS: tuple[Kind, ...] = ("flat_lm", "causal_lm")
SPLITS: tuple[Split, ...] = ("gpt2", "chars")
METRICS: tuple[Metric, ...] = ("l2", "l1")
KERNELS: tuple[Kernel, ...] = ("radial", "laplace", "gauss")
ACTIVATIONS: tuple[Activation | None, ...] = (None, "relu", "gelu")
NORMALIZED, PRUNED = 1, 2

TOKENS = 1 << 20
LIMITS = {
    "vocabulary": (1, TOKENS),
    "dim": (1, 1 << 14),
    "context": (1, 1 << 16),
    "blocks": (1, 256),
    "ffn": (0, 1 << 16),
    "merges": (0, 1 << 20),
}
NEURONS = 1 << 20
CACHE_BYTES = 1 << 25
EPSILON = (2.0**-40, 1.0)

FIELDS = struct.Struct("<4sIIIQ14IfIII32s")
assert FIELDS.size == CRC_AT


@dataclass(frozen=True)
class Header:
    """Fields as they stand in the file, in its order, between ``file_bytes`` and ``source``."""

    flags: int
    kind: int
    vocabulary: int
    dim: int
    context: int
    heads: int
    blocks: int
    ffn: int
    tokens: int
    merges: int
    split: int
    metric: int
    kernel: int
    activation: int
    epsilon: float
    weights: int
    norm: int
    rounding: int
    source: bytes

    @property
    def mode(self) -> Mode:
        """Weight mode."""
        return MODES[self.weights]

    @property
    def pruned(self) -> bool:
        """Whether tokens that a text does not use were left out."""
        return bool(self.flags & PRUNED)

    def config(self, neurons: tuple[int, ...]) -> LanguageConfig:
        """The model's config; how many neurons a block has stands in the table only."""
        return LanguageConfig(
            kind=KINDS[self.kind],
            vocabulary=self.vocabulary,
            dim=self.dim,
            context=self.context,
            heads=self.heads,
            neurons=neurons,
            ffn=self.ffn,
            metric=METRICS[self.metric],
            kernel=KERNELS[self.kernel],
            activation=ACTIVATIONS[self.activation],
            normalized=bool(self.flags & NORMALIZED),
            epsilon=float(str(np.float32(self.epsilon))),  # 1e-5 again, not 9.99999974e-6
        )


def header_of(
    c: LanguageConfig, mode: Mode, tokens: tuple[int, int, Split], pruned: bool, source: bytes
) -> Header:
    """Header of a model; ``tokens``: entries of its token table, merges, split."""
    return Header(
        flags=NORMALIZED * c.normalized + PRUNED * pruned,
        kind=KINDS.index(c.kind),
        vocabulary=c.vocabulary,
        dim=c.dim,
        context=c.context,
        heads=c.heads,
        blocks=c.blocks,
        ffn=c.ffn,
        tokens=tokens[0],
        merges=tokens[1],
        split=SPLITS.index(tokens[2]),
        metric=METRICS.index(c.metric),
        kernel=KERNELS.index(c.kernel),
        activation=ACTIVATIONS.index(c.activation),
        epsilon=c.epsilon,
        weights=MODES.index(mode),
        norm=0,
        rounding=0,
        source=source,
    )


def pack(header: Header, sections: int, file_bytes: int) -> bytes:
    """The 192 bytes, checksum still 0."""
    length = HEADER_BYTES + ENTRY_BYTES * sections
    fields = FIELDS.pack(MAGIC, VERSION, length, sections, file_bytes, *astuple(header))
    return fields.ljust(HEADER_BYTES, b"\0")


def checksum(head: bytes) -> int:
    """CRC-32C of header and table, the checksum itself taken as 0."""
    return crc32c(head[:CRC_AT] + bytes(4) + head[CRC_AT + 4 :])


def version_of(data: memoryview) -> int:
    """Version of the container. Raises ContainerError where it is none that can be read."""
    require(len(data) >= 8, Code.SHORT, "the file is too short for a .crystal header")
    require(bytes(data[:4]) == MAGIC, Code.MAGIC, "not a .crystal file")
    version = int.from_bytes(data[4:8], "little")
    if version not in (2, VERSION):
        hint = "upgrade crystalc" if version > VERSION else ""
        raise ContainerError(Code.VERSION, f".crystal version {version}, not 2 or 3", hint=hint)
    return version


def parse(data: memoryview) -> tuple[Header, int]:
    """Header and count of sections of a version 3 file, checked. Raises ContainerError."""
    require(len(data) >= HEADER_BYTES, Code.SHORT, "the file is too short for its header")
    _, _, length, sections, file_bytes, *fields = FIELDS.unpack(data[:CRC_AT])
    fits = 1 <= sections <= SECTIONS and length == HEADER_BYTES + ENTRY_BYTES * sections
    require(fits, Code.TABLE, f"a header of {length} bytes does not hold {sections} sections")
    require(
        file_bytes == len(data) and length <= file_bytes,
        Code.SIZE,
        f"the header says {file_bytes} bytes, the file has {len(data)} (truncated?)",
    )
    stored = int.from_bytes(data[CRC_AT : CRC_AT + 4], "little")
    damaged = "the header is damaged: its checksum differs"
    require(stored == checksum(bytes(data[:length])), Code.HEADER_CRC, damaged)
    header = Header(*fields)
    rest = data[CRC_AT + 4 : HEADER_BYTES]
    require(header.flags <= 3 and not any(rest), Code.RESERVED, "reserved bits are not 0", "header")
    _check_enums(header)
    _check_limits(header)
    _check_contradictions(header)
    return header, sections


def _check_enums(h: Header) -> None:
    values = {
        "kind": KINDS,
        "split": SPLITS,
        "metric": METRICS,
        "kernel": KERNELS,
        "activation": ACTIVATIONS,
        "weights": MODES,
        "norm": (0,),
        "rounding": (0,),
    }
    for name, known in values.items():
        value = getattr(h, name)
        require(value < len(known), Code.ENUM, f"{value} is not known", f"header.{name}")


def _check_limits(h: Header) -> None:
    bounds = {**LIMITS, "heads": (1, h.dim)}
    if h.tokens:
        bounds["tokens"] = (h.vocabulary, TOKENS)
    for name, (low, high) in bounds.items():
        value = getattr(h, name)
        outside = f"{value} is not from {low} to {high}"
        require(low <= value <= high, Code.LIMIT, outside, f"header.{name}")


def _check_contradictions(h: Header) -> None:
    radial, chars = KERNELS[h.kernel] == "radial", SPLITS[h.split] == "chars"
    contradictions = {
        "heads": h.dim % h.heads != 0 or (KINDS[h.kind] == "flat_lm" and h.heads != 1),
        "activation": radial != (ACTIVATIONS[h.activation] is not None),
        "flags": radial and bool(h.flags & NORMALIZED),
        "epsilon": not EPSILON[0] <= h.epsilon <= EPSILON[1],
        "merges": h.merges > 0 and (h.tokens == 0 or chars),
    }
    for name, wrong in contradictions.items():
        value = getattr(h, name)
        text = f"{value} contradicts the rest of the header"
        require(not wrong, Code.CONFIG, text, f"header.{name}")
    cache = 8 * h.blocks * h.context * h.dim
    text = f"keys and values of {cache} bytes, more than {CACHE_BYTES}"
    require(cache <= CACHE_BYTES, Code.MEMORY, text, "header.context")
