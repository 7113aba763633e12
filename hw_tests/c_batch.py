"""Many graphs as one C program: emit each under its own prefix, compile once, run, compare.

Every artefact runs through both entries (single and batch) on its own active rows, which are
rewritten first, and is compared with the oracle as ``crystalc.check`` does it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [p for p in (str(ROOT / "tests"), str(ROOT / "backends")) if p not in sys.path]

from random_graphs import (  # noqa: E402
    inputs_for,
    quantized,
    random_checkpoint,
    random_graph,
    random_state,
)
from support import tiny_checkpoint  # noqa: E402

from crystalc.check import Comparison, judge  # noqa: E402
from crystalc.error_bound import error_bound  # noqa: E402
from crystalc.interpret import interpret  # noqa: E402
from crystalc.ir import Graph  # noqa: E402
from crystalc_c import CBackend  # noqa: E402
from crystalc_c.build import read_interface  # noqa: E402
from crystalc_c.numbers import dtype  # noqa: E402

Array = NDArray[Any]
Done = subprocess.CompletedProcess[bytes]

__all__ = [
    "ROOT",
    "VARIANTS",
    "Case",
    "Failure",
    "Variant",
    "case_of",
    "inputs_for",
    "quantized",
    "random_checkpoint",
    "random_graph",
    "run_cases",
    "runnable",
    "tiny_checkpoint",
]

WARN = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
TIMEOUT = 300
MEMBER = re.compile(r"^    (\w+) (\w+)((?:\[\d+\])+)", re.M)


@dataclass(frozen=True)
class Variant:
    """One way to compile; ``needs``: CPU features that must be there to run it."""

    name: str
    layout: str
    flags: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def intrinsics(self) -> bool:
        return bool(self.needs)


SANITIZE = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")
AVX2 = ("-mavx2", "-mfma")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", *AVX2)
FEATURES_512 = ("avx512f", "avx512bw", "avx512dq", "avx2", "fma")
VARIANTS = (
    Variant("scalar", "simd", ("-O2", "-DCRYSTAL_SCALAR")),
    Variant("scalar-checked", "simd", ("-O1", "-DCRYSTAL_SCALAR", *SANITIZE)),
    Variant("compact", "compact", ("-O3",)),
    Variant("compact-checked", "compact", ("-O0", *SANITIZE)),
    Variant("avx2", "simd", ("-O1", *AVX2), ("avx2", "fma")),
    Variant("avx2-checked", "simd", ("-O1", *AVX2, *SANITIZE), ("avx2", "fma")),
    Variant("avx512", "simd", ("-O1", *AVX512), FEATURES_512),
    Variant("vnni", "simd", ("-O1", *AVX512, "-mavx512vnni"), (*FEATURES_512, "avx512_vnni")),
)


def runnable() -> list[Variant]:
    """The variants that this machine's CPU can execute."""
    info = Path("/proc/cpuinfo")
    have = set(info.read_text().split()) if info.exists() else set()
    return [v for v in VARIANTS if have.issuperset(v.needs)]


@dataclass(frozen=True)
class Case:
    """A graph as emitted, inputs [batch, I], and new values of its active constants by id."""

    graph: Graph
    inputs: Array
    state: dict[int, Array]

    @property
    def meaning(self) -> Graph:
        """The graph after the rewrite of its active rows."""
        nodes = [
            replace(node, value=self.state[i]) if i in self.state else node
            for i, node in self.graph
        ]
        return replace(self.graph, nodes=tuple(nodes))


@dataclass(frozen=True)
class Failure:
    """What went wrong with case ``index``: a tool's words, or the comparison's."""

    index: int
    reason: str


def run_cases(cases: Sequence[Case], variant: Variant, folder: Path) -> list[Failure]:
    """Compile all cases in ``folder`` and return those that fail."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, case in enumerate(cases):
        _emit(case, k, variant, folder)
    (folder / "all.c").write_text(_harness(cases, folder))
    failed = _compile(len(cases), variant, folder)
    if failed:
        return failed
    return [f for k, case in enumerate(cases) for f in _judge(case, k, folder)]


def _emit(case: Case, k: int, variant: Variant, folder: Path) -> None:
    backend = CBackend(prefix=f"g{k}", layout=variant.layout, constants="hex")
    for name, content in backend.emit(case.graph, "random graph").items():
        if name.name in (f"g{k}.c", f"g{k}.h"):
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _harness(cases: Sequence[Case], folder: Path) -> str:
    """argv[1]: number of the graph; argv[2], if there: by the batch entry."""
    parts = ["#include <stdio.h>", "#include <stdlib.h>"]
    parts += [f'#include "g{k}.h"' for k in range(len(cases))]
    parts += [_function(k, members(folder / f"g{k}.h")) for k in range(len(cases))]
    calls = "\n".join(f"    if (k == {k}) run{k}(batch);" for k in range(len(cases)))
    parts.append(
        "int main(int argc, char **argv)\n{\n    const int k = atoi(argv[1]), batch = argc > 2;\n"
        f"{calls}\n    return 0;\n}}\n"
    )
    return "\n".join(parts)


def _function(k: int, rooms: list[Room]) -> str:
    g, state = f"g{k}", ", &state" if rooms else ""
    reads = "".join(
        f"    if (fread(&state.{room.name}, sizeof state.{room.name}, 1, stdin) != 1) exit(9);\n"
        for room in rooms
    )
    held = f"    static {g}_state state;\n" if rooms else ""
    start = f"    {g}_state_init(&state);\n" if rooms else ""
    return f"""
