"""Layouts without a config: a state_dict alone, or wrapped by a training script.

What the config would say follows from the keys and shapes. The kernel is the one that such files
were trained with: laplace on the l2 distance, one temperature per neuron.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crystalc.checkpoint import Checkpoint, Config
from crystalc.diagnostics import refuse
from crystalc.frontend.config import read_metadata
from crystalc.frontend.language import is_language_model, is_mask, read_language_model
from crystalc.frontend.parameters import check_tensors
from crystalc.frontend.tree import Findings, Tree, Value, describe

WRAPPERS = ("model_state_dict", "state_dict", "model")
MODULE_PREFIXES = ("_orig_mod.", "module.", "model.")
FIELD_PREFIXES = ("crystal.", "geometric.", "field.")
# What training scripts keep beside the model: known, and of no use to a compiler.
TRAINING_STATE = (
    *("optimizer", "optimizer_state_dict", "scheduler", "scheduler_state_dict"),
    *("scaler", "scaler_state_dict", "rng_state", "config", "args", "metrics"),
    *("history", "losses", "train_losses", "val_losses", "growth_history", "freeze_history"),
)

ALIASES = {
    "positions": "field.positions",
    "values": "field.values",
    "temperature": "field.temperature",
    "frozen": "field.frozen",
    "frozen_mask": "field.frozen",
    "input_proj.weight": "projection.weight",
    "input_proj.bias": "projection.bias",
    "output_proj.weight": "head.weight",
    "output_proj.bias": "head.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
    "bias": "bias",
}
SHORT_NAMES = {ours: ours.removeprefix("field.") for ours in ALIASES.values()}
NEEDS_CONFIG = "only a file with a config says which kernel that is: see docs/checkpoints.md"


def read_bare(tree: Tree, source: str, header: dict[str, str] | None = None) -> Checkpoint:
    """The checkpoint, or CompileError with everything that is wrong with it."""
    findings = Findings()
    state, metadata = _unwrap(tree, findings)
    metadata |= _siblings({**(header or {})}, findings)
    state = _strip(state)
    if not any(key.rpartition(".")[2] == "positions" for key in state):
        raise _no_crystal(state)
    if is_language_model(state):
        return read_language_model(state, metadata, source, findings)
    return _classifier(state, metadata, source, findings)


def _unwrap(tree: Tree, findings: Findings) -> tuple[Tree, dict[str, str | int | float]]:
    """The state_dict and the plain values beside it; what is neither is a finding."""
    for wrapper in WRAPPERS:
        inner = tree.get(wrapper)
        if isinstance(inner, dict):
            siblings = {key: value for key, value in tree.items() if key != wrapper}
            return inner, _siblings(siblings, findings)
    beside = {k: v for k, v in tree.items() if _is_beside(k, v)}
    state = {key: value for key, value in tree.items() if key not in beside}
    return state, _siblings(beside, findings)


def _is_beside(key: str, value: Value) -> bool:
    """In a dict without wrapper: True for what is no parameter, not even a wrong one."""
    plain = value is None or isinstance(value, str | int | float)
    return key in TRAINING_STATE or (plain and key.rpartition(".")[2] not in ALIASES)


def _siblings(entries: Tree, findings: Findings) -> dict[str, str | int | float]:
    """Numbers and strings are metadata (epoch, loss); training state is left; else a finding.

    Scripts write infinity before the first best loss: that is kept as text.
    """
    metadata: Tree = {}
    for key, value in entries.items():
        if isinstance(value, float) and not math.isfinite(value):
            metadata[key] = str(value)
        elif isinstance(value, str | int | float):
            metadata[key] = int(value) if isinstance(value, bool) else value
        elif value is not None and key not in TRAINING_STATE:
            findings.unknown(key, (*WRAPPERS, *TRAINING_STATE))
    return read_metadata(metadata, findings)


def _strip(state: Tree) -> Tree:
    """The same less what wrappers such as DataParallel put in front of every key."""
    for prefix in MODULE_PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _no_crystal(state: Tree) -> Exception:
    shown = ", ".join(list(state)[:6]) or "none"
    return refuse("no crystal in this file: no key ends in 'positions'", hint=f"its keys: {shown}")


@dataclass(frozen=True)
class _Named:
    """Tensors by our keys, and the file's key for each of ours."""

    tensors: Tree
    names: dict[str, str]


