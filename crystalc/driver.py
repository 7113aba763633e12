"""Checkpoint in, checked artefact out: the steps behind ``crystalc MODEL --target T``."""

from __future__ import annotations

import io
import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import __version__, tools
from crystalc.backend import (
    Agreement,
    Backend,
    Electrical,
    Exact,
    Examined,
    Examiner,
    Files,
    Tunable,
    Within,
    create,
    illegal,
)
from crystalc.check import Comparison, compare
from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError
from crystalc.files import check_folder, remove, write_atomic, write_tree
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret
from crystalc.ir import Builder, Graph, Loc, Op, TensorType
from crystalc.passes.prune import Dropped, dropped
from crystalc.passes.quantize import quantize_inputs
from crystalc.passes.rows import fields
from crystalc.pipeline import (
    START,
    Arithmetic,
    Observer,
    Weights,
    meaning_passes,
    run_passes,
    shaping_passes,
)
from crystalc.vectors import (
    DEFAULT_COUNT,
    fixed_vectors,
    keep,
    read_vectors,
    real_vectors,
    samples_of,
)
from crystalc.verdict import percent
from crystalc.verify import check

REPORT_SCHEMA = 1
REPORT = "report.json"
PLAIN = frozenset(string.ascii_letters + string.digits + " ._=,+-")
"""Characters of a command line that may stand in any generated comment."""


