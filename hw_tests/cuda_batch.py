"""Many graphs as one program for the CUDA shim: emit each under its own prefix, compile once, run
in every order of threads, compare with the oracle as ``crystalc.check`` does it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.check import judge
from crystalc.diagnostics import ToolError
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret
from crystalc.ir import FixedType
from crystalc.passes.quantize import quantize_inputs
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
        harness(
            [bool(_rooms(folder, k)) for k in range(len(cases))],
            [_other(folder, k) for k in range(len(cases))],
        )
    )
    try:
        compile_shim(folder, ["all.cu"], folder / "all", *variant.flags)
    except ToolError as error:
        return [Failure(0, str(error)[:3000])]
    return [f for k, case in enumerate(cases) for f in judge_case(case, k, folder)]


def _rooms(folder: Path, k: int) -> list[Any]:
    return members(folder / f"g{k}.h")


def _other(folder: Path, k: int) -> str:
    """Name of the other type of samples that graph ``k`` takes."""
    text = (folder / f"g{k}.h").read_text()
    return next((name for name in ("u8", "f32") if f"g{k}_run_{name}(" in text), "")


def harness(states: Sequence[bool], others: Sequence[str]) -> str:
    """argv[1]: number of the graph, whose state and inputs come on stdin; argv[2]: what a byte
    stands for, if inputs are of the other type."""
    count = len(states)
    undefine = "\n".join(f"#undef {m}" for m in MACROS)
    parts = [f'namespace s{k} {{\n#include "g{k}.cu"\n}}\n{undefine}' for k in range(count)]
    parts += [_function(k, states[k], others[k]) for k in range(count)]
    calls = "\n".join(f"    if (k == {k}) return run{k}(scale);" for k in range(count))
    main = (
        "int main(int words, char **word)\n{\n    const int k = atoi(word[1]);\n"
        f"    const char *const scale = words > 2 ? word[2] : nullptr;\n{calls}\n}}\n"
    )
    return "\n".join([SAMPLES, *parts, main])


SAMPLES = """#include <stdio.h>
#include <stdlib.h>
template <class In, class Out, class Run> static int samples(size_t inputs, size_t outputs, Run run)
{
    In *in = (In *)calloc(64, sizeof(In) * inputs);
    const size_t n = fread(in, sizeof(In) * inputs, 64, stdin);
    Out *out = (Out *)malloc(n * sizeof(Out) * outputs);
    In *exact = (In *)malloc(n * sizeof(In) * inputs);
    memcpy(exact, in, n * sizeof(In) * inputs);
    const int error = run(exact, out, (int)n);
    fwrite(out, sizeof(Out) * outputs, n, stdout);
    free(in);
    free(out);
    free(exact);
    return error != 0;
}
"""
"""Inputs from stdin through a function; its outputs to stdout."""


def _function(k: int, state: bool, other: str) -> str:
    """``other``: name of the other type of samples, which a scale on the command line asks for."""
    g = f"s{k}::g{k}"
    held = f"    static {g}_state state, start;\n" if state else ""
    read = "    if (fread(&state, sizeof state, 1, stdin) != 1) return 9;\n" if state else ""
    update = (
        f"    {g}_state_init(&start);\n    if ({g}_state_update(&start, &state, 0)) return 8;\n"
    )
    sizes, end = f"G{k}_INPUTS, G{k}_OUTPUTS", "n, &start, 0" if state else "n, 0"
    ctype, scale = ("uint8_t", ", strtof(scale, nullptr)") if other == "u8" else ("float", "")
    second = f"""    if (scale)
        return samples<{ctype}, {g}_out>({sizes}, [&](const {ctype} *in, {g}_out *out, int n) {{
            return {g}_run_{other}(in{scale}, out, {end});
        }});
"""
    begin = held + read + (update if state else "") + (second if other else "")
    return f"""
static int run{k}(const char *scale)
{{
    (void)scale;
{begin}
    return samples<{g}_in, {g}_out>({sizes}, [&](const {g}_in *in, {g}_out *out, int n) {{
        return {g}_run(in, out, {end});
    }});
}}
"""


def judge_case(case: Case, k: int, folder: Path) -> list[Failure]:
    """Every order against the oracle, and once with samples of the other type."""
    (given, _), _ = read_interface(folder / f"g{k}.h", f"g{k}")
    failures = [_judged(case, k, folder, case.inputs, given, order) for order in ORDERS]
    if other := _other(folder, k):
        x, meant, scale = other_samples(case, other)
        ctype = {"u8": "uint8_t", "f32": "float"}[other]
        found = _judged(replace(case, inputs=meant), k, folder, x, ctype, "random", scale)
        failures.append(found and Failure(k, f"{other}: {found.reason}"))
    return [f for f in failures if f][:1]


def other_samples(case: Case, other: str) -> tuple[Array, Array, str]:
    """Samples of the other type, what they mean as inputs of the graph, and the scale of a byte."""
    rng = np.random.default_rng(len(case.inputs))
    shape = case.inputs.shape
    if other == "u8":
        scale = np.float32(np.abs(case.inputs).max() / 255)
        x = rng.integers(0, 256, shape)
        return x, (x.astype(np.float32) * scale).astype(np.float64), float(scale).hex()
    elem = case.graph.input.type.elem
    assert isinstance(elem, FixedType)
    near = case.inputs + rng.choice([-0.5, 0.49999997, 0.5, 0.7, 1e9, -1e9], shape)
    x = (near * 2.0**-elem.frac).astype(np.float32)
    return x, quantize_inputs(case.graph, x), "0"


def _judged(
    case: Case, k: int, folder: Path, x: Array, ctype: str, order: str, *scale: str
) -> Failure | None:
    """Samples ``x`` of a C type, which mean ``case.inputs``, in an order of threads."""
    meaning = case.meaning
    wanted = interpret(meaning, case.inputs)
    bits = CudaBackend.capabilities.float_agreement.bits  # type: ignore[union-attr]
    bound = np.zeros(wanted.shape)
    if not meaning.is_fixed:
        bound = error_bound(meaning, case.inputs, bits)
    made = read_interface(folder / f"g{k}.h", f"g{k}")[0][1]
    data = state_bytes(case, folder, k) + np.ascontiguousarray(x, dtype=dtype(ctype)).tobytes()
    done = subprocess.run(
        [str(folder / "all"), str(k), *scale], input=data, capture_output=True, timeout=TIMEOUT,
        env={**os.environ, "CRYSTAL_SHIM_ORDER": order},
    )  # fmt: skip
    if done.returncode:
        return Failure(k, f"{order}: code {done.returncode}: {done.stderr.decode()[:2000]}")
    got = np.frombuffer(done.stdout, dtype=dtype(made)).reshape(wanted.shape)
    verdict = judge(wanted, got, bound)
    return None if verdict.ok else Failure(k, f"{order}: {verdict.reason}")


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
