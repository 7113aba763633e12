"""What is measured of an artefact beside its check: TARGET_report.json."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import __version__, driver
from crystalc.backend import Studied
from crystalc.check import Comparison
from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError
from crystalc.files import write_tree
from crystalc.interpret import interpret
from crystalc.verdict import percent

LABELLED = ("digits",)
"""Data sets that come with a dependency, so that a model trained on one meets labels here."""


def study(
    compiled: driver.Compiled,
    checkpoint: Checkpoint,
    out: Path,
    vectors: NDArray[Any],
    comparison: Comparison,
    seconds: float,
) -> list[str]:
    """Measure the artefact in ``out``, write its report; lines for people.

    Nothing where the backend measures nothing. ``seconds``: of the check of ``vectors`` [n, I].
    Raises ToolError.
    """
    backend = compiled.backend
    if not isinstance(backend, Studied) or comparison.max_abs_error is None:
        return []
    found = backend.study(out, compiled.shaped, vectors)
    extent = float(np.ptp(interpret(compiled.meaning, vectors)))
    accuracy = _accuracy(compiled, checkpoint, out)
    facts = {
        "schema": 1,
        "crystalc": __version__,
        "command": compiled.options.command,
        "model": driver.describe(checkpoint),
        "vectors": comparison.vectors,
        "max_abs_error": comparison.max_abs_error,
        "max_error_share": comparison.max_abs_error / max(extent, 1e-300),
        "decisions_equal": comparison.decisions_equal,
        "ok": comparison.ok,
        "accuracy": accuracy,
        "seconds": seconds,
        "vectors_per_second": comparison.vectors / seconds,
        "tools": driver.tool_versions(backend),
        **found.facts,
    }
    report = PurePosixPath(f"{backend.name}_{driver.REPORT}")
    text = json.dumps(facts, indent=1, allow_nan=False, default=str) + "\n"
    write_tree(out, {**found.files, report: text})
    error = f"error   {percent(facts['max_error_share'])} of the range that the outputs span"
    return [error, *_scored(accuracy), *found.lines]


def _accuracy(
    compiled: driver.Compiled, checkpoint: Checkpoint, out: Path
) -> dict[str, float] | None:
    """On the labelled test set of the data that the model says it was trained on."""
    name = checkpoint.metadata.get("dataset")
    if name not in LABELLED or compiled.options.argmax:
        return None
    try:
        from crystalc.training.data import load

        test = load(str(name)).test
    except CompileError:  # scikit-learn is an extra
        return None
    count = int(getattr(compiled.backend, "check_count", len(test.y)))
    x, y = test.x[:count].astype(np.float64), test.y[:count]
    if x.shape[1] != compiled.meaning.input.type.shape[0]:
        return None
    circuit = np.asarray(compiled.backend.execute(out, x)).argmax(-1)
    oracle = interpret(compiled.meaning, x).argmax(-1)
    return {
        "vectors": len(y),
        "artefact": float((circuit == y).mean()),
        "oracle": float((oracle == y).mean()),
        "decisions_equal": float((circuit == oracle).mean()),
    }


def _scored(accuracy: dict[str, float] | None) -> list[str]:
    if accuracy is None:
        return []
    return [
        f"right   {accuracy['artefact']:.2%} of {accuracy['vectors']} labelled test vectors; "
        f"the oracle {accuracy['oracle']:.2%}"
    ]
