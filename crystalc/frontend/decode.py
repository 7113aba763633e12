"""Bytes to values: safetensors files, and the JSON beside the tensors."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, deserialize

from crystalc.diagnostics import refuse
from crystalc.frontend import limits
from crystalc.frontend.tree import Array, Opaque, Tree, Value

DTYPES: dict[str, type[np.generic]] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
NOT_SAFETENSORS = "damaged safetensors file"


def check_header(prefix: bytes, file_bytes: int) -> int:
    """Length of the header, from the first 8 bytes of the file. Raises CompileError."""
    length = int.from_bytes(prefix[:8], "little")
    if len(prefix) < 8 or length + 8 > file_bytes:
        raise refuse(f"{NOT_SAFETENSORS}: its header ends beyond the file (truncated?)")
    if length > limits.HEADER_BYTES:
        raise refuse(f"safetensors header of {length} bytes, more than {limits.HEADER_BYTES}")
    return length


def read_header(header: bytes, data_bytes: int) -> dict[str, str]:
    """The metadata in the header, after the counts and sizes have been checked."""
    entries = parse_json(header, "the safetensors header")
    metadata = entries.pop("__metadata__", {}) if isinstance(entries, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise refuse(f"{NOT_SAFETENSORS}: its header is not a table of tensors")
    if len(entries) > limits.ENTRIES:
        raise refuse(f"safetensors file of {len(entries)} tensors, more than {limits.ENTRIES}")
    needed = max((_end_of(entry) for entry in entries.values()), default=0)
    if needed > data_bytes:
        raise refuse(
            f"{NOT_SAFETENSORS}: its tensors need {needed} bytes, {data_bytes} are there"
            " (truncated?)"
        )
    return metadata


def _end_of(entry: Any) -> int:
    """Where a tensor ends by its header entry, 0 where that cannot be told."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    end = offsets[-1] if isinstance(offsets, list) and offsets else 0
    return end if isinstance(end, int) else 0


def read_tensors(data: bytes) -> Tree:
    """Every tensor of a safetensors file, in the order of its names."""
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        raise refuse(f"{NOT_SAFETENSORS}: its header does not describe its data") from None
    return {name: _array(entry) for name, entry in sorted(tensors)}


def _array(entry: dict[str, Any]) -> Array | Opaque:
    """Own, writeable memory; a byte of a BOOL is true unless it is 0."""
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        return Opaque(f"{entry['dtype']} tensor")
    raw = np.frombuffer(entry["data"], np.uint8 if dtype is np.bool_ else dtype)
    return raw.astype(dtype).reshape(entry["shape"])


def parse_json(text: bytes | str, what: str) -> Any:
    """Strict JSON: UTF-8, no repeated key, no NaN. Raises CompileError that names ``what``."""
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise refuse(f"{what} is not valid JSON") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("repeated key")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def decode_reply(reply: bytes) -> Tree:
    """The dict that the child loaded: see `crystalc.frontend.child.Encoder`."""
    try:
        length = int.from_bytes(reply[:8], "little")
        header = json.loads(reply[8 : 8 + length])
        value = _value(json.loads(header["__metadata__"]["tree"]), read_tensors(reply))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise refuse("this .pt file made its reader answer nonsense") from None
    if isinstance(value, dict):
        return value
    raise refuse(
        "this .pt file holds no dict of tensors",
        hint="torch.save(model.state_dict(), path) writes one",
    )


def _value(node: Any, tensors: Tree) -> Value:
    if not isinstance(node, dict):
        return node  # type: ignore[no-any-return]  # a JSON scalar
    if "d" in node:
        return {key: _value(entry, tensors) for key, entry in node["d"]}
    if "l" in node:
        return [_value(entry, tensors) for entry in node["l"]]
    return tensors[node["t"]] if "t" in node else Opaque(node["o"])
