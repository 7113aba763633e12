"""The circuit's own equations in NumPy: the netlist's stages for many vectors and any parts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from crystalc_spice.cell_equations import CELLS, NOMINAL, Array, Parts, Stage, Volts

__all__ = ["NOMINAL", "Parts", "nominal", "solve"]

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


def solve(stages: Sequence[Stage], inputs: Array, outputs: Sequence[str], parts: Parts) -> Array:
    """Voltages [batch, O] of ``outputs`` for inputs [batch, I]."""
    volts: dict[str, Array] = {f"x{d}": column for d, column in enumerate(inputs.T)}
    volts["one"] = np.ones(len(inputs))
    volts["0"] = np.zeros(len(inputs))
    with np.errstate(over="ignore", under="ignore"):
        for stage in stages:
            volts[stage["out"]] = SOLVED[stage["kind"]](stage, volts, parts)
    return np.stack([volts[net] for net in outputs], axis=1)


def nominal(stage: Stage, volts: Volts) -> Array:
    """Voltage [batch] of one stage with the parts that it names."""
    parts = Parts({name: ohms for name, _, ohms in stage.get("resistors", ())}, {})
    with np.errstate(over="ignore", under="ignore"):
        return SOLVED[stage["kind"]](stage, volts, parts)


def _source(stage: Stage, volts: Volts, parts: Parts) -> Array:
    terms = (_evaluate(_parsed(text), volts, parts) for text in stage["expressions"])
    return np.asarray(sum(terms))


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _evaluate(node: ast.expr, volts: Volts, parts: Parts) -> Any:
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


SOLVED: Mapping[str, Callable[[Stage, Volts, Parts], Array]] = {**CELLS, "source": _source}
