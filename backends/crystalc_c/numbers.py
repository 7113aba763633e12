"""C spelling of number formats and literals."""

from __future__ import annotations

from crystalc.ir import Element, FixedType, FloatType

WIDTHS = (8, 16, 32, 64)
LOWEST = (-(1 << 31), -(1 << 63))
"""Their magnitude is no literal of the same type."""


def storage(elem: Element) -> str:
    """The smallest C type that holds ``elem``."""
    if isinstance(elem, FloatType):
        return "float"
    width = next(w for w in WIDTHS if elem.width <= w)
    return f"{'' if elem.signed else 'u'}int{width}_t"


def size(ctype: str) -> int:
    """Bytes of one element."""
    return 4 if ctype == "float" else int(ctype.strip("uint_")) // 8


def dtype(ctype: str) -> str:
    """NumPy's little-endian name of a C type: ``<f4``, ``<i2``, ``<u1``..."""
    kind = "f" if ctype == "float" else "u" if ctype.startswith("u") else "i"
    return f"<{kind}{size(ctype)}"


def register(*elems: Element) -> str:
    """int32_t where it holds every value of every type, else int64_t."""
    return "int32_t" if all(largest(e) < 1 << 31 for e in elems) else "int64_t"


def largest(elem: Element) -> int:
    """The largest magnitude of a fixed type."""
    assert isinstance(elem, FixedType)
    return max(elem.high, -elem.low)


def literal(value: int) -> str:
    """An integer constant expression that is wide enough, in brackets when negative."""
    if value in LOWEST:
        return f"(-{literal(-value - 1)} - 1)"
    if value < 0:
        return f"(-{literal(-value)})"
    return str(value) if value < 1 << 31 else f"INT64_C({value})"
