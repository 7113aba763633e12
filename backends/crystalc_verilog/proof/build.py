"""What a proof reads from a build: both ends of it and how they are called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.diagnostics import refuse
from crystalc.interpret import values
from crystalc.ir import FixedType, Graph, Node, Op
from crystalc.stored import from_json

ELEMENTWISE = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.SHIFT, Op.RELU, Op.REQUANT, Op.LOOKUP, Op.DIV})
HINT = "give the folder of crystalc MODEL --target verilog"


@dataclass(frozen=True)
class Build:
    """A folder with a design, its graph and its facts. ``neurons``: checkpoint rows by kind."""

    folder: Path
    top: str
    graph: Graph
    facts: Mapping[str, Any]
    neurons: Mapping[str, list[int]]

    @property
    def changed(self) -> list[str]:
        """Files that are not as the compiler wrote them."""
        return [
            name
            for name, hashed in self.facts["sha256"].items()
            if sha256((self.folder / name).read_bytes()).hexdigest() != hashed
        ]

    def neuron_nodes(self) -> dict[int, list[int]]:
        """Nodes with one element for each neuron of a field; the neurons' checkpoint rows."""
        found: dict[int, list[int]] = {}
        for i, node in self.graph:
            if node.op in (Op.DISTANCE, Op.MATMUL):
                positions = self.graph[node.inputs[1]]
                if positions.attrs.get("role") == "positions":
                    found[i] = self._rows(positions, node.type.shape[0])
            elif node.op in ELEMENTWISE:
                before = [j for j in node.inputs if j in found]
                if before and len(found[before[0]]) == node.type.shape[0]:
                    found[i] = found[before[0]]
        return found

    def _rows(self, positions: Node, count: int) -> list[int]:
        rows = self.neurons.get("active" if positions.is_state else "frozen", [])
        return rows if len(rows) == count else list(range(count))


def load(folder: Path) -> Build:
    """Read a build. Raises CompileError where there is none."""
    found = sorted(folder.glob("*.graph.json"))
    if len(found) != 1:
        what = "no Verilog build" if not found else "more than one Verilog build"
        raise refuse(f"{folder} holds {what}", hint=HINT)
    top = found[0].name.removesuffix(".graph.json")
    facts = _json(folder / f"{top}.json")
    names = folder / "names.json"
    neurons = _json(names)["neurons"] if names.exists() else {}
    for file in (f"{top}.v", "crystal_cells.v"):
        if not (folder / file).exists():
            raise refuse(f"{folder / file} is missing", hint="compile the model again")
    graph = from_json(found[0].read_text(encoding="utf-8"))
    return Build(folder, top, graph, facts, neurons)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise refuse(f"{path} does not read", hint="compile the model again") from None


def tables(text: str, top: str) -> dict[str, list[int]]:
    """Entries of the table modules as the emitted text gives them: claims, proved later."""
    found = {}
    for m in re.finditer(
        rf"module ({top}_t\d+) \(input wire \[(\d+):0\] index.*?endmodule", text, re.DOTALL
    ):
        if bits := re.findall(r"localparam \[\d+:0\] B(\d+) = \d+'h([0-9a-f]+);", m[0]):
            rows = [(int(k), int(ones, 16)) for k, ones in bits]
            count = 2 << int(m[2])
            found[m[1]] = [sum((ones >> u & 1) << k for k, ones in rows) for u in range(count)]
            continue
        default = re.search(r"default: y = \d+'h([0-9a-f]+);", m[0])
        entries = [int(default[1], 16) if default else 0] * (2 << int(m[2]))
        for k, value in re.findall(r"\d+'d(\d+): y = \d+'h([0-9a-f]+);", m[0]):
            if int(k) < len(entries):
                entries[int(k)] = int(value, 16)
        found[m[1]] = entries
    return found


def samples(graph: Graph, count: int = 192) -> NDArray[np.int64]:
    """Inputs [n, I]: the ends, uniform ones, sparse ones, and ones near the neurons' positions."""
    rng = np.random.default_rng(0)
    elem = graph.input.type.elem
    assert isinstance(elem, FixedType)
    size = graph.input.type.shape[0]
    x = rng.integers(elem.low, elem.high + 1, (count, size))
    x[0], x[1] = elem.low, elem.high
    x[2:32] = np.where(rng.random((30, size)) < 0.3, x[2:32], 0)
    near = [_near(node, elem, rng) for _, node in graph if node.attrs.get("role") == "positions"]
    near = [n for n in near if n.shape[1] == size]
    return np.concatenate([x, *near]).astype(np.int64)


def _near(positions: Node, elem: FixedType, rng: np.random.Generator) -> NDArray[np.int64]:
    held = positions.type.elem
    assert isinstance(held, FixedType)
    scaled = positions.data() * 2.0 ** (elem.frac - held.frac)
    rows = np.repeat(scaled, max(1, 128 // len(scaled)), 0)
    noise = rng.normal(0, 0.05 * (elem.high - elem.low) + 0.5, rows.shape)
    return np.clip(np.rint(rows + noise), elem.low, elem.high).astype(np.int64)


def oracle(graph: Graph, x: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Every node's values on the samples."""
    return values(graph, x)
