"""CUDA C++ spelling of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystalc.ir import Element, FixedType, FloatType, Node
from crystalc_c.numbers import literal, register, storage

__all__ = ["bare", "literal", "number", "real", "register", "sample", "storage", "working"]


def real(value: float) -> str:
    """A float constant to its last bit: ``0x1.8p-1f``."""
    return f"{float(np.float32(value)).hex()}f".replace("0x0.0p+0f", "0.0f")


def number(value: Any, ctype: str) -> str:
    """A constant of a C type."""
    return real(value) if ctype == "float" else literal(int(value))


def working(elem: Element) -> str:
    """The type of a value in a register: float, int32_t or int64_t."""
    return "float" if isinstance(elem, FloatType) else register(elem)


def sample(node: Node, value: str) -> str:
    """A number of a sample of INPUT ``node``, whatever type the caller's samples have."""
    fixed = isinstance(node.type.elem, FixedType)
    return f"({working(node.type.elem)})input({value})" if fixed else f"input({value}, scale)"


def bare(text: str) -> str:
    """A literal without the brackets around its sign, for an initializer."""
    return text[1:-1] if text.startswith("(") else text
