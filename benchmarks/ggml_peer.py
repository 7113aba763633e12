"""ggml as a peer of the C runtime: the matrices of one token, in one warm graph on one thread.

ggml's source comes with an sdist of llama-cpp-python; it is built once into ``build/ggml`` with its
makers' flags for this machine. Rows are repacked where ggml does that (x86: q4_0, not q8_0).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "ggml"
NAME, VERSION = "llama-cpp-python", "0.3.36"
PART = "/vendor/llama.cpp/ggml/"
FLAGS = ("-DCMAKE_BUILD_TYPE=Release",)
TYPES = {"f32": 0, "q4_0": 2, "q8_0": 8}
WORST = {"f32": 1e-5, "q8_0": 0.02, "q4_0": 0.15}
"""rms error over rms of the products: far from it, the matrices are others."""
ROWS, COLUMNS = 8, 32
"""ggml wants whole groups of columns, and of rows to repack them."""


class Absent(Exception):
    """Why ggml was not run."""


def _call(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
        errors = [line for line in said if "error" in line.lower()]
        raise Absent(f"{what}: {(errors or said[-1:])[0].strip()[:160]}")


def _source(place: Path) -> Path:
    """ggml's folder out of the sdist."""
    if not (place / "ggml").is_dir():
        with tempfile.TemporaryDirectory(dir=place) as room:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            named = ["--no-binary", NAME, "-d", room, f"{NAME}=={VERSION}"]
            _call([*pip, *named], "download of its source")
            archive = next(Path(room).glob("*.tar.gz"), None)
            if archive is None:
                raise Absent(f"{NAME} {VERSION} came without its source")
            with tarfile.open(archive) as tar:
                kept = [m for m in tar if PART in m.name and m.isfile()]
                tar.extractall(room, kept, filter="data")
            (found,) = Path(room).glob(f"*{PART}")
            found.rename(place / "ggml")
    return place / "ggml"


def _library() -> Any:
    """The driver; built at the first call, in some minutes. Raises Absent."""
    beside = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    cmake = shutil.which("cmake", path=os.pathsep.join(beside))
    if cmake is None:
        raise Absent("cmake is not installed")
    BUILD.mkdir(parents=True, exist_ok=True)
    source, made = _source(BUILD), BUILD / "made"
    configure = [cmake, "-S", str(HERE / "ggml"), "-B", str(made), *FLAGS]
    _call([*configure, f"-DGGML_SOURCE={source}"], "cmake")
    _call([cmake, "--build", str(made), "-j", str(os.cpu_count() or 1)], "build")
    return ctypes.CDLL(str(made / "libggml_driver.so"))


def _whole(matrix: Array) -> Array:
    """Zeros added up to whole groups."""
    rows, columns = (-n % of for n, of in zip(matrix.shape, (ROWS, COLUMNS), strict=True))
    return np.ascontiguousarray(np.pad(matrix, ((0, rows), (0, columns))), np.float32)


class Chain:
    """Matrices [rows, columns] in one type of ggml's."""

    def __init__(self, library: Any, kind: str, matrices: Sequence[Array]) -> None:
        self.library, self.kind = library, kind
        self.matrices = [_whole(m) for m in matrices]
        count, ints = len(matrices), ctypes.c_int32 * len(matrices)
        shapes = zip(*(m.shape for m in self.matrices), strict=True)
        pointers = (ctypes.c_void_p * count)(*(m.ctypes.data for m in self.matrices))
        new = library.ggml_driver_new
        new.restype = ctypes.c_void_p
        sizes = [ints(*s) for s in shapes]
        self.handle = ctypes.c_void_p(new(count, ints(*[TYPES[kind]] * count), *sizes, pointers))
        self.error = self._check()

    def _check(self) -> float:
        """Largest rms error of a product over its rms, against float64."""
        rng = np.random.default_rng(1)
        inputs = [rng.standard_normal(m.shape[1]).astype(np.float32) for m in self.matrices]
        x, y = np.concatenate(inputs), np.zeros(sum(len(m) for m in self.matrices), np.float32)
        at = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]
        self.library.ggml_driver_run(self.handle, *at)
        found = np.split(y, np.cumsum([len(m) for m in self.matrices])[:-1])
        worst = 0.0
        for m, v, f in zip(self.matrices, inputs, found, strict=True):
            wanted = m.astype(np.float64) @ v
            worst = max(worst, float(np.sqrt(np.square(f - wanted).mean() / np.var(wanted))))
        if not worst < WORST[self.kind]:
            raise ValueError(f"ggml's {self.kind} products are {worst:.1%} off")
        return worst

    def seconds(self) -> float:
        """All products of one token."""
        spent = self.library.ggml_driver_seconds
        spent.restype = ctypes.c_double
        return float(spent(self.handle, 100))

    def about(self) -> dict[str, Any]:
        """Error of the products, and the memory that ggml chose for each matrix."""
        name = self.library.ggml_driver_buffer
        name.restype = ctypes.c_char_p
        names = [name(self.handle, i).decode() for i in range(len(self.matrices))]
        return {"error": round(self.error, 6), "buffers": sorted(set(names))}


def chains(kinds: Sequence[str], matrices: Sequence[Array]) -> tuple[dict[str, Chain], Any]:
    """A chain for each type, and what ggml says of itself; or none, and why."""
    try:
        library = _library()
    except Absent as reason:
        return {}, f"not run: {reason}"
    made = {kind: Chain(library, kind, matrices) for kind in kinds}
    for name in ("version", "features"):
        getattr(library, f"ggml_driver_{name}").restype = ctypes.c_char_p
    return made, {
        "version": library.ggml_driver_version().decode(),
        "source": f"{NAME} {VERSION}",
        "flags": "GGML_NATIVE=ON GGML_OPENMP=OFF GGML_LLAMAFILE=ON, Release",
        "features": library.ggml_driver_features().decode(),
        **{kind: chain.about() for kind, chain in made.items()},
    }
