"""The SPICE backend: the field as a circuit, simulated in ngspice."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crystalc.backend import Capabilities, Electrical, Files, Study
from crystalc.diagnostics import refuse
from crystalc.ir import Graph, Op
from crystalc.vectors import real_vectors
from crystalc_spice.behavioral import RULES, Behavioral
from crystalc_spice.bill import bill
from crystalc_spice.build import load_build
from crystalc_spice.crossbar import Crossbar
from crystalc_spice.files import Circuit, library, transistors_library, write
from crystalc_spice.macro import Macro
from crystalc_spice.mos import Mos, locate
from crystalc_spice.opamps import DEFAULT, names, opamp
from crystalc_spice.simulate import simulate
from crystalc_spice.study import study

LEVELS = ("behavioral", "crossbar", "macro", "mos")
RESISTORS = {"crossbar": "E96", "macro": "exact"}
"""Levels with resistors, and the series they take when none is asked for."""
DECISIONS = {"E12": 0.9, "E24": 0.95, "E48": 0.97, "E96": 0.99, "E192": 0.99, "exact": 0.995}
"""Share of the oracle's decisions that a crossbar of this series keeps."""
OPTIONS = {
    "behavioral": "reltol=1e-6 abstol=1e-12 vntol=1e-9",
    "crossbar": "reltol=1e-6 abstol=1e-12 vntol=1e-9",
    "macro": "reltol=1e-5 abstol=1e-13 vntol=1e-8 gmin=1e-14 itl1=500 itl2=200",
    "mos": "reltol=1e-4 abstol=1e-16 gmin=1e-16 itl1=500 noopiter",
}
UNTUNED = 256
"""Normal inputs that scales follow from where no samples were given."""
FITTED = 512
"""Vectors that a crossbar's resistors are fitted to."""
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
        description="analog circuit for ngspice: ideal sources, or op-amps and transistors",
    )

    prefix: str = "crystal"
    level: str = field(
        default="behavioral",
        metadata={"help": "behavioral (default), crossbar, macro, mos: docs/spice.md."},
    )
    series: str = field(
        default="",
        metadata={"help": "Resistors: E12..E192, exact; default E96, of level macro exact."},
    )
    opamp: str = field(
        default="", metadata={"help": f"Of level macro: {', '.join(names())}; default {DEFAULT}."}
    )
    engine: str = field(
        default="",
        metadata={"help": "batch (ngspice -b) or shared (libngspice); the first that is there."},
    )
    force: str = field(
        default="",
        metadata={"help": "mos: build that level for a kernel that is not the transistors'."},
    )
    samples: NDArray[Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.prefix):
            text = f"the netlist name '{self.prefix}' is not a lower-case identifier"
            raise refuse(text, hint="choose another with --name")
        _choice("level", self.level, LEVELS)
        if self.engine:
            _choice("engine", self.engine, ENGINES)
        levels_of = {"series": tuple(RESISTORS), "opamp": ("macro",), "force": ("mos",)}
        for option, levels in levels_of.items():
            if getattr(self, option) and self.level not in levels:
                hint = f"add -O level={' or '.join(levels)}"
                raise refuse(f"option '{option}' has no meaning here", hint=hint)
        _choice("series", self.parts, tuple(DECISIONS))
        _choice("opamp", self.amplifier, names())
        if self.force:
            _choice("force", self.force, ("mos",))
        kept = Electrical(*self._promise())
        made = replace(type(self).capabilities, float_agreement=kept)
        object.__setattr__(self, "capabilities", made)

    def _promise(self) -> tuple[float, float, float]:
        """Volts of error, its share of the range, and the share of equal decisions."""
        if self.level == "behavioral":
            return 1e-6, 0.0, 1.0
        if self.level == "mos":
            return 0.0, 1.0, 0.0
        if self.level == "macro" and self.parts == "exact":
            return 0.0, 0.005, 0.99
        return 0.0, 1.0, DECISIONS[self.parts]

    @property
    def parts(self) -> str:
        """The series that resistors are taken from."""
        return self.series or RESISTORS.get(self.level, "exact")

    @property
    def amplifier(self) -> str:
        """The preset of the op-amps."""
        return self.opamp or DEFAULT

    @property
    def check_count(self) -> int:
        """Vectors of a check: transistors take their time."""
        return {"macro": 200, "mos": 20}.get(self.level, 1000)

    def tuned(self, samples: NDArray[Any]) -> SpiceBackend:
        """The same for a model that meets inputs like ``samples`` [n, I]: resistors are fitted to
        them, and the scales of levels macro and mos follow from them.
        """
        made = replace(self)
        object.__setattr__(made, "samples", np.asarray(samples, dtype=np.float64))
        return made

    def emit(self, graph: Graph, header: str) -> Files:
        """NAME.cir and NAME.json."""
        inputs = graph.input.type.shape[0]
        circuit = self._circuit(graph)
        netlist = circuit.run()
        outputs = circuit.outputs
        facts: dict[str, Any] = bill(circuit) if isinstance(circuit, Crossbar) else {}
        parts: list[str] = []
        if isinstance(circuit, Macro):
            parts = library(circuit.opamp)
            facts |= {"opamp": circuit.opamp.name, "unit": circuit.units[outputs[0]]}
            facts["kernels"] = [(*k, circuit.units[k[2]]) for k in circuit.kernels]
        if isinstance(circuit, Mos):
            parts, facts = transistors_library(), {"field": asdict(circuit.place)}
        options = OPTIONS[self.level]
        return write(
            Circuit(self.prefix, self.level, inputs, outputs, options, parts, netlist, facts),
            header,
        )

    def _circuit(self, graph: Graph) -> Behavioral:
        if self.level == "behavioral":
            return Behavioral(graph)
        if self.level == "crossbar":
            known = None if self.samples is None else real_vectors(self.samples, FITTED)
            return Crossbar(graph, series=self.parts, samples=known)
        shape = (UNTUNED, graph.input.type.shape[0])
        normal = np.random.default_rng(1).standard_normal(shape)
        samples = normal if self.samples is None else self.samples
        if self.level == "mos":
            return self._mos(graph, samples)
        return Macro(graph, series=self.parts, samples=samples, opamp=opamp(self.amplifier))

    def _mos(self, graph: Graph, samples: NDArray[Any]) -> Mos:
        if not self.force:
            raise refuse(
                "level mos has the transistors' kernel (bump), the model has another",
                hint="--force mos builds it all the same and prints how far it is off",
            )
        return Mos(graph, place=locate(graph, samples))

    def study(self, build: Path, graph: Graph, inputs: NDArray[Any]) -> Study:
        """What a report says beside errors and decisions. Raises ToolError."""
        samples = inputs if self.samples is None else self.samples
        return study(load_build(build / f"{self.prefix}.cir", LEVELS), graph, samples)

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of ngspice. Raises ToolError."""
        return simulate(build, self.prefix, inputs, self.engine)


def _choice(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        hint = f"one of: {', '.join(known)}"
        raise refuse(f"option '{option}' of target 'spice' is '{given}'", hint=hint)
