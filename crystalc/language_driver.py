"""Language model in, checked artefact out: the steps behind ``crystalc lm.pt --target c``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import __version__
from crystalc.backend import Examined, LanguageBackend, LanguageExaminer
from crystalc.container import Mode, read
from crystalc.container.convert import Converted, Text, convert
from crystalc.container.limits import Limits
from crystalc.container.oracle import Oracle
from crystalc.container.quality import BUDGETS, require_quality
from crystalc.diagnostics import refuse
from crystalc.driver import REPORT_SCHEMA
from crystalc.error_bound import error_bound
from crystalc.files import write_tree
from crystalc.frontend.lower_language import lower_language
from crystalc.language import LanguageModel

INTEGER_MODES = frozenset({"q8", "q8q4"})
"""Modes whose matrix products are taken in integers, activations rounded too."""

MOST_KL = 1e-4
LEAST_TOP1 = 0.99
"""What rounding activations may cost against the oracle of the same weights."""


@dataclass(frozen=True)
class Agreement:
    """An artefact against the oracle of its own weights, over ``predictions`` tokens of text.

    ``bound`` is that of single precision, None for modes that round activations.
    """

    predictions: int
    max_abs_error: float
    bound: float | None
    kl: float
    top1: float
    ok: bool

    def __str__(self) -> str:
        limit = (
            f"bound {self.bound:.1e}"
            if self.bound is not None
            else f"KL {self.kl:.1e} of at most {MOST_KL:.0e}"
        )
        return (
            f"{self.predictions} predictions against the oracle of the same weights: max error "
            f"{self.max_abs_error:.1e} ({limit}), top-1 {self.top1:.2%}: "
            f"{'OK' if self.ok else 'FAILED'}"
        )


def command(target: str, mode: Mode, options: Mapping[str, str]) -> str:
    """The command line less file names: it stands in the artefact."""
    words = ["crystalc", "--target", target, "--weights", mode]
    return " ".join(words + [f"-O {k}={v}" for k, v in sorted(options.items()) if k == "prefix"])


def emit(
    model: LanguageModel, mode: Mode, text: Text, backend: LanguageBackend, out: Path, said: str
) -> Converted:
    """Convert, hold the cost to its budget, and write the artefact below ``out``."""
    if mode not in (offered := backend.capabilities.weights):
        text_of = (
            f"target '{backend.name}' takes language models with --weights {', '.join(offered)}"
        )
        raise refuse(f"{text_of}, not {mode}")
    budget = backend.budget(mode) if isinstance(backend, Limits) else BUDGETS[mode]
    made = convert(model, mode, text, budget=budget)
    require_quality(made.quality, budget, mode, backend.capabilities.weights)
    head = f"made by crystalc {__version__}; do not edit\nmodel sha256 {model.source}\n{said}"
    write_tree(out, backend.emit_language(made.content, head))
    return made


def windows(ids: NDArray[Any], context: int, count: int) -> NDArray[np.int64]:
    """Whole windows [B, context] from the start of ``ids``, about ``count`` tokens of them."""
    rows = min(max(1, -(-count // context)), len(ids) // context)
    if not rows:
        raise refuse(f"the text has {len(ids)} tokens, a window takes {context}")
    return np.asarray(ids[: rows * context], np.int64).reshape(rows, context)


def agree(made: Converted, got: NDArray[Any], ids: NDArray[Any]) -> Agreement:
    """Judge the logits [B, T, V] of an artefact for ids [B, T]."""
    stored, _ = read(made.content)
    wanted = Oracle()(stored, ids)
    error = np.abs(got - wanted)
    top1 = float((got.argmax(-1) == wanted.argmax(-1)).mean())
    kl = float(_divergence(wanted, got.astype(np.float64)).mean())
    largest, count = float(error.max()), int(ids.size)
    if made.mode in INTEGER_MODES:
        fine = kl <= MOST_KL and top1 >= LEAST_TOP1
        return Agreement(count, largest, None, kl, top1, fine)
    bound = error_bound(lower_language(stored, ids.shape[1]), ids)
    return Agreement(count, largest, float(bound.max()), kl, top1, bool((error <= bound).all()))


def examine(backend: LanguageBackend, out: Path, ids: NDArray[Any]) -> Examined | None:
    """The backend's own checks, where it has any. Raises ToolError."""
    if not isinstance(backend, LanguageExaminer):
        return None
    return backend.examine_language(out, ids)


def _divergence(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """KL(a || b) [B, T] of logits."""
    p, q = (x - x.max(-1, keepdims=True) for x in (a, b))
    p, q = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (p, q))
    return np.asarray((np.exp(p) * (p - q)).sum(-1))


def report(
    made: Converted,
    target: str,
    said: str,
    agreement: Agreement | None,
    text: Text,
    found: Examined | None = None,
) -> dict[str, Any]:
    """``report.json`` of a language model."""
    return {
        "schema": REPORT_SCHEMA,
        "crystalc": __version__,
        "command": said,
        "target": target,
        "weights": made.mode,
        "model": {"sha256": made.model.source, **made.model.config.to_dict()},
        "container_bytes": len(made.content),
        "quality_of_weights": {
            **asdict(made.quality),
            "perplexity_change": made.quality.perplexity_change,
        },
        "measured_on": text.note,
        "checked": agreement is not None,
        **(asdict(agreement) if agreement else {"ok": None}),
        **({"resources": found.report, "reason": found.reason} if found else {}),
    }
