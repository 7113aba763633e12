"""Our own layout, version 1, of a language model: config, tensors and vocabulary, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

import numpy as np

from crystalc.frontend import limits
from crystalc.frontend.config import CHOICES, check_kernel, is_name, read_metadata
from crystalc.frontend.parameters import check_elements, check_temperature, has_type
from crystalc.frontend.tree import Array, Findings, Tree, Value, describe, nearest
from crystalc.frontend.vocabulary import read_vocabulary
from crystalc.language import (
    Kind,
    LanguageConfig,
    LanguageModel,
    optional_parameters,
    parameters,
)

KINDS = get_args(Kind)
KEYS = ("format", "version", "config", "state_dict", "vocabulary", "metadata")
SIZES = {
    "vocabulary": (1, limits.VOCABULARY),
    "dim": (1, limits.DIM),
    "context": (1, limits.CONTEXT),
    "heads": (1, limits.DIM),
    "ffn": (0, limits.WIDTH),
}
NAMES = ("metric", "kernel", "activation")
CONFIG_KEYS = ("kind", *SIZES, "neurons", *NAMES, "normalized", "epsilon")


def is_language(tree: Tree) -> bool:
    """True where the config says that this is a language model."""
    config = tree.get("config")
    kind = config.get("kind") if isinstance(config, dict) else None
    return isinstance(kind, str) and kind in KINDS


def read_language(tree: Tree, source: str) -> LanguageModel:
    """The model, or CompileError with everything that is wrong with it."""
    findings = Findings()
    findings.keys(tree, ("config", "state_dict"), KEYS)
    config = _read_config(cast(Tree, tree["config"]), findings)
    metadata = read_metadata(tree.get("metadata", {}), findings)
    state = tree.get("state_dict", {})
    if not isinstance(state, dict):
        findings.add(f"{describe(state)}, not a dict", "state_dict")
    if config is None or not isinstance(state, dict):
        findings.stop_if_any()
        raise AssertionError("a missing config is a finding")
    tensors = _check_tensors(config, state, findings)
    vocabulary = read_vocabulary(tree.get("vocabulary"), config.vocabulary, findings)
    findings.stop_if_any()
    return LanguageModel(config, tensors, vocabulary, metadata, source)


def _read_config(given: Tree, findings: Findings) -> LanguageConfig | None:
    before = len(findings.found)
    names = [f"config.{key}" for key in CONFIG_KEYS]
    findings.keys([f"config.{key}" for key in given], names, names)
    for key in CONFIG_KEYS:
        if key in given:
            _check_entry(key, given[key], findings)
    if len(findings.found) == before:
        _check_together(given, findings)
    if len(findings.found) > before:
        return None
    values = cast(dict[str, Any], given)
    return LanguageConfig(**{**values, "neurons": tuple(values["neurons"])})


def _check_entry(key: str, value: Value, findings: Findings) -> None:
    where = f"config.{key}"
    if key in SIZES:
        low, high = SIZES[key]
        if not (type(value) is int and low <= value <= high):
            text = f"{describe(value)} is not a whole number from {low} to {high}"
            findings.add(text, where)
    elif key in NAMES and not (is_name(value) and value in CHOICES[key]):
        words = [str(choice) for choice in CHOICES[key]]
        hint = nearest(value if isinstance(value, str) else "", words)
        findings.add(f"{describe(value)} is not a known {key}", where, hint=hint)
    elif key == "normalized" and not isinstance(value, bool):
        findings.add(f"{describe(value)} is not True or False", where)
    elif key == "epsilon" and not (isinstance(value, float) and 0 < value < 1):
        findings.add(f"{describe(value)} is not between 0 and 1", where)
    elif key == "neurons":
        _check_neurons(value, findings)


def _check_neurons(value: Value, findings: Findings) -> None:
    """One count for each block."""
    counts = value if isinstance(value, list) else []
    if not 1 <= len(counts) <= limits.BLOCKS:
        text = f"{describe(value)} is not a list of 1 to {limits.BLOCKS} counts, one for each block"
        findings.add(text, "config.neurons")
    for block, count in enumerate(counts):
        if not (type(count) is int and 1 <= count <= limits.NEURONS):
            text = f"{describe(count)} is not a whole number from 1 to {limits.NEURONS}"
            findings.add(text, "config.neurons", (block,))


def _check_together(config: Mapping[str, Value], findings: Findings) -> None:
    """Entries that are right alone and wrong together."""
    check_kernel(config, findings)
    dim, heads = cast(int, config["dim"]), cast(int, config["heads"])
    if dim % heads:
        findings.add(f"{heads} does not divide dim {dim}", "config.heads")


def _check_tensors(config: LanguageConfig, given: Tree, findings: Findings) -> dict[str, Array]:
    """The tensors in the order of the model; every problem goes to ``findings``."""
    required, optional = parameters(config), optional_parameters(config)
    shapes = required | optional
    findings.keys(given, required, shapes)
    for key, shape in shapes.items():
        if key in given:
            _check_tensor(key, given[key], shape, config, findings)
    return {k: np.asarray(given[k]) for k in shapes if isinstance(given.get(k), np.ndarray)}


def _check_tensor(
    key: str, value: Value, shape: tuple[int, ...], config: LanguageConfig, findings: Findings
) -> None:
    mask = key.endswith(".frozen")
    if not has_type(key, value, np.bool_ if mask else np.float32, findings):
        return
    assert isinstance(value, np.ndarray)
    if value.shape != shape:
        findings.add(f"shape {list(value.shape)} does not match {list(shape)}", key)
    elif not mask:
        check_elements(key, value, findings)
        if key.endswith(".temperature"):
            check_temperature(key, value, config.kernel, findings)
