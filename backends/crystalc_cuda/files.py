"""The files of an artefact: the context that the templates see, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from crystalc.ir import FixedType, Graph, Op
from crystalc.render import block_comment, render, source
from crystalc_c.files import Frac
from crystalc_cuda import lanes
from crystalc_cuda.lanes import Lanes
from crystalc_cuda.memory import SHARED, Constant, Long, Member, Memory, Step
from crystalc_cuda.numbers import real, storage
from crystalc_cuda.rescale import with_high_words
from crystalc_cuda.samples import Divided
from crystalc_cuda.softmax import without_softmax
from crystalc_cuda.tiles import Tiles

Files = Mapping[PurePosixPath, str | bytes]

FLOAT_BITS = 16
"""Bits that an input may have for samples of floats to make sense."""

WARPS = 4
"""Warps of a block of the kernel of tiles."""

PAIR_WARPS = 8
"""The same where a warp has two tiles of samples: one block, with all registers."""


@dataclass(frozen=True)
class Context:
    """Everything the CUDA templates may read. No string in it comes from the model."""

    name: str
    upper: str
    header: Sequence[str]
    inputs: int
    outputs: int
    input_type: str
    output_type: str
    fracs: Sequence[Frac]
    members: Sequence[Member]
    state_argument: str
    state_pass: str
    near: Sequence[Constant]
    far: Sequence[Constant]
    platform: str
    parts: Sequence[str]
    kernel: str
    warps: int
    threads: int
    longs: Sequence[Long]
    long_bytes: int
    near_bytes: int
    shared_bytes: int
    held: Sequence[str]
    steps: Sequence[Step]
    before: Sequence[str]
    reading: Sequence[Step]
    sixteens: int
    """Tiles of sixteen samples that a warp reads together."""
    divided: Divided | None
    resident_argument: str
    torch_in: str
    torch_out: str
    torch_other: str
    other: str
    """Name of the other type of samples: u8, f32 or nothing."""
    other_type: str
    input_types: Sequence[str]
    scale_argument: str
    scale_pass: str
    input_unit: str
    input_low: str
    input_high: str
    rewrite: Member | None
    rewrite_value: int
    example_input: str


def write(graph: Graph, name: str, header: str, kernel: str) -> Files:
    """Every file of the artefact by name; ``kernel`` is ``auto``, ``lanes`` or ``tiles``."""
    context = _context(with_high_words(without_softmax(graph)), name, header, kernel)
    return {
        PurePosixPath(f"{name}.h"): render("cuda/model.h.j2", context),
        PurePosixPath(f"{name}.cu"): render("cuda/model.cu.j2", context),
        PurePosixPath(f"{name}_main.cu"): render("cuda/main.cu.j2", context),
        PurePosixPath("example.cu"): render("cuda/example.cu.j2", context),
        PurePosixPath(f"{name}.py"): render("cuda/model.py.j2", context),
    }


def _context(graph: Graph, name: str, header: str, kernel: str) -> Context:
    small = lanes.fits(graph) if kernel == "auto" else kernel == "lanes"
    memory = Memory(graph, words=not small)
    made = Lanes(graph, memory) if small else Tiles(graph, memory)
    longs, held, far = made.longs, made.held, made.far
    warps = 4 if small else _warps(longs, PAIR_WARPS if made.parts > 1 else WARPS)
    memory.place(0 if small else SHARED - warps * sum(m.size for m in longs), far)
    members = list(memory.members.values())
    out = graph.output.type
    return Context(
        name=name,
        upper=name.upper(),
        header=block_comment(header.strip("\n")),
        inputs=int(graph.input.type.shape[0]),
        outputs=int(out.shape[0]),
        input_type=storage(graph.input.type.elem),
        output_type=storage(out.elem),
        fracs=_fracs(graph),
        members=members,
        state_argument=f", const {name}_state *state" if members else "",
        state_pass=", state" if members else "",
        near=[c for c in memory.constants.values() if c.near],
        far=[c for c in memory.constants.values() if not c.near],
        platform=source("cuda/platform.h"),
        parts=[source(f"cuda/{p}") for p in _parts(graph, small, bool(held))],
        kernel="lanes" if small else "tiles",
        warps=warps,
        threads=32 * warps,
        longs=longs,
        long_bytes=sum(m.size for m in longs),
        near_bytes=_shared(memory),
        shared_bytes=_shared(memory) + warps * sum(m.size for m in longs),
        held=[memory.placed(line) for line in held],
        steps=[_placed(step, memory) for step in made.steps],
        reading=[_placed(step, memory) for step in made.reading],
        before=made.before,
        sixteens=made.parts,
        divided=made.divided,
        resident_argument=", int resident" if made.divided else "",
        torch_in=_torch(storage(graph.input.type.elem)),
        torch_out=_torch(storage(out.elem)),
        **_inputs(graph),
        rewrite=_rewritten(members),
        rewrite_value=7 if graph.is_fixed else 1,
        example_input=_example_input(graph, members),
    )


def _torch(ctype: str) -> str:
    return ctype.replace("float", "float32").removesuffix("_t")


def _inputs(graph: Graph) -> dict[str, Any]:
    """What the templates need for samples of two types: the graph's own, and bytes or floats."""
    elem = graph.input.type.elem
    fixed = isinstance(elem, FixedType)
    other = "uint8_t"
    if isinstance(elem, FixedType):
        other = "float" if elem.width <= FLOAT_BITS else ""
    ends = (2.0**elem.frac, elem.low, elem.high) if isinstance(elem, FixedType) else ()
    unit, low, high = (real(float(v)) for v in ends) if ends else ("", "", "")
    return {
        "other": {"uint8_t": "u8", "float": "f32", "": ""}[other],
        "other_type": other,
        "torch_other": _torch(other),
        "input_types": [storage(elem), *([other] if other else [])],
        "scale_argument": "" if fixed else "float scale, ",
        "scale_pass": "" if fixed else "scale, ",
        "input_unit": unit,
        "input_low": low,
        "input_high": high,
    }


