"""The one loop that compares a built artefact with the oracle, and its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.backend import Backend, Electrical, Exact
from crystalc.error_bound import ambiguous, error_bound
from crystalc.interpret import interpret
from crystalc.ir import Graph

Array = NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """How an artefact fared. Errors are in output units, in integer steps for a fixed graph.

    ``bound``: the largest bound over all outputs; 0 means exact. ``worst_share``: the largest
    error over its own bound (0 when exact). ``decisions_equal``: vectors whose argmax agrees;
    ``undecided``: those whose two best scores lie closer than the bound, where argmax is open.
    ``note``: why a check that passes may say little.
    """

    vectors: int
    max_abs_error: float | None
    bound: float
    worst_share: float | None
    decisions_equal: int
    undecided: int
    ok: bool
    reason: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(meaning: Graph, shaped: Graph, backend: Backend, build: Path, x: Array) -> Comparison:
    """Run the artefact in ``build`` on ``x`` [batch, I] and judge it.

    ``meaning`` is interpreted; ``shaped`` is what was emitted, from which the float bound follows.
    Raises ToolError when the artefact does not run.
    """
    wanted = interpret(meaning, x)
    got = np.asarray(backend.execute(build, x))
    if got.shape != wanted.shape:
        return _failed(len(x), f"the artefact gave shape {got.shape}, not {wanted.shape}")
    caps = backend.capabilities
    agreement = caps.fixed_agreement if meaning.is_fixed else caps.float_agreement
    if isinstance(agreement, Exact):
        return judge(wanted, got, np.zeros(wanted.shape), sameness(wanted))
    if isinstance(agreement, Electrical):
        return judge_circuit(wanted, got, agreement)
    return judge(wanted, got, error_bound(shaped, x, agreement.bits), sameness(wanted))


def judge(wanted: Array, got: Array, bound: Array, note: str = "") -> Comparison:
    """Compare outputs [batch, O] elementwise with ``bound`` of the same shape."""
    if not np.isfinite(got.astype(np.float64)).all():
        return _failed(len(wanted), "the artefact gave NaN or infinity")
    if not np.isfinite(bound).all():
        return _failed(len(wanted), "no finite error bound follows from this graph")
    error = _distance(wanted, got)
    over = ~(error <= bound)
    share = np.divide(error, bound, out=np.zeros(error.shape), where=bound > 0)
    return Comparison(
        vectors=len(wanted),
        max_abs_error=float(error.max()),
        bound=float(bound.max()),
        worst_share=float(share.max()),
        decisions_equal=int((wanted.argmax(-1) == got.argmax(-1)).sum()),
        undecided=int(ambiguous(wanted.astype(np.float64), bound).sum()) if bound.any() else 0,
        ok=not over.any(),
        reason=_reason(wanted, got, over) if over.any() else "",
        note=note,
    )


def judge_circuit(wanted: Array, got: Array, agreement: Electrical) -> Comparison:
    """Compare voltages [batch, O]: within the stated error, and enough equal decisions.

    Vectors of which the oracle says the same, such as those that wake no neuron, are one decision.
    """
    limit = agreement.absolute + agreement.share * float(np.ptp(wanted))
    found = judge(wanted, got, np.full(wanted.shape, limit), sameness(wanted))
    _, distinct = np.unique(wanted, axis=0, return_index=True)
    equal = int((wanted[distinct].argmax(-1) == got[distinct].argmax(-1)).sum())
    needed = agreement.decisions * len(distinct)
    if not found.ok or equal >= needed:
        return found
    text = f"{equal} of {len(distinct)} different decisions are equal, {needed:g} are needed"
    return replace(found, ok=False, reason=text)


def sameness(wanted: Array) -> str:
    """What is to be said where outputs [batch, O] are all alike, in single precision if real."""
    shown = wanted.astype(np.float32) if wanted.dtype.kind == "f" else wanted
    if len(shown) < 2 or (shown != shown[0]).any():
        return ""
    return "all vectors give the same output: this check says little"


def _distance(wanted: Array, got: Array) -> Array:
    """|got - wanted|, exact where both are integers."""
    if wanted.dtype.kind == "i" and got.dtype.kind in "iu":
        return np.abs(got.astype(np.int64) - wanted)
    return np.abs(got.astype(np.float64) - wanted)


def _reason(wanted: Array, got: Array, over: Array) -> str:
    row, column = (int(k) for k in np.argwhere(over)[0])
    return (
        f"output {column} of vector {row} is {got[row, column]}, "
        f"the oracle says {wanted[row, column]} ({int(over.any(-1).sum())} vectors differ)"
    )


def _failed(vectors: int, reason: str) -> Comparison:
    return Comparison(vectors, None, 0.0, None, 0, 0, False, reason)
