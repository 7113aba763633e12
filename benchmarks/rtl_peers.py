"""A fixed graph through da4ml or alkaid, to Verilog that Yosys takes.

Both trace NumPy-like arrays of fixed-point variables. They get whole numbers in contiguous
arrays: their low-level solver answers for another matrix when it is given a transposed view.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph, Node, Op

Array = NDArray[Any]


@dataclass(frozen=True)
class Traced:
    """``adders``, and ``levels``: how many of them in a row on the longest path."""

    library: str
    adders: int
    levels: int
    logic: Any


def trace(library: str, graph: Graph, test: Array) -> Traced:
    """``graph`` as the library's program. Raises ValueError where that is another function."""
    tracer = _Tracer(library, graph)
    logic = tracer.run()
    found = np.asarray(logic.predict(test.astype(np.float64))).reshape(len(test), -1)
    if not np.array_equal(found, interpret(graph, test)):
        raise ValueError(f"{library} made another function of this network")
    adders, levels = _adders(library, logic.ops)
    return Traced(f"{library} {version(library)}", adders, levels, logic)


ADDERS = frozenset({0, 1, 4, 11})
"""Opcodes of a sum, a difference, a sum with a constant, and alkaid's of more operands."""
INPUT, CONST, CHOICE = -1, 5, 6


def _adders(library: str, ops: Any) -> tuple[int, int]:
    """Adders, and adders in a row: tables, clamps and choices are none."""
    level: list[int] = []
    for op in ops:
        before = max((level[i] for i in _operands(library, op)), default=0)
        level.append(before + (op.opcode in ADDERS))
    return sum(op.opcode in ADDERS for op in ops), max(level)


def _operands(library: str, op: Any) -> list[int]:
    if library == "alkaid":
        return list(op.addr)
    if op.opcode in (INPUT, CONST):
        return []
    chosen = [op.data & 0xFFFFFFFF] if abs(op.opcode) == CHOICE else []
    return [i for i in (op.id0, op.id1, *chosen) if i >= 0]


class _Tracer:
    def __init__(self, library: str, graph: Graph) -> None:
        self.graph = graph
        self.trace = importlib.import_module(f"{library}.trace")
        self.quantize = importlib.import_module(f"{library}.trace.ops").quantize
        self.array = self.trace.FVArray if library == "alkaid" else self.trace.FixedVariableArray
        self.close = self.trace.trace if library == "alkaid" else self.trace.comb_trace
        self.values: dict[int, Any] = {}

    def run(self) -> Any:
        for i, node in self.graph:
            if node.op is not Op.CONST:
                self.values[i] = RULES[node.op](self, node)
        return self.close(self.values[self.graph.find(Op.INPUT)[0]], self.values[i])

    def const(self, i: int) -> Array:
        return np.ascontiguousarray(self.graph[i].data().astype(np.float64))

    def value(self, i: int) -> Any:
        return self.values[i] if i in self.values else self.const(i)

    def input(self, node: Node) -> Any:
        elem, n = _fixed(node), node.type.shape[0]
        ends = np.full(n, float(elem.low)), np.full(n, float(elem.high))
        config = self.trace.HWConfig(1, -1, -1)
        return self.array.from_lhs(*ends, np.ones(n), config, 0.0, None)

    def distance(self, node: Node) -> Any:
        """The same S + c - 2 p.x, with a table for each square."""
        x, p = self.values[node.inputs[0]], self.const(node.inputs[1])
        bits = 2 * _fixed(self.graph[node.inputs[0]]).width
        squares = self.quantize(x.apply(lambda v: v * v), 0, bits, 0)
        return x @ np.ascontiguousarray(-2 * p.T) + (p * p).sum(1) + np.sum(squares)

    def requant(self, node: Node) -> Any:
        shift, factors = int(node.attrs["shift"]), self.const(node.inputs[1])
        scaled = self.values[node.inputs[0]] * factors
        half = 2.0 ** (shift - 1)
        elem = _fixed(node)
        signed, whole = int(elem.signed), elem.width - int(elem.signed)
        return self.quantize((scaled + half) * 2.0**-shift, signed, whole, 0, "SAT", "TRN")

    def lookup(self, node: Node) -> Any:
        index, rows = self.values[node.inputs[0]], self.const(node.inputs[1])
        elem = _fixed(node)
        parts = [
            self.quantize(
                index[n : n + 1].apply(_entries(rows[n % len(rows)])),
                int(elem.signed),
                elem.width - int(elem.signed),
                0,
            )
            for n in range(len(index))
        ]
        return np.concatenate(parts)

    def matmul(self, node: Node) -> Any:
        weight = self.const(node.inputs[1])
        if node.attrs.get("transposed"):
            weight = np.ascontiguousarray(weight.T)
        return self.values[node.inputs[0]] @ weight


def _entries(row: Array) -> Callable[[Any], Any]:
    return lambda v: row[np.clip(np.asarray(v).astype(int), 0, len(row) - 1)]


def _fixed(node: Node) -> FixedType:
    assert isinstance(node.type.elem, FixedType)
    return node.type.elem


RULES: Mapping[Op, Callable[[_Tracer, Node], Any]] = {
    Op.INPUT: _Tracer.input,
    Op.OUTPUT: lambda t, node: t.values[node.inputs[0]],
    Op.DISTANCE: _Tracer.distance,
    Op.ADD: lambda t, node: t.value(node.inputs[0]) + t.value(node.inputs[1]),
    Op.SUB: lambda t, node: t.value(node.inputs[0]) - t.value(node.inputs[1]),
    Op.RELU: lambda t, node: np.maximum(t.values[node.inputs[0]], 0),
    Op.REQUANT: _Tracer.requant,
    Op.LOOKUP: _Tracer.lookup,
    Op.MATMUL: _Tracer.matmul,
}

ROM_STYLE = re.compile(r"\(\*\s*rom_style[^*]*\*\)\s*")


def write(traced: Traced, place: Path) -> list[Path]:
    """Verilog of module ``top``, sources in the order to read; memory files lie beside them.

    The attribute rom_style goes: with it Yosys looks for a memory block and finds none.
    """
    library = traced.library.split()[0]
    model = importlib.import_module(f"{library}.codegen").RTLModel
    names = ("top", str(place)) if library == "da4ml" else (str(place),)
    model(traced.logic, *names, flavor="verilog").write()
    sources = sorted((place / "src").rglob("*.v"))
    for source in sources:
        text = source.read_text()
        if "rom_style" in text:
            source.write_text(ROM_STYLE.sub("", text))
    return sources