def _warps(longs: Sequence[Long], warps: int) -> int:
    """As many as the long vectors leave room for, up to ``warps``."""
    while warps > 1 and warps * sum(m.size for m in longs) > SHARED // 2:
        warps //= 2
    return warps


def _shared(memory: Memory) -> int:
    return sum(c.size for c in memory.constants.values() if c.near)


def _placed(step: Step, memory: Memory) -> Step:
    return replace(step, lines=tuple(memory.placed(line) for line in step.lines))


def _rewritten(members: Sequence[Member]) -> Member | None:
    """The state that the example rewrites: values if there are any, they always show."""
    values = [m for m in members if m.note.startswith("values")]
    return next(iter([*values, *members]), None)


def _example_input(graph: Graph, members: Sequence[Member]) -> str:
    """The first active neuron's own position where inputs are points; else ordinary numbers."""
    size = int(graph.input.type.shape[0])
    elem = graph.input.type.elem
    if isinstance(elem, FixedType):
        return f"{max(1, elem.high // 3)} * (i % 3)"
    near = any(m.name == "positions" and m.shape[1] == size for m in members)
    return f"host_state.positions[0][i % {size}]" if near else "i % 3"


def _fracs(graph: Graph) -> list[Frac]:
    """The ends of a fixed graph that stand for real numbers; a class index does not."""
    ends = [("IN", graph.input), ("OUT", graph.output)]
    if graph[graph.output.inputs[0]].op is Op.ARGMAX:
        ends.pop()
    elems = [(end, node.type.elem) for end, node in ends]
    return [Frac(end, str(e), e.frac) for end, e in elems if isinstance(e, FixedType)]


def _parts(graph: Graph, small: bool, held: bool) -> list[str]:
    """Hand-written sources of the kernel, in order."""
    inputs = "inputs_fixed.h" if graph.is_fixed else "inputs_float.h"
    first = ["pointwise.h", "inputs.h", inputs]
    if small:
        return first
    kind = "tiles_fixed.h" if graph.is_fixed else "tiles_float.h"
    return [*first, "tiles.h", "mma.h", kind, *(["hold.h"] if held else [])]
