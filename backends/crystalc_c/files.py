"""From a plan to the text of the files: the context that the templates see, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from crystalc.ir import FixedType, Graph, Op
from crystalc.render import block_comment, render
from crystalc_c.constants import HEX_LIMIT, Constant, image, string_chunks, total_bytes
from crystalc_c.numbers import storage
from crystalc_c.plan import Member, Plan

Files = Mapping[PurePosixPath, str | bytes]

INTEGER_KERNELS = frozenset({"dot_u8", "dot_s8"})


@dataclass(frozen=True)
class Room:
    """A scratch member as the header prints it."""

    name: str
    ctype: str
    length: int
    note: str


@dataclass(frozen=True)
class StateRoom:
    """A state member as the header and ``state_init`` print it."""

    name: str
    ctype: str
    extent: str
    note: str
    copy: str


@dataclass(frozen=True)
class Kernel:
    """Templates that make one matrix kernel."""

    text: str
    numbers: str
    shapes: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A step: its comment and its statements."""

    comment: str
    text: str
    tiled: bool


@dataclass(frozen=True)
class Chunk:
    """One string literal of ``size`` bytes."""

    size: int
    text: str


@dataclass(frozen=True)
class Frac:
    """Binary point of the integers in or out: real = integer * 2^-``bits``."""

    end: str
    elem: str
    bits: int


@dataclass(frozen=True)
class Context:
    """Everything the C templates may read. No string in it comes from the model."""

    name: str
    upper: str
    header: Sequence[str]
    inputs: int
    outputs: int
    tile: int
    aligned: bool
    align: str
    input_type: str
    output_type: str
    fracs: Sequence[Frac]
    output_format: str
    output_printed: str
    buffers: Sequence[Room]
    members: Sequence[StateRoom]
    state_argument: str
    state_pass: str
    state_address: str
    example_input: str
    example_note: str
    rewrite_name: str
    rewrite_column: str
    rewrite_rows: int
    rewrite_type: str
    rewrite_value: int
    parts: Sequence[str]
    kernels: Sequence[Kernel]
    constants: Sequence[Constant]
    constants_template: str
    chunks: Sequence[Chunk]
    total: int
    forward_template: str
    steps: Sequence[Text]


def spelling(plan: Plan, constants: str) -> str:
    """``hex``, ``incbin`` or ``string``: as asked for, or by size."""
    if constants != "auto":
        return constants
    return "hex" if total_bytes(plan.constants) <= HEX_LIMIT else "incbin"


def write(plan: Plan, name: str, header: str, constants: str) -> Files:
    """Every file of the artefact by name."""
    how = spelling(plan, constants) if plan.constants else "hex"
    context = _context(plan, name, header, how)
    files: dict[PurePosixPath, str | bytes] = {
        PurePosixPath(f"{name}.h"): render("c/model.h.j2", context),
        PurePosixPath(f"{name}.c"): render("c/model.c.j2", context),
        PurePosixPath(f"{name}_main.c"): render("c/main.c.j2", context),
        PurePosixPath("example.c"): render("c/example.c.j2", context),
    }
    if how == "incbin":
        files[PurePosixPath("weights.bin")] = image(plan.constants)
    return files


