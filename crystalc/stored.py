"""A graph as one JSON file that stands beside an artefact: names of the model left out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from crystalc.diagnostics import refuse
from crystalc.ir import Graph, Loc
from crystalc.text import constants, parse, render

SCHEMA = 1


def to_json(graph: Graph) -> str:
    """``graph`` with its constants; every place is called by its node's number."""
    plain = replace(
        graph, nodes=tuple(replace(node, loc=Loc(f"n{i:04d}", node.loc.index)) for i, node in graph)
    )
    large = {
        key: {"shape": value.shape, "values": value.ravel().tolist()}
        for key, value in sorted(constants(plain).items())
    }
    lines = [json.dumps(line) for line in render(plain).splitlines()]
    text = ",\n  ".join(lines)
    return f'{{"schema": {SCHEMA},\n "graph": [\n  {text}],\n "constants": {json.dumps(large)}}}\n'


def from_json(text: str) -> Graph:
    """The fixed graph that ``to_json`` wrote. Raises CompileError for anything else."""
    try:
        held = json.loads(text)
        large = {
            key: np.array(entry["values"], dtype=np.int64).reshape(entry["shape"])
            for key, entry in held["constants"].items()
        }
        lines = held["graph"]
        schema = held["schema"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise refuse("the stored graph does not read", hint="compile the model again") from None
    if schema != SCHEMA:
        raise refuse(f"the stored graph has schema {schema}, not {SCHEMA}")
    return parse("\n".join(map(str, lines)) + "\n", large)
