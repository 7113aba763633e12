"""A whole backend: float graphs as one Python file that needs nothing but the interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalc.backend import Capabilities, Exact, Files, Within
from crystalc.diagnostics import ToolError, refuse
from crystalc.ir import Graph, Node, Op


def _elementwise(symbol: str) -> Callable[[Node, list[str]], str]:
    def text(node: Node, args: list[str]) -> str:
        a, b = (f"wide({arg}, {node.type.shape[0]})" for arg in args)
        return f"[p {symbol} q for p, q in zip({a}, {b})]"

    return text


def _matmul(node: Node, args: list[str]) -> str:
    x, w = args
    rows = w if node.attrs.get("transposed") else f"zip(*{w})"
    return f"[sum(p * q for p, q in zip({x}, row)) for row in {rows}]"


RULES: Mapping[Op, Callable[[Node, list[str]], str]] = {
    Op.MATMUL: _matmul,
    Op.ADD: _elementwise("+"),
    Op.SUB: _elementwise("-"),
    Op.MUL: _elementwise("*"),
    Op.SUMSQ: lambda node, args: f"[sum(p * p for p in {args[0]})]",
    Op.RELU: lambda node, args: f"[max(p, 0.0) for p in {args[0]}]",
}

FRAME = '''"""
{header}
"""
import json
import sys


def wide(v, n):
    return v * n if len(v) == 1 else v


def run(x):
{body}


json.dump([run(x) for x in json.load(sys.stdin)], sys.stdout)
'''


@dataclass(frozen=True)
class Plain:
    """Option ``factor``: what every output is multiplied with, to see the check fail."""

    name: ClassVar[str] = "plain"
    capabilities: ClassVar[Capabilities] = Capabilities(
        float_ops=frozenset({Op.INPUT, Op.CONST, Op.OUTPUT, *RULES}),
        fixed_ops=frozenset(),
        max_width=0,
        float_agreement=Within(24),
        fixed_agreement=Exact(),
        tools=(("python3", "python"),),
        description="one Python file",
    )

    factor: str = "1"

    def __post_init__(self) -> None:
        try:
            float(self.factor)
        except ValueError:
            raise refuse(f"option 'factor' of target 'plain' is '{self.factor}'") from None

    def emit(self, graph: Graph, header: str) -> Files:
        """model.py"""
        lines = [f"    {self._line(i, node)}" for i, node in graph]
        text = FRAME.format(header=header, body="\n".join(lines))
        return {PurePosixPath("model.py"): text}

    def _line(self, i: int, node: Node) -> str:
        args = [f"n{j:04d}" for j in node.inputs]
        if node.op is Op.INPUT:
            return f"n{i:04d} = x"
        if node.op is Op.CONST:
            return f"n{i:04d} = {json.dumps(node.data().tolist())}"
        if node.op is Op.OUTPUT:
            return f"return [p * {float(self.factor)} for p in {args[0]}]"
        return f"n{i:04d} = {RULES[node.op](node, args)}"

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of model.py in a Python process of its own."""
        done = subprocess.run(
            [sys.executable, "-I", "model.py"],
            cwd=build,
            input=json.dumps(inputs.tolist()),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise ToolError(f"model.py failed: {done.stderr.strip()}")
        return np.array(json.loads(done.stdout))
