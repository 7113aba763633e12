"""The SPICE backend: the field as a circuit, simulated in ngspice."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.backend import Capabilities, Electrical, Files
from crystalc.diagnostics import refuse
from crystalc.ir import Graph, Op
from crystalc_spice.behavioral import RULES, Behavioral
from crystalc_spice.bill import bill
from crystalc_spice.crossbar import Crossbar
from crystalc_spice.files import Circuit, write
from crystalc_spice.simulate import simulate

LEVELS = ("behavioral", "crossbar")
DECISIONS = {"E12": 0.9, "E24": 0.95, "E48": 0.97, "E96": 0.99, "E192": 0.99, "exact": 0.995}
"""Share of the oracle's decisions that a crossbar of this series keeps."""
OPTIONS = "reltol=1e-6 abstol=1e-12 vntol=1e-9"
ENGINES = ("shared", "batch")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True)
class SpiceBackend:
    """Options: ``prefix`` begins every file's name; ``level`` says what the circuit is made of;
    ``engine`` is ``shared`` (libngspice) or ``batch`` (the program), by default what is there.
    Raises CompileError for a value it does not know.
    """

    name: ClassVar[str] = "spice"
    capabilities: ClassVar[Capabilities] = Capabilities(
        float_ops=frozenset(RULES) | {Op.CONST},
        fixed_ops=frozenset(),
        max_width=62,
        float_agreement=Electrical(absolute=1e-6, share=0.0, decisions=1.0),
        fixed_agreement=Electrical(absolute=0.0, share=0.0, decisions=1.0),
        tools=(("ngspice",),),
        description="analog circuit for ngspice: ideal sources, or resistors and op-amps",
    )

    prefix: str = "crystal"
    level: str = field(
        default="behavioral", metadata={"help": "behavioral (default) or crossbar: docs/spice.md."}
    )
    series: str = field(
        default="", metadata={"help": "Resistors of a crossbar: E12..E192, exact; default E96."}
    )
    engine: str = field(
        default="", metadata={"help": "shared (libngspice) or batch (ngspice -b); what is there."}
    )

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.prefix):
            text = f"the netlist name '{self.prefix}' is not a lower-case identifier"
            raise refuse(text, hint="choose another with --name")
        _choice("level", self.level, LEVELS)
        if self.engine:
            _choice("engine", self.engine, ENGINES)
        if self.series and self.level == "behavioral":
            raise refuse("option 'series' has no meaning here", hint="add -O level=crossbar")
        _choice("series", self.parts, tuple(DECISIONS))
        if self.level == "crossbar":
            kept = Electrical(absolute=0.0, share=1.0, decisions=DECISIONS[self.parts])
            made = replace(type(self).capabilities, float_agreement=kept)
            object.__setattr__(self, "capabilities", made)

    @property
    def parts(self) -> str:
        """The series that resistors are taken from."""
        return self.series or "E96"

    def emit(self, graph: Graph, header: str) -> Files:
        """NAME.cir and NAME.json, with no samples to fit a crossbar's resistors to."""
        return self.emit_for(graph, header, None)

    def emit_for(self, graph: Graph, header: str, samples: NDArray[Any] | None) -> Files:
        """NAME.cir and NAME.json; a crossbar's resistors are fitted to ``samples`` [n, I]."""
        inputs = graph.input.type.shape[0]
        circuit = Behavioral(graph)
        if self.level == "crossbar":
            circuit = Crossbar(graph, series=self.parts, samples=samples)
        netlist = circuit.run()
        outputs = circuit.outputs
        facts = bill(circuit) if isinstance(circuit, Crossbar) else {}
        return write(
            Circuit(self.prefix, self.level, inputs, outputs, OPTIONS, netlist, facts), header
        )

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of ngspice. Raises ToolError."""
        return simulate(build, self.prefix, inputs, self.engine)


def _choice(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        hint = f"one of: {', '.join(known)}"
        raise refuse(f"option '{option}' of target 'spice' is '{given}'", hint=hint)
