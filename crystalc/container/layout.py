"""Where the elements of a section lie: rows, or panels of 64 rows by 4 bytes.

Quantised elements come as whole numbers: int8, int16, or uint8 0..15 for q4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container.kinds import GROUP, Dtype, Layout

Array = NDArray[Any]
LANES = 64
ALIGNMENT = 64

NUMPY: dict[Dtype, np.dtype[Any]] = {
    Dtype.F32: np.dtype("<f4"),
    Dtype.S16: np.dtype("<i2"),
    Dtype.S8: np.dtype("i1"),
    Dtype.S8R: np.dtype("i1"),
    Dtype.U32: np.dtype("<u4"),
    Dtype.U8: np.dtype("u1"),
    Dtype.F16: np.dtype("<f2"),
    Dtype.S16R: np.dtype("<i2"),
}


def up(number: int, to: int) -> int:
    """``number`` rounded up to a multiple of ``to``."""
    return -(-number // to) * to


def groups(columns: int) -> int:
    """Scales of a q4 row."""
    return -(-columns // GROUP)


def size_of(dtype: Dtype, layout: Layout, dims: tuple[int, ...]) -> int:
    """Bytes of a section, padding inside it included."""
    rows, columns = dims[0], dims[1] if len(dims) == 2 else 1
    if layout == Layout.TRANSPOSED and len(dims) == 2:
        rows, columns = columns, rows
    if dtype == Dtype.BITS:
        return -(-rows // 8)
    lanes = rows if layout == Layout.ROWS else up(rows, LANES)
    if dtype == Dtype.Q4:
        return lanes * groups(columns) * GROUP // 2
    item = NUMPY[dtype].itemsize
    if layout == Layout.ROWS or len(dims) == 1 or dtype == Dtype.F16:
        return lanes * columns * item
    return lanes * up(columns, 4 // item) * item


def pack(values: Array, dtype: Dtype, layout: Layout) -> bytes:
    """Bytes of a section from its elements [R] or [R, C]."""
    if dtype == Dtype.BITS:
        return np.packbits(values, bitorder="little").tobytes()
    if dtype == Dtype.Q4:
        values = _nibbles(values)
    values = values.astype(_item(dtype))
    if layout == Layout.ROWS:
        return values.tobytes()
    return _pack_panels(values.T if _turned(values, layout) else values, dtype)


def unpack(data: bytes | memoryview, dtype: Dtype, layout: Layout, dims: tuple[int, ...]) -> Array:
    """Elements [R] or [R, C] of a section; the inverse of ``pack``. May be a view of ``data``."""
    if dtype == Dtype.BITS:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=dims[0], bitorder="little")
        return bits.astype(np.bool_)
    flat = np.frombuffer(data, _item(dtype))
    shape = (dims[0], groups(dims[1]) * GROUP // 2) if dtype == Dtype.Q4 else dims
    turned = layout == Layout.TRANSPOSED and len(shape) == 2
    if layout == Layout.ROWS:
        values = flat.reshape(shape)
    else:
        values = _unpack_panels(flat, dtype, shape[::-1] if turned else shape)
    values = values.T if turned else values
    return _from_nibbles(values, dims) if dtype == Dtype.Q4 else values


def _item(dtype: Dtype) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype == Dtype.Q4 else NUMPY[dtype]


def _turned(values: Array, layout: Layout) -> bool:
    return layout == Layout.TRANSPOSED and values.ndim == 2


def _per_step(dtype: Dtype, rank: int) -> int:
    """Elements of a row in a step of a panel; scales stand alone."""
    if rank == 1 or dtype == Dtype.F16:
        return 1
    return 4 // _item(dtype).itemsize


def _pack_panels(values: Array, dtype: Dtype) -> bytes:
    """[R, C] -> [R / 64, C / e, 64, e], padded with zeros."""
    e = _per_step(dtype, values.ndim)
    wide = values.reshape(len(values), -1)
    rows, columns = wide.shape
    padded = np.pad(wide, ((0, up(rows, LANES) - rows), (0, up(columns, e) - columns)))
    return padded.reshape(-1, LANES, padded.shape[1] // e, e).transpose(0, 2, 1, 3).tobytes()


def _unpack_panels(flat: Array, dtype: Dtype, shape: tuple[int, ...]) -> Array:
    e = _per_step(dtype, len(shape))
    rows, columns = shape[0], shape[1] if len(shape) == 2 else 1
    steps = up(columns, e) // e
    panels = flat.reshape(up(rows, LANES) // LANES, steps, LANES, e)
    wide = panels.transpose(0, 2, 1, 3).reshape(up(rows, LANES), steps * e)
    return wide[:rows, :columns].reshape(shape)


def _nibbles(values: Array) -> Array:
    """uint8 [R, C] of 0..15 -> [R, G * 16]: byte k of 4 holds columns k (low) and k + 4 of 8."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, 0), (0, groups(columns) * GROUP - columns)))
    eights = padded.reshape(rows, -1, 2, 4)
    joined: Array = eights[:, :, 0] | (eights[:, :, 1] << 4)
    return joined.reshape(rows, -1)


def _from_nibbles(packed: Array, dims: tuple[int, ...]) -> Array:
    quads = packed.reshape(dims[0], -1, 4)
    eights = np.stack([quads & 15, quads >> 4], axis=2)
    return eights.reshape(dims[0], -1)[:, : dims[1]]
