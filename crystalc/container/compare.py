"""A container beside the checkpoint it was made from: the same model, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.container import Info
from crystalc.container.feedback import REACH
from crystalc.container.kinds import BY_ROW, Dtype, Part
from crystalc.container.quantize import quantize, spread
from crystalc.diagnostics import refuse
from crystalc.language import LanguageConfig, LanguageModel
from crystalc.passes.prune_vocab import prune_vocab

Array = NDArray[Any]

MOST = REACH + 0.5 + 3 * 2.0**-9
"""Steps: carried, rounded to nearest, and on the way back scale, product and sum in float32, each
rounded to 2^-24 of 2^15 steps. (A q4 group whose range is cut at both ends stays below.)"""


@dataclass(frozen=True)
class TensorError:
    """``largest``: absolute difference; ``steps``: the same in steps of the stored numbers."""

    key: str
    dtype: Dtype
    largest: float
    steps: float

    @property
    def ok(self) -> bool:
        """Whether this is rounding and no more."""
        return self.steps <= MOST


def tensor_errors(
    reference: LanguageModel, converted: LanguageModel, info: Info
) -> list[TensorError]:
    """One entry for each tensor of two models that ``matched`` has found alike in shape.

    ``info``: of the file that ``converted`` was read from.
    """
    types = {e.key: Dtype(e.dtype) for e in info.entries if e.known and e.part == Part.VALUES}
    return [_error(k, v, converted.tensors[k], types[k]) for k, v in reference.tensors.items()]


def _error(key: str, wanted: Array, got: Array, dtype: Dtype) -> TensorError:
    error = np.abs(wanted.astype(np.float64) - got.astype(np.float64))
    step = _step(wanted, dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(error == 0, 0.0, error / step)
    return TensorError(key, dtype, float(error.max()), float(steps.max()))


def _step(tensor: Array, dtype: Dtype) -> Any:
    """Distance of neighbouring values, for each element; 0 where all are stored as they are."""
    stored = quantize(tensor, dtype)
    if dtype in BY_ROW:
        return stored.parts[Part.SCALES].astype(np.float64)[:, None]
    if dtype == Dtype.Q4:
        scales, minima = (
            spread(stored.parts[p], tensor.shape[1]).astype(np.float64)
            for p in (Part.SCALES, Part.MINIMA)
        )
        return scales + np.abs(minima) * 2.0**-10  # a minimum is rounded to float16
    return stored.scale


def matched(reference: LanguageModel, converted: LanguageModel) -> LanguageModel:
    """``reference`` with the tokens of ``converted``, which may have been pruned.

    Raises CompileError where the two do not have the same config, tensors and tokens.
    """
    if reference.config.vocabulary != converted.config.vocabulary:
        reference = prune_vocab(reference, _rows(reference, converted))
    wanted, got = _plain(reference.config), _plain(converted.config)
    for name, value in wanted.items():
        if value != got[name]:
            raise refuse(f"{got[name]}, but the checkpoint has {value}", f"config.{name}")
    if _tokens(reference) != _tokens(converted):
        raise refuse("other tokens than the checkpoint's", "vocabulary")
    different = reference.tensors.keys() ^ converted.tensors.keys()
    if different:
        raise refuse("only one of the two has it", min(different))
    return reference


def _rows(reference: LanguageModel, converted: LanguageModel) -> Array:
    """Ids in the checkpoint of the tokens of a pruned container."""
    before, after = _tokens(reference), _tokens(converted)
    if not before or not after:
        raise refuse("one model is pruned, and without tokens nobody knows how", "vocabulary")
    ids = {token: number for number, token in reversed(list(enumerate(before)))}
    missing = [token for token in after if token not in ids]
    if missing:
        raise refuse(f"no token of the checkpoint has the bytes {missing[0]!r}", "vocabulary")
    return np.array([ids[token] for token in after])


def _tokens(model: LanguageModel) -> tuple[bytes, ...]:
    v = model.vocabulary
    return () if v is None else v.tokens[: v.size]


def _plain(config: LanguageConfig) -> dict[str, Any]:
    """The config as a container can say it."""
    heads = config.heads if config.kind == "causal_lm" else 1
    return replace(config, heads=heads, epsilon=float(np.float32(config.epsilon))).to_dict()
