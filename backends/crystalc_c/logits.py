"""A process of its own that asks an emitted language model for logits.

    python -m crystalc_c.logits LIBRARY PREFIX IDS.npy LOGITS.npy

IDS are int64 [B, T]; each row starts with an empty context. LOGITS are float32 [B, T, V].
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np
from numpy.typing import NDArray


def logits(library: str, prefix: str, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """[B, T, V] of the model inside ``library``. Raises SystemExit where it does not load."""
    found = ctypes.CDLL(library)
    model = ctypes.c_void_p()
    getattr(found, f"{prefix}_logits").restype = ctypes.POINTER(ctypes.c_float)
    verdict = getattr(found, f"{prefix}_embedded")(ctypes.byref(model))
    if verdict:
        sys.exit(f"the model inside is refused with code {verdict}")
    size = getattr(found, f"{prefix}_vocabulary")(model)
    out = np.empty((*ids.shape, size), np.float32)
    for b, row in enumerate(ids.tolist()):
        getattr(found, f"{prefix}_reset")(model)
        for t, token in enumerate(row):
            getattr(found, f"{prefix}_push")(model, token)
            made = getattr(found, f"{prefix}_logits")(model)
            out[b, t] = np.ctypeslib.as_array(made, (size,))
    getattr(found, f"{prefix}_free")(model)
    return out


if __name__ == "__main__":
    np.save(sys.argv[4], logits(sys.argv[1], sys.argv[2], np.load(sys.argv[3])))
