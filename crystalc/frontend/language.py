"""Bare language models: token and position embedding, attention, fields, head.

They are read so that they can be inspected; this version lowers classifiers only.
"""

from __future__ import annotations

import re

import numpy as np

from crystalc.checkpoint import Checkpoint, Config
from crystalc.frontend.parameters import check_elements, has_type
from crystalc.frontend.tree import Array, Findings, Tree, Value

# The last part of each key, after any prefix that ends in a dot (blocks.3.attention.).
KEYS = (
    "token_embed.weight",
    "pos_embed.weight",
    "q_proj.weight",
    "k_proj.weight",
    "v_proj.weight",
    "o_proj.weight",
    "out_proj.weight",
    "positions",
    "values",
    "temperature",
    "frozen",
    "frozen_mask",
    "ln.weight",
    "norm.weight",
    "ffn.0.weight",
    "mlp.0.weight",
    "input_proj.weight",
    "output_proj.weight",
    "head.weight",
    "head.bias",
    "tril",
    "causal_mask",
)
_LINEAR = r"(token_embed|pos_embed|[qkvo]_proj|out_proj|input_proj|output_proj|head)"
_NORM = r"(ln|norm|layer_norm)[a-z0-9_]*"
_FORWARD = r"(ffn|ff|mlp)\.[a-z0-9_.]+"
KNOWN = re.compile(
    rf"(?:[a-z0-9_]+\.)*?(?:(?:{_LINEAR}|{_NORM}|{_FORWARD})\.(?:weight|bias)"
    r"|positions|values|temperature|frozen|frozen_mask|tril|causal_mask)"
)
LONGEST = 200  # characters of a key: matching takes time in its square
MASKS = ("frozen", "frozen_mask", "tril", "causal_mask")


def is_language_model(state: Tree) -> bool:
    """True where tokens are embedded."""
    return any(last(key, 2) == "token_embed.weight" for key in state)


def is_mask(array: Array) -> bool:
    """True where all is 0 or 1, whatever the type: training scripts keep masks as they like."""
    return bool(np.isin(array, (0, 1)).all())


def last(key: str, parts: int = 1) -> str:
    """The last dotted parts of a key."""
    return ".".join(key.split(".")[-parts:])


def read_language_model(
    state: Tree, metadata: dict[str, str | int | float], source: str, findings: Findings
) -> Checkpoint:
    """A checkpoint of kind "causal_lm" (with attention) or "flat_lm"; keys stay the file's own."""
    tensors = {key: _checked(key, value, findings) for key, value in state.items()}
    dim = _dim(tensors, findings)
    for key in tensors:
        _check_embedding(key, tensors[key], dim, findings)
    fields = [key for key in tensors if last(key) == "positions"]
    masks = [_field_mask(key, tensors, dim, findings) for key in fields]
    findings.stop_if_any()
    frozen = np.concatenate(masks)
    kept = {k: v for k, v in tensors.items() if v is not None and last(k) not in MASKS}
    kept["field.frozen"] = frozen
    return Checkpoint(_config(kept, dim, frozen.size), kept, None, metadata, source)


def _checked(key: str, value: Value, findings: Findings) -> Array | None:
    """The array after checks that need no other tensor; None with a finding."""
    if len(key) > LONGEST or not KNOWN.fullmatch(key):
        findings.unknown(key, KEYS, like=last(key[-LONGEST:], 2))
        return None
    if last(key) in MASKS:
        return value if isinstance(value, np.ndarray) else None
    if not has_type(key, value, np.float32, findings):
        return None
    array = np.asarray(value)
    if array.size == 0:
        findings.add(f"shape {list(array.shape)} has no elements", key)
        return None
    check_elements(key, array, findings)
    return array


def _dim(tensors: dict[str, Array | None], findings: Findings) -> int:
    """Columns of the token embedding."""
    key = next(key for key in tensors if last(key, 2) == "token_embed.weight")
    array = tensors[key]
    if array is None or array.ndim != 2:
        findings.add("not a matrix [vocabulary, dim]", key)
        return 0
    return int(array.shape[1])


def _check_embedding(key: str, array: Array | None, dim: int, findings: Findings) -> None:
    """Embeddings and positions have ``dim`` columns."""
    if last(key, 2) != "pos_embed.weight" and last(key) != "positions":
        return
    if dim and array is not None and (array.ndim != 2 or array.shape[1] != dim):
        findings.add(f"shape {list(array.shape)} does not match [rows, dim {dim}]", key)


def _field_mask(key: str, tensors: dict[str, Array | None], dim: int, findings: Findings) -> Array:
    """Frozen flags of the field that has its positions at ``key`` (all, where none are kept)."""
    prefix = key.removesuffix("positions")
    positions = tensors[key]
    neurons = 0 if positions is None else len(positions)
    for part in ("values", "temperature"):
        array = tensors.get(prefix + part)
        if prefix + part not in tensors:
            findings.add("missing", prefix + part)
        elif array is not None and array.size != neurons and len(np.atleast_1d(array)) != neurons:
            shape = list(array.shape)
            findings.add(f"shape {shape} does not match [neurons {neurons}]", prefix + part)
    for name in ("frozen", "frozen_mask"):
        mask = tensors.get(prefix + name)
        if mask is None:
            continue
        if mask.shape != (neurons,) or not is_mask(mask):
            findings.add(f"not {neurons} flags", prefix + name)
        return mask.reshape(-1).astype(np.bool_)
    return np.ones(neurons, np.bool_)


def _config(tensors: dict[str, Array], dim: int, neurons: int) -> Config:
    names = {last(key, 2) for key in tensors}
    vocabulary = next(v for k, v in tensors.items() if last(k, 2) == "token_embed.weight")
    heads = [v for k, v in tensors.items() if last(k, 2) == "head.weight"]
    return Config(
        inputs=len(vocabulary),
        outputs=len(heads[0]) if heads else len(vocabulary),
        neurons=neurons,
        dim=dim,
        kernel="laplace",
        activation=None,
        head=bool(heads),
        kind="causal_lm" if "q_proj.weight" in names else "flat_lm",
    )
