"""The ``parallel`` architecture: every constant is wired, one vector a clock."""

from __future__ import annotations

from crystalc.ir import Graph
from crystalc_verilog.area import features
from crystalc_verilog.files import Design, address_bits, count, fixed, module, parts, tables
from crystalc_verilog.lower import lower
from crystalc_verilog.schedule import schedule
from crystalc_verilog.wires import Wires


def parallel(graph: Graph, name: str, levels: int) -> Design:
    """The whole graph as one pipelined circuit."""
    lowered = lower(graph)
    plan = schedule(lowered, levels)
    ends = graph.input.type, graph.output.type
    bits = tuple(t.shape[0] * fixed(t.elem).width for t in ends)
    wires = Wires(lowered, plan, name, address_bits(lowered.states), fixed(ends[1].elem).width)
    return Design(
        graph=graph,
        name=name,
        beats=(1, 1),
        latency=plan.latency,
        interval=1,
        states=lowered.states,
        modules=[module(name, wires, (bits[0], bits[1])), *tables(lowered, name)],
        parts=parts(lowered),
        cells=count([(lowered, plan)]),
        area=features(lowered, plan),
    )