@dataclass(frozen=True)
class Options:
    """What to compile for. ``backend`` holds the target's own options as text."""

    target: str
    arithmetic: Arithmetic = "float"
    width: int = 8
    weights: Weights = "f32"
    argmax: bool = False
    vectors: Path | None = None
    count: int | None = None
    backend: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The options as a command line, less file names: it stands in the artefact."""
        words = ["crystalc", "--target", self.target, "--arithmetic", self.arithmetic]
        if self.arithmetic == "fixed":
            words += ["--width", str(self.width)]
        if self.weights != "f32":
            words += ["--weights", self.weights]
        if self.argmax:
            words.append("--argmax")
        for key, value in sorted(self.backend.items()):
            words += ["-O", f"{key}={value}"]
        return "".join(c if c in PLAIN else "?" for c in " ".join(words))


@dataclass(frozen=True)
class Neurons:
    """Row numbers of the checkpoint's neurons, in the order the artefact holds them."""

    frozen: tuple[int, ...]
    active: tuple[int, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class Compiled:
    """One model for one target, nothing written yet.

    ``reference``: the float graph as lowered. ``meaning``: what the oracle interprets.
    ``shaped``: what was emitted.
    """

    options: Options
    backend: Backend
    reference: Graph
    meaning: Graph
    shaped: Graph
    samples: NDArray[Any]
    neurons: Neurons
    files: Files


class _PruneLog:
    """Observer that follows neuron numbers through both prunings."""

    def __init__(self, neurons: int) -> None:
        self.left = np.arange(neurons)
        self.dropped: list[Dropped] = []

    def __call__(self, name: str, before: Graph, after: Graph, seconds: float) -> None:
        if name != "prune":
            return
        found = [d for f in fields(before) for d in dropped(before, f)]
        self.dropped += [Dropped(int(self.left[d.neuron]), d.bound, d.reason) for d in found]
        self.left = np.delete(self.left, [d.neuron for d in found])


def compile_checkpoint(
    checkpoint: Checkpoint, options: Options, observers: Sequence[Observer] = ()
) -> Compiled:
    """Lower, run the passes and emit. Raises CompileError; writes nothing."""
    backend = create(options.target, options.backend)
    reference = check(lower(checkpoint))
    samples = samples_of(checkpoint)
    if isinstance(backend, Tunable):
        backend = backend.tuned(samples)
    if options.argmax:
        reference = check(_with_argmax(reference))
    for observe in observers:
        observe(START, reference, reference, 0.0)
    log = _PruneLog(checkpoint.config.neurons)
    every: list[Observer] = [log, *observers]
    o = options
    multipliers = backend.capabilities.multipliers
    meant = meaning_passes(o.arithmetic, o.width, o.weights, samples, multipliers)
    meaning = run_passes(reference, meant, every)
    shaped = run_passes(meaning, shaping_passes(o.arithmetic, o.weights), every)
    wrong = illegal(shaped, backend)
    if wrong:
        raise CompileError(*wrong)
    files = dict(backend.emit(shaped, header(checkpoint, options)))
    neurons = _neurons(checkpoint, log)
    files[PurePosixPath("names.json")] = _names(shaped, neurons)
    return Compiled(options, backend, reference, meaning, shaped, samples, neurons, files)


def header(checkpoint: Checkpoint, options: Options) -> str:
    """First comment of every emitted file: version, model hash, command; no time, no names."""
    return (
        f"made by crystalc {__version__}; do not edit\n"
        f"model sha256 {checkpoint.source}\n"
        f"{options.command}"
    )


def _with_argmax(graph: Graph) -> Graph:
    build = Builder(graph.source)
    build.nodes = list(graph.nodes[:-1])
    last, elem = graph.output.inputs[0], graph.output.type.elem
    one = TensorType((1,), elem)
    winner = build.op(Op.ARGMAX, (last,), one, Loc("output"))
    build.op(Op.OUTPUT, (winner,), one, Loc("output"))
    return build.graph()


def _neurons(checkpoint: Checkpoint, log: _PruneLog) -> Neurons:
    mask = checkpoint.frozen[log.left]
    if checkpoint.config.normalized and not mask.all():
        mask = np.zeros_like(mask)
    frozen = tuple(int(n) for n in log.left[mask])
    return Neurons(frozen, tuple(int(n) for n in log.left[~mask]), tuple(log.dropped))


def _names(shaped: Graph, neurons: Neurons) -> str:
    """The side table that carries the model's names, which never reach generated text."""
    table = {
        "neurons": {"frozen": neurons.frozen, "active": neurons.active},
        "values": {f"n{i:04d}": str(node.loc) for i, node in shaped},
    }
    return json.dumps(table, indent=1) + "\n"


def write(compiled: Compiled, out: Path) -> None:
    """Write the artefact's files below ``out``; the reports of an earlier one go."""
    check_folder(out)
    for name in (REPORT, f"{compiled.options.target}_{REPORT}"):
        remove(out / name)
    write_tree(out, compiled.files)


def check_vectors(compiled: Compiled) -> NDArray[Any]:
    """Inputs [n, I] for the check: reals of single precision, or the fixed graph's integers."""
    o, meaning = compiled.options, compiled.meaning
    count = o.count or int(getattr(compiled.backend, "check_count", DEFAULT_COUNT))
    if o.vectors is not None:
        real = read_vectors(o.vectors, meaning.input.type.shape[0])
        if meaning.is_fixed:
            return quantize_inputs(meaning, real)
        return real.astype(np.float32).astype(np.float64)
    if not meaning.is_fixed:
        return real_vectors(compiled.samples, count)
    return fixed_vectors(meaning, quantize_inputs(meaning, compiled.samples), count)


def keep_vectors(compiled: Compiled, out: Path, vectors: NDArray[Any]) -> None:
    """Circuits are studied after they are made: their inputs [n, I] stay as ``vectors.npy``."""
    if not isinstance(compiled.backend.capabilities.float_agreement, Electrical):
        return
    buffer = io.BytesIO()
    np.save(buffer, vectors.astype(np.float32))
    write_atomic(out / "vectors.npy", buffer.getvalue())


def keep_oracle(compiled: Compiled, out: Path, vectors: NDArray[Any]) -> None:
    """Keep the check's integers beside a fixed artefact, for whoever checks what is made of it."""
    if compiled.meaning.is_fixed:
        keep(out, vectors, interpret(compiled.meaning, vectors))


def verify_build(compiled: Compiled, out: Path, vectors: NDArray[Any]) -> Comparison:
    """Build and run the artefact in ``out`` and compare it with the oracle. Raises ToolError."""
    return compare(compiled.meaning, compiled.shaped, compiled.backend, out, vectors)


def examine(compiled: Compiled, out: Path) -> Examined | None:
    """What the backend says of the artefact in ``out``, if anything. Raises ToolError."""
    return compiled.backend.examine(out) if isinstance(compiled.backend, Examiner) else None


def same_decisions(compiled: Compiled) -> float:
    """Share of the sample inputs whose argmax is the same as in the unchanged float model."""
    x = compiled.samples
    reference = interpret(compiled.reference, x)
    meant = quantize_inputs(compiled.meaning, x) if compiled.meaning.is_fixed else x
    got = interpret(compiled.meaning, meant)
    if compiled.options.argmax:
        return float((reference == got).mean())
    return float((reference.argmax(-1) == got.argmax(-1)).mean())


def report(
    compiled: Compiled,
    checkpoint: Checkpoint,
    comparison: Comparison | None,
    examined: Examined | None = None,
) -> dict[str, Any]:
    """``report.json`` as a dict; ``docs/report.md`` is its schema."""
    o = compiled.options
    return {
        "schema": REPORT_SCHEMA,
        "crystalc": __version__,
        "command": o.command,
        "target": o.target,
        "arithmetic": o.arithmetic,
        "width": o.width if o.arithmetic == "fixed" else None,
        "weights": "fixed" if o.arithmetic == "fixed" else o.weights,
        "model": describe(checkpoint),
        "agreement": agreement_text(agreement_of(compiled)),
        "checked": comparison is not None,
        **(comparison.to_dict() if comparison else {"ok": None}),
        "input_type": str(compiled.meaning.input.type.elem),
        "output_type": str(compiled.meaning.output.type.elem),
        "decisions_equal_to_float_model": same_decisions(compiled),
        "neurons": {
            "frozen": len(compiled.neurons.frozen),
            "active": len(compiled.neurons.active),
            "dropped": [vars(d) for d in compiled.neurons.dropped],
        },
        "files": {str(k): _size(v) for k, v in compiled.files.items()},
        "tools": tool_versions(compiled.backend),
        **_examined(examined),
    }


def _examined(examined: Examined | None) -> dict[str, Any]:
    """What the backend found; a fault in it overrules the comparison."""
    if examined is None:
        return {}
    fault = {"ok": False, "reason": examined.reason} if examined.reason else {}
    return {"resources": examined.report, **fault}


def agreement_of(compiled: Compiled) -> Agreement:
    """What the backend promises of this artefact."""
    caps = compiled.backend.capabilities
    return caps.fixed_agreement if compiled.meaning.is_fixed else caps.float_agreement


def agreement_text(agreement: Agreement) -> str:
    """What a backend promises, in a word or two."""
    if isinstance(agreement, Within):
        return f"within f{agreement.bits}"
    if isinstance(agreement, Exact):
        return "exact"
    limits = [f"{agreement.absolute:g} V"] if agreement.absolute else []
    if 0 < agreement.share < 1:
        limits.append(f"{percent(agreement.share)} of the outputs' range")
    kept = f"{agreement.decisions:.1%} of the decisions"
    return f"within {' + '.join(limits)}, {kept}" if limits else kept


def _size(content: str | bytes) -> int:
    return len(content.encode() if isinstance(content, str) else content)


def tool_versions(backend: Backend) -> dict[str, str]:
    """Of the programs that ``backend`` runs, by name."""
    found = (tools.first(names) for names in backend.capabilities.tools)
    return {tool.name: tool.version for tool in found if tool.path}


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Shape of a checkpoint for reports and ``crystalc inspect``."""
    frozen = int(checkpoint.frozen.sum())
    return {
        "sha256": checkpoint.source,
        **checkpoint.config.to_dict(),
        "parameters": checkpoint.parameters,
        "frozen": frozen,
        "active": checkpoint.config.neurons - frozen,
    }


def write_report(out: Path, content: Mapping[str, Any]) -> Path:
    """Write ``report.json`` below ``out`` and return its path."""
    path = out / REPORT
    write_atomic(path, json.dumps(content, indent=1, allow_nan=False, default=str) + "\n")
    return path