def _canonical(state: Tree, findings: Findings) -> _Named:
    tensors: Tree = {}
    names: dict[str, str] = {}
    for key, value in state.items():
        ours = ALIASES.get(_without_prefix(key))
        if ours is None and key.endswith("radius"):
            findings.add("unknown key", key, hint=NEEDS_CONFIG)
        elif ours is None:
            findings.unknown(key, ALIASES)
        elif ours in tensors:
            findings.add(f"means the same as '{names[ours]}'", key, hint="keep one of them")
        else:
            tensors[ours], names[ours] = value, key
    return _Named(tensors, names)


def _without_prefix(key: str) -> str:
    for prefix in FIELD_PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _classifier(
    state: Tree, metadata: dict[str, str | int | float], source: str, findings: Findings
) -> Checkpoint:
    named = _canonical(state, findings)
    findings.names = {**SHORT_NAMES, **named.names}
    tensors = named.tensors
    config = _config_from_shapes(tensors, findings)
    if config is None:
        findings.stop_if_any()
        raise AssertionError("no config without a finding")
    _complete(tensors, config, findings)
    checked = check_tensors(config, tensors, findings)
    findings.stop_if_any()
    return Checkpoint(config, checked, None, metadata, source)


def _config_from_shapes(tensors: Tree, findings: Findings) -> Config | None:
    """Sizes from the field (and from the projection and head where there are such)."""
    before = len(findings.found)
    positions = _matrix("field.positions", tensors, findings)
    values = _matrix("field.values", tensors, findings)
    wide = {key: key in tensors for key in ("projection.weight", "head.weight")}
    first = _matrix("projection.weight", tensors, findings) if wide["projection.weight"] else None
    last = _matrix("head.weight", tensors, findings) if wide["head.weight"] else None
    if len(findings.found) > before or positions is None or values is None:
        return None
    return Config(
        inputs=positions[1] if first is None else first[1],
        outputs=values[1] if last is None else last[0],
        neurons=positions[0],
        dim=positions[1],
        kernel="laplace",
        activation=None,
        projection=first is not None,
        head=last is not None,
    )


def _matrix(key: str, tensors: Tree, findings: Findings) -> tuple[int, int] | None:
    value = tensors.get(key)
    if key not in tensors:
        findings.add("missing", key)
    elif not isinstance(value, np.ndarray):
        findings.add(f"{describe(value)}, not a float32 tensor", key)
    elif value.ndim != 2 or 0 in value.shape:
        findings.add(f"shape {list(value.shape)} does not match [rows, columns]", key)
    else:
        return int(value.shape[0]), int(value.shape[1])
    return None


def _complete(tensors: Tree, config: Config, findings: Findings) -> None:
    """One temperature for all neurons is spread; no mask means that training is over."""
    temperature = tensors.get("field.temperature")
    if isinstance(temperature, np.ndarray) and temperature.size in (1, config.neurons):
        spread = np.broadcast_to(temperature.reshape(-1), (config.neurons,))
        tensors["field.temperature"] = np.ascontiguousarray(spread)
    frozen = tensors.setdefault("field.frozen", np.ones(config.neurons, np.bool_))
    if isinstance(frozen, np.ndarray) and not is_mask(frozen):
        findings.add("holds other numbers than 0 and 1", "field.frozen")
    if isinstance(frozen, np.ndarray):
        tensors["field.frozen"] = frozen.astype(np.bool_)
    for part in ("projection", "head"):
        if f"{part}.weight" in tensors and f"{part}.bias" not in tensors:
            size = config.dim if part == "projection" else config.outputs
            tensors[f"{part}.bias"] = np.zeros(size, np.float32)
