"""A language model as one C program: emitted around a container, built, asked for logits."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc_c.build import find_compiler, run
from crystalc_c.runtime import LIBRARY_FLAGS, units


def execute_language(
    build: Path, prefix: str, compiler: str, cflags: str, ids: NDArray[Any]
) -> NDArray[np.float32]:
    """Logits [B, T, V] of the program in ``build`` for token ids [B, T]. Raises ToolError."""
    flags = shlex.split(cflags) if cflags else LIBRARY_FLAGS[:2]
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        folder = Path(place)
        made = folder / "model.so"
        shared = LIBRARY_FLAGS[2:]
        run([*find_compiler(compiler), *flags, *shared, *units(prefix), "-o", str(made)], build)
        np.save(folder / "ids.npy", np.asarray(ids, np.int64))
        here = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
        asked = [str(made), prefix, "ids.npy", "logits.npy"]
        path = f"PYTHONPATH={here}"
        run(["env", path, sys.executable, "-m", "crystalc_c.logits", *asked], folder)
        return np.asarray(np.load(folder / "logits.npy", allow_pickle=False))