static void run{k}(int batch)
{{
    static {g}_in in[64 * G{k}_INPUTS];
    static {g}_out out[64 * G{k}_OUTPUTS];
    static {g}_scratch s;
{held}{start}{reads}    const size_t n = fread(in, sizeof in / 64, 64, stdin);
    if (batch) {g}_run_batch(in, out, (int)n, &s{state});
    else for (size_t i = 0; i < n; i++)
        {g}_run(in + i * G{k}_INPUTS, out + i * G{k}_OUTPUTS, &s{state});
    fwrite(out, sizeof out / 64, n, stdout);
}}
"""


@dataclass(frozen=True)
class Room:
    """A member of the state struct: its C name, C type and count of elements."""

    name: str
    ctype: str
    length: int


def members(header: Path) -> list[Room]:
    """The members of the state struct, in the order of the active constants."""
    text = header.read_text()
    body = re.search(r"typedef struct \{\n((?:(?!typedef).)*?)\} g\d+_state;", text, re.S)
    found = []
    for ctype, name, extent in MEMBER.findall(body[1] if body else ""):
        length = int(np.prod([int(v) for v in re.findall(r"\d+", extent)]))
        found.append(Room(name, ctype, length))
    return found


def _compile(count: int, variant: Variant, folder: Path) -> list[Failure]:
    """Objects, then one program; a case whose object fails is a failure of its own."""
    head = ["gcc", *WARN, *variant.flags]
    if variant.intrinsics:  # reading them takes longer than compiling a small network
        (folder / "pre.h").write_text("#include <stdint.h>\n#include <immintrin.h>\n")
        _run([*head, "-x", "c-header", "pre.h", "-o", "pre.h.gch"], folder)
        head += ["-include", "pre.h"]
    done = _run([*head, "-c", *(f"g{k}.c" for k in range(count))], folder)
    if done.returncode:
        return _compile_failures(count, head, folder)
    objects = [f"g{k}.o" for k in range(count)]
    done = _run(["gcc", "-std=c99", *variant.flags, "all.c", *objects, "-o", "all"], folder)
    return [Failure(0, f"the harness does not link: {_text(done)}")] if done.returncode else []


def _compile_failures(count: int, head: list[str], folder: Path) -> list[Failure]:
    failed = []
    for k in range(count):
        done = _run([*head, "-c", f"g{k}.c"], folder)
        if done.returncode:
            failed.append(Failure(k, f"it does not compile: {_text(done)}"))
    return failed


def _run(
    command: list[str], folder: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, timeout=TIMEOUT)


def _text(done: Done) -> str:
    return done.stderr.decode(errors="replace")[:2000]


def _judge(case: Case, k: int, folder: Path) -> list[Failure]:
    """Both entries against the oracle; they must agree with it, not with each other."""
    meaning = case.meaning
    wanted = interpret(meaning, case.inputs)
    bound = np.zeros(wanted.shape)
    if not meaning.is_fixed:
        bound = error_bound(meaning, case.inputs)
    (given, made), _ = read_interface(folder / f"g{k}.h", f"g{k}")
    data = _state_bytes(case, folder / f"g{k}.h")
    data += np.ascontiguousarray(case.inputs, dtype=dtype(given)).tobytes()
    for entry in ([], ["batch"]):
        done = _run([str(folder / "all"), str(k), *entry], folder, data)
        if done.returncode:
            return [Failure(k, f"code {done.returncode}: {_text(done)}")]
        got = np.frombuffer(done.stdout, dtype=dtype(made)).reshape(wanted.shape)
        verdict: Comparison = judge(wanted, got, bound)
        if not verdict.ok:
            return [Failure(k, f"{' '.join(entry) or 'single'}: {verdict.reason}")]
    return []


def _state_bytes(case: Case, header: Path) -> bytes:
    out = b""
    active = [i for i, node in case.graph if node.is_state]
    for i, room in zip(active, members(header), strict=True):
        value = case.state.get(i, case.graph[i].data())
        flat = np.zeros(
            room.length, dtype=dtype(room.ctype)
        )  # a vector may end in room for whole lanes
        flat[: value.size] = value.reshape(-1)
        out += flat.tobytes()
    return out


def case_of(graph: Graph, rng: np.random.Generator, count: int = 20) -> Case:
    """``graph`` on random inputs, with its active rows rewritten half of the time."""
    inputs = inputs_for(graph, rng, count)
    if rng.random() < 0.5:
        return Case(graph, inputs, {})
    return Case(graph, inputs, random_state(graph, rng))
