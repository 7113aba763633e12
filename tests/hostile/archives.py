"""``.pt`` archives put together by hand, so that any pickle can sit where torch expects one."""

from __future__ import annotations

import io
import struct
import zipfile

ROOT = "archive"


def archive(pickle: bytes, extra: dict[str, bytes] | None = None, method: int = 0) -> bytes:
    """A zip file as ``torch.save`` lays it out, with ``pickle`` as its structure."""
    records = {"data.pkl": pickle, "byteorder": b"little", "data/0": bytes(64), "version": b"3\n"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in {**records, **(extra or {})}.items():
            info = zipfile.ZipInfo(f"{ROOT}/{name}", (1980, 1, 1, 0, 0, 0))
            file.writestr(info, data, method)
    return buffer.getvalue()


def glob(module: str, name: str) -> bytes:
    """GLOBAL: push ``module.name``."""
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    """BINUNICODE: push a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    """Push a small int, or a LONG1 for a large one."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tuple_of(*parts: bytes) -> bytes:
    """MARK parts TUPLE."""
    return b"(" + b"".join(parts) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE: call ``function`` with ``arguments``."""
    return function + tuple_of(*arguments) + b"R"


def document(value: bytes) -> bytes:
    """A whole pickle whose result is {"positions": value}."""
    return b"\x80\x02}" + text("positions") + value + b"s."


def tensor(sizes: tuple[int, ...], strides: tuple[int, ...], count: int, offset: int = 0) -> bytes:
    """A float tensor over the archive's storage "0" that claims ``count`` elements."""
    storage = tuple_of(
        text("storage"), glob("torch", "FloatStorage"), text("0"), text("cpu"), number(count)
    )
    ordered = call(glob("collections", "OrderedDict"))
    return call(
        glob("torch._utils", "_rebuild_tensor_v2"),
        storage + b"Q",
        number(offset),
        tuple_of(*map(number, sizes)),
        tuple_of(*map(number, strides)),
        b"\x89",
        ordered,
    )
