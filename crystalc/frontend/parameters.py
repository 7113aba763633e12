"""The tensors of a classifier: which there are, their shapes, and that every element is sane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.checkpoint import Config
from crystalc.frontend import limits
from crystalc.frontend.tree import Array, Findings, Tree, Value, describe

Dims = tuple[tuple[str, int], ...]  # a name and a size for each axis

FIELD = ("field.positions", "field.values", "field.temperature", "field.frozen")
PROJECTION = ("projection.weight", "projection.bias")
HEAD = ("head.weight", "head.bias")
KEYS = (*FIELD, "field.radius", *PROJECTION, *HEAD, "bias")


@dataclass(frozen=True)
class Presence:
    """Keys that a config demands and keys that it has no place for, with the reason."""

    required: tuple[str, ...]
    useless: Mapping[str, str]


def presence(config: Config) -> Presence:
    """What the config says about each key of `KEYS`; those in neither part are optional."""
    required, useless = list(FIELD), {}
    parts = (
        (config.kernel == "radial", ("field.radius",), f"kernel '{config.kernel}' has no radius"),
        (config.projection, PROJECTION, "config.projection is False"),
        (config.head, HEAD, "config.head is False"),
    )
    for wanted, keys, reason in parts:
        if wanted:
            required += keys
        else:
            useless.update(dict.fromkeys(keys, reason))
    if config.head:
        useless["bias"] = "config.head is True: the head has the bias"
    return Presence(tuple(required), useless)


def check_tensors(config: Config, given: Tree, findings: Findings) -> dict[str, Array]:
    """The tensors in a fixed order of keys; every problem goes to ``findings``."""
    wanted = presence(config)
    findings.keys(given, wanted.required, KEYS)
    shapes = _shapes(config, given)
    for key in KEYS:
        if key in given and key in wanted.useless:
            findings.add("unexpected key", key, hint=wanted.useless[key])
        elif key in given:
            _check_tensor(key, given[key], shapes[key], config, findings)
    return {key: np.asarray(given[key]) for key in KEYS if isinstance(given.get(key), np.ndarray)}


def _shapes(config: Config, given: Tree) -> dict[str, Dims]:
    """Expected shape of each key; the width of the field's values is free before a head."""
    inputs, outputs = ("inputs", config.inputs), ("outputs", config.outputs)
    neurons, dim = ("neurons", config.neurons), ("dim", config.dim)
    width = ("width", _width(config, given))
    return {
        "field.positions": (neurons, dim),
        "field.values": (neurons, width if config.head else outputs),
        "field.temperature": (neurons,),
        "field.frozen": (neurons,),
        "field.radius": (neurons,),
        "projection.weight": (dim, inputs),
        "projection.bias": (dim,),
        "head.weight": (outputs, width),
        "head.bias": (outputs,),
        "bias": (outputs,),
    }


def _width(config: Config, given: Tree) -> int:
    values = given.get("field.values")
    two_axes = isinstance(values, np.ndarray) and values.ndim == 2
    return int(values.shape[1]) if two_axes and isinstance(values, np.ndarray) else config.outputs


def _check_tensor(key: str, value: Value, dims: Dims, config: Config, found: Findings) -> None:
    if not has_type(key, value, np.bool_ if key == "field.frozen" else np.float32, found):
        return
    assert isinstance(value, np.ndarray)
    if value.shape != tuple(size for _, size in dims) or value.size == 0:
        wanted = ", ".join(f"{name} {size}" for name, size in dims)
        found.add(f"shape {list(value.shape)} does not match [{wanted}]", key)
    elif key != "field.frozen":
        check_elements(key, value, found)
        if key == "field.temperature":
            check_temperature(key, value, config.kernel, found)


def has_type(key: str, value: Value, dtype: type[np.generic], findings: Findings) -> bool:
    """True for an array of ``dtype``; else the finding says what it is."""
    if isinstance(value, np.ndarray) and value.dtype == dtype:
        return True
    name = np.dtype(dtype).name
    hint = "tensor.float() converts it" if name == "float32" else "tensor.bool() converts it"
    tensor = describe(value).endswith("tensor")
    findings.add(f"{describe(value)}, not a {name} tensor", key, hint=hint if tensor else "")
    return False


def check_elements(key: str, array: Array, findings: Findings) -> None:
    """Every element is finite and of a magnitude that float32 arithmetic can carry."""
    bad = ~(np.abs(array) <= limits.MAGNITUDE)  # true for NaN too
    index = first(bad)
    if index is None:
        return
    value = float(array[index])
    limit = f"beyond +-2^{int(np.log2(limits.MAGNITUDE))}"
    more = int(bad.sum()) - 1
    reason = limit if np.isfinite(value) else "not a finite number"
    findings.add(f"{value:g} is {reason}" + (f" ({more} more)" if more else ""), key, index)


def check_temperature(key: str, array: NDArray[Any], kernel: str, findings: Findings) -> None:
    """1/T (1/T^2 for gauss) must stay within the magnitude limit; laplace adds 0.1 to |T|."""
    size = np.abs(array.astype(np.float64))
    power = 2.0 if kernel == "gauss" else 1.0
    top = limits.MAGNITUDE ** (1 / power)
    high, low = first((size > top) & (size <= limits.MAGNITUDE)), first(size < 1 / top)
    if high is not None:
        findings.add(f"{array[high]:g} is beyond +-{top:g}", key, high)
    if low is not None and kernel != "laplace":
        message = f"{array[low]:g} is too near 0: kernel '{kernel}' divides by it"
        findings.add(message, key, low)


def first(mask: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Index of the first True element in row-major order, None without one."""
    flat = mask.reshape(-1)
    position = int(flat.argmax()) if flat.size else 0
    if not flat.size or not flat[position]:
        return None
    return tuple(int(i) for i in np.unravel_index(position, mask.shape))


def check_calibration(value: Value, config: Config, findings: Findings) -> Array | None:
    """Samples [n, inputs], or None where the file has none."""
    if value is None or not has_type("calibration", value, np.float32, findings):
        return None
    assert isinstance(value, np.ndarray)
    rows = value.shape[0] if value.ndim == 2 else 0
    if value.ndim != 2 or value.shape[1] != config.inputs or not 1 <= rows <= limits.SAMPLES:
        wanted = f"[1 to {limits.SAMPLES} samples, inputs {config.inputs}]"
        findings.add(f"shape {list(value.shape)} does not match {wanted}", "calibration")
        return None
    check_elements("calibration", value, findings)
    return value
