"""The C backend: one freestanding C99 file and a header."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.backend import Capabilities, Exact, Files, Within
from crystalc.diagnostics import refuse
from crystalc.ir import Graph
from crystalc_c import floats, integers
from crystalc_c.build import COMPILERS, execute
from crystalc_c.files import write
from crystalc_c.language import execute_language
from crystalc_c.names import check_name
from crystalc_c.plan import Plan
from crystalc_c.runtime import language_files

CHOICES = {
    "layout": ("simd", "compact"),
    "constants": ("auto", "hex", "incbin", "string"),
}


@dataclass(frozen=True)
class CBackend:
    """Options: ``prefix`` begins the name of every symbol and file; ``layout`` is ``simd`` (rows
    interleaved and padded for vector lanes) or ``compact`` (unpadded, for microcontrollers);
    ``constants`` is ``auto``, ``hex`` (text), ``incbin`` (weights.bin) or ``string`` (one file,
    literals); ``compiler`` defaults to $CC, cc, gcc or clang; ``cflags`` replaces
    ``-std=c99 -O3 -march=native``. Raises CompileError for a value it does not know.
    """

    name: ClassVar[str] = "c"
    capabilities: ClassVar[Capabilities] = Capabilities(
        float_ops=floats.OPS,
        fixed_ops=integers.OPS,
        max_width=62,
        float_agreement=Within(24),
        fixed_agreement=Exact(),
        tools=(COMPILERS,),
        description="freestanding C99, AVX-512 / AVX2 / scalar, Cortex-M DSP",
    )

    prefix: str = "crystal"
    layout: str = field(
        default="simd", metadata={"help": "simd (default) or compact, for microcontrollers."}
    )
    constants: str = field(
        default="auto", metadata={"help": "auto (default), hex, incbin or string."}
    )
    compiler: str = field(default="", metadata={"help": "Default $CC, cc, gcc or clang."})
    cflags: str = field(
        default="", metadata={"help": "Instead of -std=c99 -O3 -march=native, with the check."}
    )

    def __post_init__(self) -> None:
        check_name(self.prefix)
        for option, choices in CHOICES.items():
            value = getattr(self, option)
            if value not in choices:
                hint = f"one of: {', '.join(choices)}"
                raise refuse(f"option '{option}' of target 'c' is '{value}'", hint=hint)

    def emit(self, graph: Graph, header: str) -> Files:
        """NAME.h, NAME.c, NAME_main.c, example.c and, for large models, weights.bin."""
        plan = Plan(graph, simd=self.layout == "simd")
        (integers if graph.is_fixed else floats).lower(plan)
        return write(plan, self.prefix, header, self.constants)

    def emit_language(self, container: bytes, header: str) -> Files:
        """A language model, as the bytes of a ``.crystal`` file, inside the C runtime."""
        constants = "string" if self.constants == "string" else "incbin"
        return language_files(container, self.prefix, header, constants)

    def execute_language(self, build: Path, ids: NDArray[Any]) -> NDArray[Any]:
        """Logits [B, T, V] for token ids [B, T]. Raises ToolError."""
        return execute_language(build, self.prefix, self.compiler, self.cflags, ids)

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of the compiled harness. Raises ToolError."""
        return execute(build, self.prefix, self.compiler, self.cflags, inputs)
