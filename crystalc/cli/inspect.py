"""``crystalc inspect``: what is in a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.diagnostics import printable

if TYPE_CHECKING:
    from crystalc.checkpoint import Checkpoint


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(model: Path, as_json: bool) -> None:
    """Print shapes, parameters, frozen share and hash of MODEL."""
    from crystalc.frontend import read_checkpoint

    checkpoint = read_checkpoint(model)
    facts = describe(checkpoint)
    click.echo(json.dumps(facts, indent=1) if as_json else table(facts))


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything ``inspect`` tells, as JSON types."""
    from crystalc.driver import describe as summary

    facts = summary(checkpoint)
    facts["frozen_share"] = facts["frozen"] / facts["neurons"] if facts["neurons"] else 0.0
    facts["bytes"] = sum(int(v.nbytes) for v in checkpoint.tensors.values())
    facts["tensors"] = {
        key: {"shape": list(value.shape), "dtype": str(value.dtype)}
        for key, value in sorted(checkpoint.tensors.items())
    }
    samples = checkpoint.calibration
    facts["calibration_samples"] = 0 if samples is None else len(samples)
    facts["metadata"] = dict(checkpoint.metadata)
    return facts


def table(facts: dict[str, Any]) -> str:
    """``describe`` for people."""
    c = facts
    kernel = f"{c['kernel']}/{c['activation']}" if c["activation"] else c["kernel"]
    lines = [
        f"kind         {c['kind']}: {c['inputs']} inputs, {c['outputs']} outputs",
        f"field        {c['neurons']} neurons in {c['dim']} dimensions, {c['metric']} {kernel}"
        + (", normalised" if c["normalized"] else ""),
        f"frozen       {c['frozen']} of {c['neurons']} ({c['frozen_share']:.1%}), "
        f"{c['active']} active",
        f"parameters   {c['parameters']:,} ({c['bytes'] / 1024:.1f} KB)",
        f"calibration  {c['calibration_samples']} samples",
        f"sha256       {c['sha256']}",
        "tensors",
    ]
    for key, tensor in c["tensors"].items():
        shape = " x ".join(map(str, tensor["shape"]))
        lines.append(f"  {printable(key):24} {shape:>12}  {tensor['dtype']}")
    if c["metadata"]:
        lines.append("metadata")
    lines += [f"  {printable(k):24} {printable(str(v))}" for k, v in c["metadata"].items()]
    return "\n".join(lines)