def _context(plan: Plan, name: str, header: str, how: str) -> Context:
    out = plan.graph.output.type
    floating = not isinstance(out.elem, FixedType)
    template = {"hex": "text", "incbin": "file", "string": "string"}[how]
    raw = image(plan.constants) if how == "string" else b""
    first, example = _example_member(plan), _example_input(plan)
    return Context(
        name=name,
        upper=name.upper(),
        header=block_comment(header.strip("\n")),
        inputs=int(plan.graph.input.type.shape[0]),
        outputs=int(out.shape[0]),
        tile=plan.tile,
        aligned=plan.simd,
        align=f" {name.upper()}_ALIGNED" if plan.simd else "",
        input_type=storage(plan.graph.input.type.elem),
        output_type=storage(out.elem),
        fracs=_fracs(plan),
        output_format="g" if floating else "ld",
        output_printed="double" if floating else "long",
        buffers=[
            Room(b.name, b.ctype, b.stride * (1 if b.shared else plan.tile), b.note)
            for b in plan.buffers
        ],
        members=[_state_room(m) for m in plan.members],
        state_argument=f", const {name}_state *state" if first else "",
        state_pass=", state" if first else "",
        state_address=", &state" if first else "",
        example_input=example[0],
        example_note=example[1],
        rewrite_name=first.name if first else "",
        rewrite_column="[0]" if first and len(first.shape) > 1 else "",
        rewrite_rows=first.shape[0] if first else 0,
        rewrite_type=first.ctype if first else "",
        rewrite_value=1 if floating else 7,
        parts=[f"c/{p}" for p in _parts(plan)],
        kernels=[_kernel(plan, k) for k in plan.kernels],
        constants=plan.constants,
        constants_template=f"c/constants_{template}.c.j2",
        chunks=[Chunk(_bytes(lines), "\n".join(lines)) for lines in string_chunks(raw)],
        total=sum(-(-len(c.raw) // 64) * 64 for c in plan.constants),
        forward_template="c/forward.c.j2" if plan.simd else "c/forward_compact.c.j2",
        steps=[Text(s.comment, "\n".join(s.lines), s.tiled) for s in plan.steps],
    )


def _fracs(plan: Plan) -> list[Frac]:
    """The ends of a fixed graph that stand for real numbers; a class index does not."""
    ends = [("IN", plan.graph.input), ("OUT", plan.graph.output)]
    if plan.graph[plan.graph.output.inputs[0]].op is Op.ARGMAX:
        ends.pop()
    elems = [(end, node.type.elem) for end, node in ends]
    return [Frac(end, str(e), e.frac) for end, e in elems if isinstance(e, FixedType)]


def _example_input(plan: Plan) -> tuple[str, str]:
    """C expression of input ``i``, and what it is: a point that an active neuron answers to.

    Behind a projection no input is known to be near a neuron: then some ordinary numbers.
    """
    elem, size = plan.graph.input.type.elem, int(plan.graph.input.type.shape[0])
    near = [m for m in plan.members if m.name == "positions" and m.shape[1] == size]
    if not near:
        step = max(1, elem.high // 3) if isinstance(elem, FixedType) else 1
        return f"{step} * (i % 3)", "ordinary numbers"
    point = "state.positions[0][i]"
    if isinstance(elem, FixedType):
        point = _rescaled(point, near[0], elem, plan.graph)
    return point, "the first active neuron's own position"


def _rescaled(point: str, positions: Member, elem: FixedType, graph: Graph) -> str:
    """``point`` on the binary point of the input ``elem``, inside its range."""
    node = next(n for n in graph.nodes if n.is_state and n.type.shape == positions.shape)
    assert isinstance(node.type.elem, FixedType)
    shift = elem.frac - node.type.elem.frac
    scaled = f"{point} * {1 << shift}L" if shift >= 0 else f"{point} / {1 << -shift}L"
    return f"{scaled} < {elem.low} ? {elem.low} : {scaled} > {elem.high} ? {elem.high} : {scaled}"


def _example_member(plan: Plan) -> Member | None:
    """The state that the example rewrites: values if there are any, they always show."""
    values = [m for m in plan.members if m.note.startswith("values")]
    return next(iter([*values, *plan.members]), None)


def _bytes(lines: Sequence[str]) -> int:
    return sum(line.count("\\") for line in lines)


def _parts(plan: Plan) -> list[str]:
    """Runtime sources in the order C needs them."""
    lanes = ["lanes_select.h"] if plan.simd else ["lanes_one.h"]
    floats = ["lanes_avx512.h", "lanes_avx2.h"] if plan.simd else []
    floats = [] if plan.graph.is_fixed else [*floats, "lanes_scalar.h", "lanes_common.h"]
    s8 = ["lanes_s8.h"] if "matmul_s8" in plan.kernels and "lanes_s8.h" not in plan.parts else []
    return [*lanes, "inline.h", *floats, *s8, *plan.parts]


def _kernel(plan: Plan, name: str) -> Kernel:
    numbers = "kernel_int.h" if name in INTEGER_KERNELS else "kernel_float.h"
    compact = "c/compact.h" if name.endswith("f32") else "c/compact_short.h"
    shapes = ("c/panel.h", "c/tile.h") if plan.simd else (compact,)
    if name in plan.skipping:
        shapes = (*shapes, "c/nonzero.h")
    return Kernel(f"c/{name}.h", f"c/{numbers}", shapes)


def _state_room(m: Member) -> StateRoom:
    matrix = len(m.shape) > 1
    extent = f"[{m.shape[0]}][{m.shape[1]}]" if matrix else f"[{m.length}]"
    target = (
        f"state->{m.name}[i / {m.shape[1]}][i % {m.shape[1]}]" if matrix else f"state->{m.name}[i]"
    )
    loop = f"for (int i = 0; i < {m.length}; i++)"
    copy = f"{loop}\n        {target} = {m.start}[i];"
    return StateRoom(m.name, m.ctype, extent, m.note, copy)
