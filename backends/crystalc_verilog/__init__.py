"""The Verilog backend: a pipelined circuit of exact integer cells, in Verilog-2005."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.backend import Capabilities, Exact, Files
from crystalc.diagnostics import refuse
from crystalc.ir import Graph
from crystalc_verilog.files import write
from crystalc_verilog.folded import folded
from crystalc_verilog.lower import RULES
from crystalc_verilog.names import check_name
from crystalc_verilog.parallel import parallel
from crystalc_verilog.passes import passes
from crystalc_verilog.program import useful_lanes
from crystalc_verilog.simulate import simulate

ARCHITECTURES = ("parallel", "folded")
LANES = "8"


@dataclass(frozen=True)
class VerilogBackend:
    """Options: ``prefix`` is the name of the top module and begins every file's name; ``arch`` is
    ``parallel`` (constants are wired, one vector a clock) or ``folded`` (``lanes`` multipliers for
    each matrix product, weights in ROMs, one number a clock); ``levels_per_stage`` is how many
    adders in a row stand between two registers.
    Raises CompileError for a value it does not know.
    """

    name: ClassVar[str] = "verilog"
    capabilities: ClassVar[Capabilities] = Capabilities(
        float_ops=frozenset(),
        fixed_ops=frozenset(RULES),
        max_width=62,
        float_agreement=Exact(),
        fixed_agreement=Exact(),
        tools=(("iverilog",), ("vvp",)),
        description="Verilog-2005, pipelined, valid/ready streaming",
        multipliers=False,
    )

    prefix: str = "crystal"
    arch: str = field(
        default="parallel", metadata={"help": "parallel (default) or folded: see docs/verilog.md."}
    )
    lanes: str = field(
        default="", metadata={"help": f"Multipliers of each product (folded); default {LANES}."}
    )
    levels_per_stage: str = field(
        default="5", metadata={"help": "Adders in a row between two registers; default 5."}
    )

    def __post_init__(self) -> None:
        check_name(self.prefix)
        _number("levels_per_stage", self.levels_per_stage)
        if self.arch not in ARCHITECTURES:
            hint = f"one of: {', '.join(ARCHITECTURES)}"
            raise refuse(f"option 'arch' of target 'verilog' is '{self.arch}'", hint=hint)
        if self.lanes and self.arch != "folded":
            raise refuse("option 'lanes' has no meaning here", hint="add -O arch=folded")
        _number("lanes", self.lanes or LANES)

    @property
    def check_count(self) -> int:
        """Vectors of a check by default: a folded one takes about a second each in Icarus."""
        return 50 if self.arch == "folded" else 1000

    def emit(self, graph: Graph, header: str) -> Files:
        """NAME.v, crystal_cells.v, NAME_tb.v, NAME.core and NAME.json."""
        levels = _number("levels_per_stage", self.levels_per_stage)
        if self.arch == "parallel":
            return write(parallel(graph, self.prefix, levels), header)
        lanes = _number("lanes", self.lanes or LANES)
        return write(folded(graph, self.prefix, lanes, levels), header)

    def notes(self, graph: Graph) -> tuple[str, ...]:
        """That there are fewer lanes than asked for."""
        if not self.lanes or int(self.lanes) <= (most := useful_lanes(passes(graph))):
            return ()
        return (f"{most} lanes of the {self.lanes}: no product of the model has work for more",)

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of the testbench in Icarus. Raises ToolError."""
        return simulate(build, self.prefix, inputs)


def _number(option: str, text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise refuse(f"option '{option}' of target 'verilog' is '{text}', not a whole number > 0")
    return int(text)
