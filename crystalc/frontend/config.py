"""The ``config`` and ``metadata`` entries of a version 1 checkpoint, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from crystalc.checkpoint import Activation, Config, Kernel, Metric
from crystalc.frontend import limits
from crystalc.frontend.tree import Findings, Value, describe, nearest

SIZES = {
    "inputs": limits.WIDTH,
    "outputs": limits.WIDTH,
    "neurons": limits.NEURONS,
    "dim": limits.WIDTH,
}
CHOICES: dict[str, tuple[str | None, ...]] = {
    "kind": ("classifier",),
    "metric": get_args(Metric),
    "kernel": get_args(Kernel),
    "activation": (*get_args(Activation), None),
}
SWITCHES = ("normalized", "projection", "head")
KEYS = (*SIZES, *CHOICES, *SWITCHES)


def read_config(value: Value, findings: Findings) -> Config | None:
    """The config, or None after recording why not."""
    before = len(findings.found)
    if not isinstance(value, dict):
        findings.add(f"{describe(value)}, not a dict", "config")
        return None
    named = {f"config.{key}": entry for key, entry in value.items()}
    names = [f"config.{key}" for key in KEYS]
    findings.keys(named, names, names)
    for key in KEYS:
        if key in value:
            _check_entry(key, value[key], findings)
    if len(findings.found) == before:
        _check_together(value, findings)
    if len(findings.found) > before:
        return None
    return Config(**cast(dict[str, Any], value))


def _check_entry(key: str, value: Value, findings: Findings) -> None:
    where = f"config.{key}"
    if key in SIZES and not (type(value) is int and 1 <= value <= SIZES[key]):
        findings.add(f"{describe(value)} is not a whole number from 1 to {SIZES[key]}", where)
    if key in SWITCHES and not isinstance(value, bool):
        findings.add(f"{describe(value)} is not True or False", where)
    if key in CHOICES and not (is_name(value) and value in CHOICES[key]):
        words = [str(choice) for choice in CHOICES[key]]
        hint = nearest(value if isinstance(value, str) else "", words)
        findings.add(f"{describe(value)} is not a known {key}", where, hint=hint)


def is_name(value: Value) -> bool:
    """True for what may stand where a choice is named."""
    return value is None or isinstance(value, str)


def _check_together(value: Mapping[str, Value], findings: Findings) -> None:
    """Entries that are right alone and wrong together."""
    check_kernel(value, findings)
    if not value["projection"] and value["dim"] != value["inputs"]:
        findings.add(
            f"{value['dim']} differs from inputs {value['inputs']} with no projection", "config.dim"
        )


def check_kernel(config: Mapping[str, Value], findings: Findings) -> None:
    """``kernel``, ``activation`` and ``normalized`` of a classifier's or language model's field."""
    radial, activation = config["kernel"] == "radial", config["activation"]
    if radial and activation is None:
        findings.add("kernel 'radial' needs 'relu' or 'gelu'", "config.activation")
    if not radial and activation is not None:
        findings.add(f"kernel '{config['kernel']}' has none", "config.activation", hint="use None")
    if radial and config["normalized"]:
        findings.add("kernel 'radial' cannot be normalized", "config.normalized")


def _is_plain_number(value: Value) -> bool:
    """A finite float, or an int of at most 64 bits."""
    if isinstance(value, int):
        return value.bit_length() < 64
    return isinstance(value, float) and math.isfinite(value)


def read_metadata(value: Value, findings: Findings) -> dict[str, str | int | float]:
    """Names and plain values; they are carried to reports and never into generated code."""
    if not isinstance(value, dict):
        findings.add(f"{describe(value)}, not a dict", "metadata")
        return {}
    plain = {k: v for k, v in value.items() if type(v) in (str, int, float)}
    for key, entry in value.items():
        if key not in plain:
            findings.add(f"{describe(entry)} is not a string or a number", f"metadata.{key}")
        elif not isinstance(entry, str) and not _is_plain_number(entry):
            findings.add(
                f"{describe(entry)[:40]} is not a finite number of 64 bits", f"metadata.{key}"
            )
    size = len(json.dumps(plain))
    if size > limits.METADATA_CHARS:
        findings.add(f"{size} characters as JSON, more than {limits.METADATA_CHARS}", "metadata")
    return cast(dict[str, str | int | float], plain)
