"""Run a design as compiled C++ (Yosys's CXXRTL): the engine for very many vectors."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc import tools
from crystalc.diagnostics import ToolError
from crystalc.render import render
from crystalc.tools import first
from crystalc_verilog.chunks import cut
from crystalc_verilog.engine import engine

COMPILERS = ("clang++", "g++")
FLAGS = ("-std=c++14", "-O1", "-w")
STEPS = ("proc", "flatten", "opt_clean", "splitnets -driver", "write_cxxrtl -g0 design.cc")
"""No facts for a debugger, and a register for each word of a bank: both are most of the C++."""

TIMEOUT = 1800.0
PATIENCE = 1_000_000
"""Clocks without a result after which the program gives up."""

SAYS = {3: "it got too few inputs", 4: "nothing comes out"}


@dataclass(frozen=True)
class Context:
    """What ``cxxrtl_main.cc.j2`` may read."""

    header: Sequence[str]
    mangled: str
    input_words: int
    output_words: int
    patience: int


class Program:
    """A design as a program; a context manager, whose folder lives as long as it is open.

    ``place``: that folder. ``seconds``: what the last ``run`` took, without its build. Raises
    ToolError.
    """

    def __init__(self, build: Path, name: str) -> None:
        self.build, self.name = build.resolve(), name
        self.facts: Mapping[str, Any] = json.loads((build / f"{name}.json").read_text())
        self.seconds = 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="crystalc-")
        self.place = Path(self._folder.name)

    def __enter__(self) -> Program:
        try:
            self._translate(self.place)
            self._compile(self.place)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def _translate(self, place: Path) -> None:
        """design.cc, and the main program beside it."""
        files = [self.build / "crystal_cells.v", self.build / f"{self.name}.v"]
        quoted = " ".join(f'"{path}"' for path in files)
        script = [f"read_verilog {quoted}", f"hierarchy -top {self.name}", *STEPS]
        engine("pyosys").run(script, place, TIMEOUT)
        code = place / "design.cc"
        code.write_text(cut(code.read_text()))
        sizes = [_words(self.facts[end]) for end in ("input", "output")]
        header = ["made by crystalc; do not edit"]
        mangled = self.name.replace("_", "__")
        text = render(
            "verilog/cxxrtl_main.cc.j2", Context(header, mangled, sizes[0], sizes[1], PATIENCE)
        )
        (place / "main.cc").write_text(text)

    def _compile(self, place: Path) -> None:
        compiler = first(COMPILERS)
        if not compiler.path:
            raise ToolError("a C++ compiler is missing", hint="apt install clang, or g++ (slower)")
        command = [compiler.path, *FLAGS, f"-I{_headers()}", "main.cc", "-o", "design"]
        _run(command, place)

    def run(self, inputs: NDArray[Any], stall: int = 0) -> NDArray[np.int64]:
        """Outputs [batch, O] for ``inputs`` [batch, I]; ``stall``: percent of clocks."""
        taken, given = self.facts["input"], self.facts["output"]
        beats = [len(inputs) * int(port["beats"]) for port in (taken, given)]
        command = ["./design", *map(str, beats), str(stall)]
        data = pack(inputs, taken)
        start = time.perf_counter()
        out = _run(command, self.place, data)
        self.seconds = time.perf_counter() - start
        return unpack(out, given)


def _headers() -> Path:
    """Where pyosys keeps the C++ headers of CXXRTL."""
    spec = find_spec("pyosys")
    root = Path(str(spec.origin)).parent if spec else Path()
    place = root / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    if not place.is_dir():
        raise ToolError("this pyosys has no CXXRTL headers", hint="pip install pyosys==0.70")
    return place


def _run(command: Sequence[str], where: Path, data: bytes = b"") -> bytes:
    done = tools.launch(command, where, data, timeout=TIMEOUT)
    if done.returncode:
        why = SAYS.get(done.returncode, f"code {done.returncode}")
        details = done.stderr.decode(errors="replace")
        raise ToolError(f"{Path(command[0]).name} failed: {why}", details=details)
    return done.stdout


def _words(port: Mapping[str, Any]) -> int:
    """32-bit words of a beat."""
    return -(-_bits(port) // 32)


def _bits(port: Mapping[str, Any]) -> int:
    return int(port["width"]) * int(port["elements"]) // int(port["beats"])


def pack(vectors: NDArray[Any], port: Mapping[str, Any]) -> bytes:
    """Beats as little-endian words, the first element in the lowest bits."""
    width, beats = int(port["width"]), len(vectors) * int(port["beats"])
    codes = vectors.astype(np.int64).reshape(beats, -1, 1)
    bits = (codes >> np.arange(width) & 1).astype(np.uint8).reshape(beats, -1)
    padded = np.zeros((beats, 32 * _words(port)), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").tobytes()


def unpack(data: bytes, port: Mapping[str, Any]) -> NDArray[np.int64]:
    """The numbers of the vectors, [count, elements]."""
    width, words = int(port["width"]), _words(port)
    raw = np.frombuffer(data, np.uint8).reshape(-1, 4 * words)
    bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : _bits(port)]
    weights = np.int64(1) << np.arange(width, dtype=np.int64)
    if port["signed"]:
        weights[-1] = -weights[-1]
    values = bits.reshape(-1, int(port["elements"]), width).astype(np.int64) @ weights
    return np.asarray(values, dtype=np.int64)
