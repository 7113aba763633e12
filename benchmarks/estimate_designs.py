"""The designs of ``benchmarks.estimate``: small random ones to fit on, others held out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import tiny_checkpoint

from crystalc.checkpoint import Checkpoint
from crystalc.cli import run
from crystalc.driver import Options, compile_checkpoint
from crystalc.frontend import read_checkpoint
from crystalc.ir import Graph
from crystalc.pipeline import run_passes, shaping_passes
from crystalc_verilog import VerilogBackend

WORK = Path("build") / "estimate"
DEVICES = ("xcup", "ice40", "ecp5")
Files = Mapping[PurePosixPath, str | bytes]


@dataclass(frozen=True)
class Design:
    """A model and how it is compiled: ``trained`` by those arguments of ``crystalc train``, else a
    ``network`` of ``benchmarks.rtl``, else random, of ``shape``. ``held`` out: never fitted on.
    """

    name: str
    width: int = 8
    shape: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    trained: tuple[str, ...] = ()
    network: str = ""
    held: bool = False
    devices: tuple[str, ...] = DEVICES

    def files(self, data: Path) -> Files:
        """The artefact, not written; ``data``: the folder of letter.npz."""
        if self.network:
            shaped = run_passes(_network(self.network), shaping_passes("fixed", "f32"))
            return VerilogBackend(**self.options).emit(shaped, "benchmarks.estimate")
        options = Options("verilog", arithmetic="fixed", width=self.width, backend=self.options)
        return compile_checkpoint(self._checkpoint(data), options).files

    def missing(self, data: Path) -> str:
        """The file of ``data`` that it cannot be trained without; empty when there is none."""
        lacks = self.trained[:1] == ("letter",) and not self._model().exists()
        file = data / "letter.npz"
        return str(file) if lacks and not file.exists() else ""

    def _model(self) -> Path:
        return WORK / f"{'_'.join(self.trained).replace('--', '')}.pt"

    def _checkpoint(self, data: Path) -> Checkpoint:
        if not self.trained:
            return tiny_checkpoint(**{"frozen": 1.0, "activation": "relu", **self.shape})
        path = self._model()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = ("--data", str(data / "letter.npz")) if self.trained[0] == "letter" else ()
            if run(["train", *self.trained, *file, "-o", str(path)]):
                raise SystemExit(f"cannot train {path}")
        return read_checkpoint(path)


@cache
def _network(name: str) -> Graph:
    from benchmarks.rtl_levers import levers
    from benchmarks.rtl_networks import NETWORKS, digits

    if name.startswith("levers"):
        _, neurons, width = name.split("-")
        return levers(digits(), 0, int(neurons), int(width))
    return NETWORKS[name](digits())


def _parallel(name: str, width: int, **shape: Any) -> Design:
    whole = {"inputs": 8, "neurons": 8, "outputs": 4, **shape}
    return Design(name, width, whole, {"arch": "parallel"})


def _folded(name: str, width: int, lanes: int, **shape: Any) -> Design:
    options = {"arch": "folded", "lanes": str(lanes)}
    whole = {"inputs": 8, "neurons": 8, "outputs": 4, **shape}
    return Design(f"folded {lanes}: {name}", width, whole, options)


def _held(name: str, *trained: str, lanes: int = 0, devices: tuple[str, ...] = DEVICES) -> Design:
    options = {"arch": "folded", "lanes": str(lanes)} if lanes else {}
    return Design(name, options=options, trained=trained, held=True, devices=devices)


LAPLACE = {"kernel": "laplace"}
GELU = {"activation": "gelu"}
MIDDLE = {"inputs": 16, "neurons": 12, "outputs": 10}
WIDE = {"inputs": 20, "neurons": 32, "outputs": 16}
LARGE = {"inputs": 64, "neurons": 24, "outputs": 10}
SIZE = {"inputs": 9, "neurons": 6, "outputs": 5}
PARTS = {"projection": True, "head": True, "dim": 6, "hidden": 6}
RELU = ("--activation", "relu")
DIGITS = ("digits", "--frozen", "1", "--neurons", "32", *RELU)
ACTIVE = ("digits", "--frozen", "0", "--neurons", "8", *RELU)
LETTER = ("letter", "--frozen", "1", "--neurons", "32", "--epochs", "15", *RELU)
PARALLEL = (
    _parallel("relu 8-8-4", 6),
    _parallel("relu 12-8-4", 8, inputs=12, seed=1),
    _parallel("relu 16-12-6", 4, inputs=16, neurons=12, outputs=6, seed=2),
    _parallel("gelu 8-8-4", 6, **GELU, seed=3),
    _parallel("gelu 8-6-10", 8, **GELU, neurons=6, outputs=10, seed=4),
    _parallel("laplace 8-8-4", 6, **LAPLACE, seed=5),
    _parallel("laplace 6-10-3", 8, **LAPLACE, inputs=6, neurons=10, outputs=3, seed=6),
    _parallel("gauss 10-8-5", 6, kernel="gauss", inputs=10, outputs=5, seed=7),
    _parallel("laplace l1 6-6-4", 6, **LAPLACE, metric="l1", inputs=6, neurons=6, seed=9),
    _parallel("laplace l1 9-5-4", 5, **LAPLACE, metric="l1", inputs=9, neurons=5, seed=29),
    _parallel("laplace l1 5-6-3", 8, **LAPLACE, metric="l1", inputs=5, neurons=6, seed=30),
    _parallel("projection, head", 6, **PARTS, seed=10),
    _parallel("active relu 6-6-3", 6, inputs=6, neurons=6, outputs=3, frozen=0.5, seed=21),
    _parallel("active gelu 5-4-3", 8, **GELU, inputs=5, neurons=4, outputs=3, frozen=0.0, seed=22),
    _parallel("active laplace 8-6-4", 6, **LAPLACE, neurons=6, frozen=0.34, seed=23),
    _parallel("active relu 10-8-5", 8, inputs=10, outputs=5, frozen=0.25, seed=24),
)
FOLDED = (
    _folded("relu 8-8-4", 6, 2),
    _folded("gelu 12-8-4", 8, 4, **GELU, inputs=12, seed=1),
    _folded("laplace 10-12-6", 6, 1, **LAPLACE, inputs=10, neurons=12, outputs=6, seed=2),
    _folded("projection, head", 6, 4, **PARTS, seed=10),
    _folded("relu 24-16-4", 8, 1, inputs=24, neurons=16, seed=11),
    _folded("gelu 32-12-6", 6, 1, **GELU, inputs=32, neurons=12, outputs=6, seed=18),
    _folded("relu 32-16-8", 8, 2, inputs=32, neurons=16, outputs=8, seed=19),
    _folded("relu 40-10-6", 6, 3, inputs=40, neurons=10, outputs=6, seed=20),
    _folded("relu 24-16-8", 8, 8, inputs=24, neurons=16, outputs=8, seed=12),
    _folded("relu 20-32-16", 6, 16, **WIDE, seed=13),
    _folded("gelu 20-32-16", 8, 24, **GELU, **WIDE, seed=14),
    _folded("gauss 16-12-10", 8, 2, kernel="gauss", **MIDDLE, seed=15),
    _folded("normalised", 6, 2, **LAPLACE, normalized=True, **MIDDLE, seed=17),
    _folded("laplace l1", 6, 4, **LAPLACE, metric="l1", **MIDDLE, seed=16),
    _folded("relu 64-24-10", 8, 1, **LARGE, seed=32),
    _folded("gelu 64-24-10", 8, 4, **GELU, **LARGE, seed=33),
    _folded("relu 64-24-10", 8, 8, **LARGE, seed=34),
    _folded("relu 64-24-10", 8, 32, **LARGE, seed=35),
    _folded("active relu 64-24-10", 8, 4, **LARGE, frozen=0.5, seed=36),
    _folded("active relu 24-16-4", 8, 1, inputs=24, neurons=16, frozen=0.5, seed=25),
    _folded("active gelu 16-12-10", 8, 2, **GELU, **MIDDLE, frozen=0.0, seed=26),
    _folded("active gauss 20-32-16", 6, 8, kernel="gauss", **WIDE, frozen=0.5, seed=27),
    _folded("active relu 12-8-4", 6, 4, inputs=12, frozen=0.0, seed=28),
)
HELD = (
    Design("crystal of 4 points", network="crystal-4", held=True),
    replace(_parallel("held active gelu 9-6-5", 6, **GELU, **SIZE, frozen=0.5, seed=31), held=True),
    _held("letters", *LETTER, devices=("xcup", "ecp5")),
    Design("levers, 24 points", network="levers-24-4", held=True, devices=("xcup",)),
    _held("digits, active", *ACTIVE, devices=("xcup",)),
    Design("MLP", network="mlp", held=True, devices=("xcup",)),
    _held("digits", *DIGITS, devices=("xcup",)),
    *(_held(f"digits folded {n}", *DIGITS, lanes=n) for n in (1, 4, 8, 32)),
    _held("digits folded 4, active", *ACTIVE, lanes=4),
    _held("letters folded 4", *LETTER, lanes=4),
)
DESIGNS = (*PARALLEL, *FOLDED, *HELD)
