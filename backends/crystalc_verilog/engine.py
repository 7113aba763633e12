"""The synthesis engine: pyosys from Python's packages, else ``yosys`` on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from crystalc import tools
from crystalc.diagnostics import ToolError

TIMEOUT = 1800.0
"""Seconds for one script."""

PYOSYS = (
    "import sys; from pyosys import libyosys as ys; "
    "ys.run_pass('tee -q -o yosys.log script ' + sys.argv[1], ys.Design())"
)
HINT = "pip install 'crystalc[synth]', or put yosys on PATH"


@dataclass(frozen=True)
class Engine:
    """A Yosys. ``command`` takes the name of a script; ``version`` is what it says of itself."""

    name: str
    version: str
    command: tuple[str, ...]

    def run(self, script: Sequence[str], folder: Path, timeout: float = TIMEOUT) -> str:
        """Run the commands of ``script`` in ``folder``, which keeps ``script.ys``; returns the log.

        Raises ToolError, with the last lines of the log, when Yosys fails or takes too long.
        """
        (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        command = [*self.command, "script.ys"]
        done = tools.launch(command, folder, timeout=timeout, name=self.name, hint=HINT)
        said = tools.said(done)
        log = folder / "yosys.log"
        text = log.read_text(errors="replace") if log.exists() else said
        if done.returncode:
            last = "\n".join([*text.splitlines()[-8:], *said.splitlines()[-4:]])
            raise ToolError(f"{self.name} failed with code {done.returncode}", details=last)
        return text


@lru_cache(maxsize=2)
def engine(prefer: str = "") -> Engine:
    """The engine ``prefer`` ("pyosys" or "yosys"), else the first that is there.

    Raises ToolError when there is none.
    """
    if prefer != "yosys" and find_spec("pyosys"):
        return Engine("pyosys", version("pyosys"), (sys.executable, "-c", PYOSYS))
    path = shutil.which("yosys")
    if prefer == "pyosys" or not path:
        raise ToolError("Yosys is missing", HINT)
    command = (path, "-q", "-l", "yosys.log", "-s")
    return Engine("yosys", _said([path, "-V"]), command)


def _said(command: Sequence[str]) -> str:
    """The version in what a command prints: ``Yosys 0.70 (git sha1 ...)`` -> ``0.70``."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"Yosys (\S+)", done.stdout)
    if not found:
        raise ToolError("Yosys does not say its version", HINT, done.stderr.strip())
    return found[1]
