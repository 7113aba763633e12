"""The circuit's own equations in NumPy: the netlist's stages for many vectors and any parts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
OPEN_LOOP = 1e6
"""Voltage gain of an amplifier."""

NOMINAL = 27.0
"""Degrees Celsius that a kernel is trimmed for."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
}
OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


@dataclass(frozen=True)
class Parts:
    """What was drawn for one trial. ``ohms`` by name of a resistor, ``offsets`` in volts by name
    of a source; ``degrees`` Celsius.
    """

    ohms: Mapping[str, float]
    offsets: Mapping[str, float]
    degrees: float = NOMINAL


def solve(
    stages: Sequence[Mapping[str, Any]], inputs: Array, outputs: Sequence[str], parts: Parts
) -> Array:
    """Voltages [batch, O] of ``outputs`` for inputs [batch, I]."""
    volts: dict[str, Array] = {f"x{d}": column for d, column in enumerate(inputs.T)}
    volts["one"] = np.ones(len(inputs))
    with np.errstate(over="ignore", under="ignore"):
        for stage in stages:
            solved = _amplifier if "resistors" in stage else _source
            volts[stage["out"]] = solved(stage, volts, parts)
    return np.stack([volts[net] for net in outputs], axis=1)


def nominal(stage: Mapping[str, Any], volts: Mapping[str, Array]) -> Array:
    """Voltage [batch] of one stage with the parts that it names."""
    parts = Parts({name: ohms for name, _, ohms in stage.get("resistors", ())}, {})
    with np.errstate(over="ignore", under="ignore"):
        return (_amplifier if "resistors" in stage else _source)(stage, volts, parts)


def _amplifier(stage: Mapping[str, Any], volts: Mapping[str, Array], parts: Parts) -> Array:
    """Kirchhoff at the virtual ground, with a finite open-loop gain."""
    feedback, *rails = stage["resistors"]
    siemens = np.array([1.0 / parts.ohms[name] for name, *_ in rails])
    back = 1.0 / parts.ohms[feedback[0]]
    current = siemens @ np.stack([volts[rail] for _, rail, _ in rails])
    total = siemens.sum() + back
    offset = parts.offsets.get(stage["offset"], 0.0)
    return np.asarray((offset * total - current) * OPEN_LOOP / (total + OPEN_LOOP * back))


def _source(stage: Mapping[str, Any], volts: Mapping[str, Array], parts: Parts) -> Array:
    terms = (_evaluate(_parsed(text), volts, parts) for text in stage["expressions"])
    return np.asarray(sum(terms))


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _evaluate(node: ast.expr, volts: Mapping[str, Array], parts: Parts) -> Any:
    """Numbers, the four operations, voltages and FUNCTIONS; nothing else is an expression."""
    match node:
        case ast.Constant(value=float() | int() as value):
            return value
        case ast.Name(id="temper"):
            return parts.degrees
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            sides = (_evaluate(side, volts, parts) for side in (left, right))
            return OPERATORS[type(op)](*sides)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, volts, parts)
        case ast.Call(func=ast.Name(id="v"), args=[ast.Name(id=net)]):
            return volts[net]
        case ast.Call(func=ast.Name(id=name), args=args) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_evaluate(a, volts, parts) for a in args))
    raise ValueError(f"no expression of a circuit: {ast.unparse(node)}")
