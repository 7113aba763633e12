"""Compile kernels for a list of architectures and read what they need: nvcc, or NVRTC."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crystalc import tools
from crystalc.diagnostics import ToolError, refuse
from crystalc_c.build import TIMEOUT
from crystalc_cuda import nvrtc

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FLAGS = ("-std=c++17", "-O3")

_KERNEL = re.compile(r"Compiling entry function '(\w+)' for")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


@dataclass(frozen=True)
class Kernel:
    """What one kernel takes on one architecture, as ptxas says. Bytes, and registers a thread."""

    name: str
    arch: str
    registers: int
    shared: int
    spill_stores: int
    spill_loads: int
    stack: int

    @property
    def spills(self) -> bool:
        """Registers were not enough, or an array does not stay in them."""
        return bool(self.spill_stores or self.spill_loads or self.stack)

    def to_dict(self) -> dict[str, object]:
        """For report.json."""
        return asdict(self)


def chosen(text: str) -> tuple[str, ...]:
    """``sm_90``, ``sm_80,sm_90`` or ``sm_75..sm_120`` as architectures. Raises CompileError."""
    first, dots, last = text.partition("..")
    names = [first, last] if dots else [word.strip() for word in text.split(",")]
    known = set(names) <= {*ARCHS}
    found = _between(first, last) if known and dots else tuple(names)
    if known and found:
        return found
    hint = f"one or more of: {', '.join(ARCHS)}; sm_75..sm_120 is all of them"
    raise refuse(f"option 'archs' of target 'cuda' is '{text}'", hint=hint)


def _between(first: str, last: str) -> tuple[str, ...]:
    return ARCHS[ARCHS.index(first) : ARCHS.index(last) + 1]


def compiler() -> str:
    """``nvcc`` or ``NVRTC`` with the version, or nothing."""
    if shutil.which("nvcc"):
        return f"nvcc {_release(tools.find('nvcc').path)}"
    return f"NVRTC {nvrtc.version()}" if nvrtc.library() else ""


def _release(path: str) -> str:
    found = re.search(r"release ([\d.]+)", _call([path, "--version"], Path.cwd()).stdout)
    return found[1] if found else "unknown"


def _call(command: Sequence[str], where: Path) -> subprocess.CompletedProcess[str]:
    """A finished command, whatever its code. Raises ToolError where it hangs or does not start."""
    try:
        return subprocess.run(
            command, cwd=where, capture_output=True, text=True, timeout=TIMEOUT, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} took longer than {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise ToolError(f"{command[0]} does not start: {error.strerror}") from error


def kernels(source: Path, archs: Sequence[str]) -> list[Kernel]:
    """Every kernel of ``source`` on every architecture. Raises ToolError where one is refused."""
    make = _nvcc if shutil.which("nvcc") else _nvrtc
    found = []
    for arch in archs:
        here = list(parse(make(source, arch), arch))
        if not here:
            raise ToolError(f"{compiler()} says nothing of a kernel for {arch}")
        found += here
    return found


def _nvcc(source: Path, arch: str) -> str:
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        output = str(Path(place) / "model.cubin")
        command = ["nvcc", *FLAGS, f"-arch={arch}", "-Xptxas", "-v", "-cubin", source.name]
        done = _call([*command, "-o", output], source.parent)
    if done.returncode:
        raise ToolError(f"nvcc failed with code {done.returncode} for {arch}", details=done.stderr)
    return done.stdout + done.stderr


def _nvrtc(source: Path, arch: str) -> str:
    return nvrtc.compile_cubin(source.read_text(encoding="utf-8"), arch)


def parse(log: str, arch: str) -> Iterator[Kernel]:
    """The kernels that a log of ``ptxas -v`` speaks of."""
    for part in re.split(r"(?=Compiling entry function)", log):
        name, spills, used = (p.search(part) for p in (_KERNEL, _SPILLS, _USED))
        if name and spills and used:
            registers, shared = int(used[1]), int(used[2] or 0)
            stack, stores, loads = (int(spills[k]) for k in (1, 2, 3))
            yield Kernel(name[1], arch, registers, shared, stores, loads, stack)


def gpu() -> str:
    """The name of the first GPU, or nothing."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return ""
    command = [path, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = _call(command, Path.cwd())
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""


def build_program(
    build: Path, sources: Sequence[str], output: Path, arch: str = "native", *flags: str
) -> None:
    """A program, for this machine's GPU if nothing else is said. Raises ToolError."""
    command = ["nvcc", *FLAGS, f"-arch={arch}", *flags, "-I.", *sources, "-o", str(output)]
    done = _call(command, build)
    if done.returncode:
        raise ToolError(f"nvcc failed with code {done.returncode}", details=done.stderr)
