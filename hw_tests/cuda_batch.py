"""Many graphs as one program for the CUDA shim: emit each under its own prefix, compile once, run
in every order of threads, compare with the oracle as ``crystalc.check`` does it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.check import judge
from crystalc.diagnostics import ToolError
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret
from crystalc_c.build import read_interface
from crystalc_c.numbers import dtype
from crystalc_cuda import CudaBackend
from crystalc_cuda.build import FLAGS, ORDERS, compile_shim
from hw_tests.c_batch import Case, Failure, members

Array = NDArray[Any]

SANITIZE = (
    *("-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "-fsanitize-sections=crystal_shared",
)
TIMEOUT = 300
MACROS = ("WARPS", "THREADS")


@dataclass(frozen=True)
class Variant:
    """A kind of kernel and how it is compiled."""

    name: str
    kernel: str
    flags: tuple[str, ...]
    compiler: str = "g++"


VARIANTS = (
    Variant("tiles", "tiles", FLAGS),
    Variant("lanes", "lanes", FLAGS),
    Variant("tiles-checked", "tiles", SANITIZE),
    Variant("lanes-checked", "lanes", SANITIZE),
)


def run_cases(cases: Sequence[Case], variant: Variant, folder: Path) -> list[Failure]:
    """Compile all cases in ``folder`` and return those that fail."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, case in enumerate(cases):
        backend = CudaBackend(prefix=f"g{k}", kernel=variant.kernel)
        for name, content in backend.emit(case.graph, "random graph").items():
            if name.name in (f"g{k}.cu", f"g{k}.h"):
                assert isinstance(content, str)
                (folder / name).write_text(content)
    (folder / "all.cu").write_text(
        harness(len(cases), [bool(_rooms(folder, k)) for k in range(len(cases))])
    )
    try:
        compile_shim(folder, ["all.cu"], folder / "all", *variant.flags)
    except ToolError as error:
        return [Failure(0, str(error)[:3000])]
    return [f for k, case in enumerate(cases) for f in judge_case(case, k, folder)]


def _rooms(folder: Path, k: int) -> list[Any]:
    return members(folder / f"g{k}.h")


def harness(count: int, states: Sequence[bool]) -> str:
    """argv[1]: number of the graph; its state and inputs come on stdin."""
    undefine = "\n".join(f"#undef {m}" for m in MACROS)
    parts = [f'namespace s{k} {{\n#include "g{k}.cu"\n}}\n{undefine}' for k in range(count)]
    parts += [_function(k, states[k]) for k in range(count)]
    calls = "\n".join(f"    if (k == {k}) return run{k}();" for k in range(count))
    main = f"int main(int, char **argv)\n{{\n    const int k = atoi(argv[1]);\n{calls}\n}}\n"
    return "\n".join([*parts, main])


def _function(k: int, state: bool) -> str:
    g = f"s{k}::g{k}"
    held = f"    static {g}_state state, start;\n" if state else ""
    read = "    if (fread(&state, sizeof state, 1, stdin) != 1) return 9;\n" if state else ""
    update = (
        f"    {g}_state_init(&start);\n    if ({g}_state_update(&start, &state, 0)) return 8;\n"
    )
    return f"""
static int run{k}()
{{
    typedef {g}_in in_t;
    typedef {g}_out out_t;
{held}{read}{update if state else ""}    in_t *in = (in_t *)calloc(64, sizeof(in_t) * G{k}_INPUTS);
    const size_t n = fread(in, sizeof(in_t) * G{k}_INPUTS, 64, stdin);
    out_t *out = (out_t *)malloc(n * sizeof(out_t) * G{k}_OUTPUTS);
    in_t *exact = (in_t *)malloc(n * sizeof(in_t) * G{k}_INPUTS);
    memcpy(exact, in, n * sizeof(in_t) * G{k}_INPUTS);
    const int error = {g}_run(exact, out, (int)n{", &start" if state else ""}, 0);
    fwrite(out, sizeof(out_t) * G{k}_OUTPUTS, n, stdout);
    free(in);
    free(out);
    free(exact);
    return error != 0;
}}
"""


def judge_case(case: Case, k: int, folder: Path) -> list[Failure]:
    """Every order against the oracle."""
    meaning = case.meaning
    wanted = interpret(meaning, case.inputs)
    bits = CudaBackend.capabilities.float_agreement.bits  # type: ignore[union-attr]
    bound = np.zeros(wanted.shape)
    if not meaning.is_fixed:
        bound = error_bound(meaning, case.inputs, bits)
    (given, made), _ = read_interface(folder / f"g{k}.h", f"g{k}")
    data = state_bytes(case, folder, k)
    data += np.ascontiguousarray(case.inputs, dtype=dtype(given)).tobytes()
    for order in ORDERS:
        done = subprocess.run(
            [str(folder / "all"), str(k)], input=data, capture_output=True, timeout=TIMEOUT,
            env={**os.environ, "CRYSTAL_SHIM_ORDER": order},
        )  # fmt: skip
        if done.returncode:
            return [Failure(k, f"{order}: code {done.returncode}: {done.stderr.decode()[:2000]}")]
        got = np.frombuffer(done.stdout, dtype=dtype(made)).reshape(wanted.shape)
        verdict = judge(wanted, got, bound)
        if not verdict.ok:
            return [Failure(k, f"{order}: {verdict.reason}")]
    return []


def state_bytes(case: Case, folder: Path, k: int) -> bytes:
    """The state struct with the case's values, as C lays it out."""
    out = b""
    active = [i for i, node in case.graph if node.is_state]
    widest = 1
    for i, room in zip(active, _rooms(folder, k), strict=True):
        kind = np.dtype(dtype(room.ctype))
        widest = max(widest, kind.itemsize)
        out += bytes(-len(out) % kind.itemsize)
        out += case.state.get(i, case.graph[i].data()).astype(kind).tobytes()
    return out + bytes(-len(out) % widest)
