"""The ``folded`` architecture: P lanes for all matrix products, one after another.

One store for all vectors, one memory for all weights, and one element a clock through what stands
after the sums. A single wire, ``advance``, holds everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crystalc.ir import Graph
from crystalc.render import render
from crystalc_verilog.element import Segment
from crystalc_verilog.files import Design, count, fixed
from crystalc_verilog.folded_area import folded_features
from crystalc_verilog.lower import Lowered
from crystalc_verilog.passes import final
from crystalc_verilog.program import program
from crystalc_verilog.results import Results
from crystalc_verilog.schedule import Schedule


def folded(graph: Graph, name: str, lanes: int, levels: int) -> Design:
    """A chain of products. Raises CompileError for a graph that is none."""
    made = program(graph, lanes, levels)
    return _Folding(made, name).design()


@dataclass(frozen=True)
class _Top:
    name: str
    input_bits: int
    output_bits: int
    address_bits: int
    data_bits: int
    lines: Sequence[str]


class _Folding(Results):
    """The whole design."""

    def design(self) -> Design:
        """Everything."""
        made = self.made
        self.lines += self.control()
        self.lines += self.front()
        self.lines += self.weights()
        self.lines += self.sums()
        results = [self.chain(q, work) for q, work in enumerate(made.works)]
        self.lines += self.back(results)
        self.lines += self.ends()
        inputs, outputs = self.graph.input.type, self.graph.output.type
        ends = fixed(inputs.elem).width, fixed(outputs.elem).width
        top = _Top(self.name, *ends, self.bus.address_bits, self.bus.data_bits, self.lines)
        wait = self.delay * made.works[-1].made.size
        argmax = int(final(self.graph) != self.graph.output.inputs[0])
        return Design(
            graph=self.graph,
            name=self.name,
            beats=(int(inputs.shape[0]), int(outputs.shape[0])),
            latency=made.end + wait + argmax,
            interval=made.end + wait + 1,
            states=self.states,
            modules=[render("verilog/module.v.j2", top), *self.modules],
            parts=self.parts,
            cells=self.cells(),
            area=folded_features(self, self.circuits()),
        )

    def circuits(self) -> list[tuple[Lowered, Schedule]]:
        return [
            (item.lowered, plan)
            for work in self.made.works
            for item, plan in zip(
                [c for c in work.chain if isinstance(c, Segment)], work.plans, strict=True
            )
        ]

    def cells(self) -> dict[str, int]:
        return {
            **count(self.circuits()),
            "lanes": self.lanes,
            "rom_bits": self.words.bits,
            "state_bits": sum(s.words * s.type.width for s in self.states),
        }
