"""The CUDA backend: one .cu file and a header, tested on the CPU by a device made of fibers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.backend import Capabilities, Exact, Examined, Files, Within
from crystalc.container.limits import Limits
from crystalc.diagnostics import refuse
from crystalc.ir import Graph
from crystalc_c import floats, integers
from crystalc_c.names import check_name
from crystalc_cuda.build import COMPILERS, examine, execute
from crystalc_cuda.files import write
from crystalc_cuda.language import cuda_language_files
from crystalc_cuda.language_build import built, logits
from crystalc_cuda.language_check import examine_language
from crystalc_cuda.nvcc import chosen

KERNELS = ("auto", "lanes", "tiles")


@dataclass(frozen=True)
class CudaBackend(Limits):
    """Options: ``prefix`` begins the name of every symbol and file; ``kernel`` is ``lanes`` (a
    thread per sample, weights as immediates), ``tiles`` (a warp per 16 samples, tensor cores) or
    ``auto``, by size; ``archs`` are the architectures that nvcc compiles for; those of Limits are
    for language models. Raises CompileError for a value it does not know.
    """

    name: ClassVar[str] = "cuda"
    capabilities: ClassVar[Capabilities] = Capabilities(
        float_ops=floats.OPS,
        fixed_ops=integers.OPS,
        max_width=62,
        float_agreement=Within(22),
        fixed_agreement=Exact(),
        tools=(COMPILERS,),
        description="CUDA C++ for sm_75 and later; checked on the CPU",
        weights=("q8",),
    )

    prefix: str = "crystal"
    kernel: str = field(
        default="auto",
        metadata={"help": "lanes (a thread per sample), tiles (tensor cores), auto (default)."},
    )

    archs: str = field(
        default="sm_90",
        metadata={"help": "What to compile for: sm_90 (default), sm_80,sm_90 or sm_75..sm_120."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.prefix)
        if self.kernel not in KERNELS:
            hint = f"one of: {', '.join(KERNELS)}"
            raise refuse(f"option 'kernel' of target 'cuda' is '{self.kernel}'", hint=hint)
        chosen(self.archs)

    def emit(self, graph: Graph, header: str) -> Files:
        """NAME.h, NAME.cu, NAME_main.cu, example.cu and NAME.py."""
        return write(graph, self.prefix, header, self.kernel)

    def examine(self, build: Path) -> Examined:
        """Registers, shared memory and spills, from nvcc or NVRTC. Raises ToolError."""
        return examine(build, self.prefix, chosen(self.archs))

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs [batch, O] of the kernel on the CPU's shim. Raises ToolError."""
        return execute(build, self.prefix, inputs)

    def emit_language(self, container: bytes, header: str) -> Files:
        """A language model: kernels, example, Python entry, and the C runtime with the weights."""
        return cuda_language_files(container, self.prefix, header)

    def execute_language(self, build: Path, ids: NDArray[Any]) -> NDArray[Any]:
        """Logits [B, T, V] for token ids [B, T], on the CPU's shim. Raises ToolError."""
        with built(build, self.prefix) as folder:
            return logits(folder, self.prefix, ids)

    def examine_language(self, build: Path, ids: NDArray[Any]) -> Examined:
        """Whether the text is the C runtime's, and what nvcc or NVRTC says. Raises ToolError."""
        return examine_language(build, self.prefix, chosen(self.archs), ids)
