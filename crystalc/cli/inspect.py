"""``crystalc inspect``: what is in a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.diagnostics import printable

if TYPE_CHECKING:
    from crystalc.checkpoint import Checkpoint
    from crystalc.container import Info
    from crystalc.frontend import Model
    from crystalc.language import LanguageModel

SHOWN = 70
"""Characters of an entry of the metadata on the screen."""


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(model: Path, as_json: bool) -> None:
    """Print shapes, parameters, frozen share and hash of MODEL."""
    from crystalc.frontend import read_model
    from crystalc.frontend.source import is_container

    if is_container(model):
        from crystalc.container import read

        found, info = read(model)
        facts = {**describe(found), "container": _container(info)}
    else:
        facts = describe(read_model(model))
    click.echo(json.dumps(facts, indent=1) if as_json else table(facts))


def describe(model: Model) -> dict[str, Any]:
    """Everything ``inspect`` tells, as JSON types."""
    from crystalc.language import LanguageModel

    facts = _language(model) if isinstance(model, LanguageModel) else _classifier(model)
    facts["frozen_share"] = facts["frozen"] / max(1, facts["frozen"] + facts["active"])
    facts["bytes"] = sum(int(v.nbytes) for v in model.tensors.values())
    facts["tensors"] = {
        key: {"shape": list(value.shape), "dtype": str(value.dtype)}
        for key, value in sorted(model.tensors.items())
    }
    facts["metadata"] = dict(model.metadata)
    return facts


def _container(info: Info) -> dict[str, Any]:
    from crystalc.container.kinds import Dtype, Layout

    sections = [
        {
            "key": e.key,
            "dtype": Dtype(e.dtype).name.lower() if e.known else str(e.dtype),
            "layout": Layout(e.layout).name.lower() if e.known else str(e.layout),
            "offset": e.offset,
            "bytes": e.size,
        }
        for e in info.entries
    ]
    return {
        "version": info.version,
        "weights": info.mode,
        "bytes": info.size,
        "pruned_vocabulary": info.pruned,
        "sections": sections,
    }


def _container_lines(c: dict[str, Any]) -> list[str]:
    pruned = ", pruned vocabulary" if c["pruned_vocabulary"] else ""
    lines = [f"container    version {c['version']}, {c['weights']}, {c['bytes']:,} bytes{pruned}"]
    width = max((len(s["key"]) for s in c["sections"]), default=0)
    for s in c["sections"]:
        lines.append(
            f"  {s['key']:{width}} {s['dtype']:>4} {s['layout']:10} "
            f"{s['bytes']:>12,} bytes at {s['offset']:,}"
        )
    return lines


def _classifier(checkpoint: Checkpoint) -> dict[str, Any]:
    from crystalc.driver import describe as summary

    samples = checkpoint.calibration
    return {
        **summary(checkpoint),
        "calibration_samples": 0 if samples is None else len(samples),
    }


def _language(model: LanguageModel) -> dict[str, Any]:
    frozen = int(model.frozen.sum())
    words = model.vocabulary
    return {
        "sha256": model.source,
        **model.config.to_dict(),
        "parameters": model.parameters,
        "frozen": frozen,
        "active": model.frozen.size - frozen,
        "tokens": None if words is None else len(words.tokens),
        "merges": None if words is None else len(words.merges),
    }


def _classifier_lines(c: dict[str, Any]) -> list[str]:
    return [
        f"kind         {c['kind']}: {c['inputs']} inputs, {c['outputs']} outputs",
        f"field        {c['neurons']} neurons in {c['dim']} dimensions, {_kernel(c)}",
        f"calibration  {c['calibration_samples']} samples",
    ]


def _language_lines(c: dict[str, Any]) -> list[str]:
    per_block = ", ".join(map(str, c["neurons"]))
    tokens = "none" if c["tokens"] is None else f"{c['tokens']:,}, {c['merges']:,} merges"
    return [
        f"kind         {c['kind']}: {c['vocabulary']:,} tokens, context {c['context']}, "
        f"{c['heads']} heads",
        f"fields       {per_block} neurons in {c['dim']} dimensions, {_kernel(c)}",
        f"feed-forward {c['ffn'] or 'none'}",
        f"token table  {tokens}",
    ]


def _kernel(c: dict[str, Any]) -> str:
    kernel = f"{c['kernel']}/{c['activation']}" if c["activation"] else c["kernel"]
    return f"{c['metric']} {kernel}" + (", normalised" if c["normalized"] else "")


def _short(value: str) -> str:
    if len(value) <= SHOWN:
        return printable(value, 4 * SHOWN)
    return f"{printable(value, SHOWN - 8)} ({len(value):,} characters: --json)"


def table(facts: dict[str, Any]) -> str:
    """``describe`` for people."""
    c = facts
    lines = [
        *(_language_lines(c) if "vocabulary" in c else _classifier_lines(c)),
        f"frozen       {c['frozen']} of {c['frozen'] + c['active']} "
        f"({c['frozen_share']:.1%}), {c['active']} active",
        f"parameters   {c['parameters']:,} ({c['bytes'] / 1024:.1f} KB)",
        f"sha256       {c['sha256']}",
        "tensors",
    ]
    width = max(24, *(len(printable(key)) for key in c["tensors"]))
    for key, tensor in c["tensors"].items():
        shape = " x ".join(map(str, tensor["shape"]))
        lines.append(f"  {printable(key):{width}} {shape:>12}  {tensor['dtype']}")
    lines += _container_lines(c["container"]) if "container" in c else []
    if c["metadata"]:
        lines.append("metadata")
    lines += [f"  {printable(k, SHOWN):24} {_short(str(v))}" for k, v in c["metadata"].items()]
    return "\n".join(lines)
