"""Seeded compiler bugs: each is a small change of a source, and each must be caught.

A bug in a pass is caught by the verifier, the oracle's overflow check, or a difference to what the
graph meant before; a bug in the emitter or a template by the comparison of the compiled C with the
oracle. A bug that survives means that the check, or the graphs it is fed with, are too weak.
"""

from __future__ import annotations

import importlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from crystalc import ranges, render
from crystalc.check import judge
from crystalc.diagnostics import CompileError
from crystalc.error_bound import error_bound
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret
from crystalc.ir import Graph, Op
from crystalc.pipeline import Arithmetic, run_passes, shaping_passes
from crystalc.vectors import real_vectors, samples_of
from crystalc_c import CBackend
from hw_tests.c_batch import (
    ROOT,
    VARIANTS,
    Case,
    Variant,
    case_of,
    inputs_for,
    quantized,
    random_checkpoint,
    run_cases,
    runnable,
    tiny_checkpoint,
)
from hw_tests.fuzz import make_case

SCALAR = Variant("scalar", "simd", ("-O0", "-DCRYSTAL_SCALAR"))
COMPACT = Variant("compact", "compact", ("-O0",))
AVX2, VNNI = (next(v for v in VARIANTS if v.name == name) for name in ("avx2", "vnni"))


@dataclass(frozen=True)
class Mutant:
    """``old`` becomes ``new``, once, in ``file``. ``graphs``: the level that runs through it."""

    file: str
    old: str
    new: str
    graphs: Arithmetic
    variant: Variant = SCALAR

    @property
    def name(self) -> str:
        return f"{Path(self.file).name}: {self.old} -> {self.new}"


PASSES = "crystalc/passes"
PASS_BUGS = [
    # a swapped difference, a lost factor, a lost alignment, a lost transposition
    Mutant(f"{PASSES}/legalize.py", "Op.SUB, (total, double)", "Op.SUB, (double, total)", "fixed"),
    Mutant(f"{PASSES}/legalize.py", "- sum(coarse) + 1", "- sum(coarse)", "fixed"),
    Mutant(f"{PASSES}/legalize.py", "p << (frac - coarse[1])", "p", "fixed"),
    Mutant(f"{PASSES}/legalize.py", "2 * (frac - coarse[0])", "frac - coarse[0]", "fixed"),
    Mutant(f"{PASSES}/legalize.py", "sum(coarse), loc, transposed=True)", "sum(coarse), loc)",
           "fixed"),
    Mutant(f"{PASSES}/legalize.py", "build.const(2 * p,", "build.const(p,", "float"),
    Mutant(f"{PASSES}/legalize.py", "Op.SUB, (total, dot)", "Op.ADD, (total, dot)", "float"),
    Mutant(f"{PASSES}/fold.py", "values.data() @ head.data().T", "values.data() @ head.data()",
           "float"),
    Mutant(f"{PASSES}/fold.py", "1.0 / divisor.data()", "divisor.data()", "float"),
    Mutant(f"{PASSES}/fold.py", "build.const(-factor.data()", "build.const(factor.data()", "float"),
    # rows that are lost or taken twice
    Mutant(f"{PASSES}/split_frontier.py", "np.flatnonzero(~active)", "np.flatnonzero(active)",
           "fixed"),
    Mutant(f"{PASSES}/split_frontier.py", "(parts[0], parts[1])", "(parts[0], parts[0])", "float"),
    Mutant(f"{PASSES}/rows.py", "value = value[rows]", "value = value[rows[::-1]] if value.ndim > 1"
           " else value[rows]", "float"),
    Mutant(f"{PASSES}/rows.py", "sorted(rows), dtype=np.int64)", "sorted(rows)[:-1], np.int64)",
           "fixed"),
    Mutant(f"{PASSES}/prune.py", "weight.low[n] == weight.high[n] == 0", "weight.low[n] == 0",
           "fixed"),
    Mutant(f"{PASSES}/prune.py", "bound <= limit", "bound >= limit", "float"),
    Mutant(f"{PASSES}/prune.py", "not values[n].any()", "not values[n].all()", "fixed"),
    # types that are a bit too narrow
    Mutant("crystalc/ranges.py", "int(~low).bit_length()), frac)",
           "int(~low).bit_length()) - 1, frac)", "fixed"),
    Mutant("crystalc/ranges.py", "terms.high.sum(0))", "terms.high.max(0))", "fixed"),
    Mutant("crystalc/ranges.py", "a.low - b.high, a.high - b.low", "a.low - b.low, a.high - b.high",
           "fixed"),
]  # fmt: skip

C = "backends/crystalc_c"
T = "templates/c"
C_BUGS = [
    # rounding and saturation
    Mutant(f"{T}/requant.h", "(x * mul + ((int64_t)1 << (shift - 1))) >> shift",
           "(x * mul) >> shift", "fixed"),
    Mutant(f"{T}/requant.h", "(x * mul + ((int32_t)1 << (shift - 1))) >> shift",
           "(x * mul) >> shift", "fixed"),
    Mutant(f"{C}/integers.py", "{literal(elem.low)}", "{literal(elem.low + 1)}", "fixed"),
    Mutant(f"{C}/integers.py", "{literal(elem.high)}", "{literal(elem.high - 1)}", "fixed"),
    Mutant(f"{T}/divide.h", "* 2 + d;", "* 2;", "fixed"),
    Mutant(f"{T}/divide.h", "b > 1 ? b : 1", "b ? b : 1", "fixed"),
    # signs, shifts, order, comparison
    Mutant(f"{C}/integers.py", 'Op.SUB: "-"', 'Op.SUB: "+"', "fixed"),
    Mutant(f"{C}/integers.py", "literal(1 << int(node.attrs['left']))",
           "literal(2 << int(node.attrs['left']))", "fixed"),
    Mutant(f"{C}/integers.py", "(1 << (frac - a.frac), 1 << (frac - b.frac))",
           "(1 << (frac - b.frac), 1 << (frac - a.frac))", "fixed"),
    Mutant(f"{C}/integers.py", "if ({value} < best)", "if ({value} > best)", "fixed"),
    Mutant(f"{C}/integers.py", "> {plan.element(x, 'best')})", ">= {plan.element(x, 'best')})",
           "fixed"),
    Mutant(f"{C}/integers.py", "> 0 ? {args[0]} : 0)", "> 0 ? {args[0]} : 1)", "fixed"),
    # layout, padding, ends of loops
    Mutant(f"{C}/integers.py", 'rows = bool(node.attrs.get("transposed"))', "rows = False",
           "fixed"),
    Mutant(f"{C}/integers.py", "base = base + self.graph[bias].data()", "pass", "fixed"),
    Mutant(f"{C}/integers.py", "[{length} * i + {value}]", "[{length} * i + {value} / 2 * 2]",
           "fixed"),
    Mutant(f"{C}/constants.py", "reshape(len(full) // 4, 4, -1).transpose(0, 2, 1)",
           "reshape(len(full) // 4, -1, 4)", "fixed"),
    Mutant(f"{C}/plan.py", "offset = f\"{stride} * t\"", "offset = f\"{stride} * (t / 2)\"",
           "fixed"),
    Mutant(f"{T}/quads.h", "(uint8_t)p->b[3]", "p->b[3]", "fixed"),
    Mutant(f"{T}/tile.h", "y + t * n, init, 0, s##0", "y + t * n, init, 0, a##0", "fixed"),
    Mutant(f"{T}/panel.h", "if (pairs < k) {", "if (pairs > k) {", "float"),
    Mutant(f"{T}/compact.h", "int o = fours; o < n; o++", "int o = fours + 1; o < n; o++", "float",
           COMPACT),
    Mutant(f"{T}/sumsq.h", "for (int i = pairs; i < n; i++)", "for (int i = pairs + 1; i < n; i++)",
           "float"),
    Mutant(f"{T}/softmax.h", "sum += y[i];", "sum += i ? y[i] : 0.0f;", "float"),
    # reals: a sign, and constants that are wrong in the fourth digit
    Mutant(f"{T}/lanes_scalar.h", "return a - b;", "return b - a;", "float"),
    Mutant(f"{T}/gelu.h", "0.044715f", "0.0448f", "float"),
    Mutant(f"{T}/exp.h", "0.16666520f", "0.1669f", "float"),
    Mutant(f"{T}/l1_f32.h", "vabs(vsub(x, w))", "vsub(x, w)", "float"),
    Mutant(f"{T}/rows_f32.h", "vabs(vsub(vload(x + i), vload(p + i)))",
           "vsub(vload(x + i), vload(p + i))", "float"),
    # what only wider layers run
    Mutant(f"{T}/rows_f32.h", "tail += x[i] * w[i]", "tail = x[i] * w[i]", "float", AVX2),
    Mutant(f"{T}/lanes_avx2.h", "_mm256_sub_epi32(e, h)", "_mm256_sub_epi32(h, e)", "float", AVX2),
    Mutant(f"{T}/quads.h", "_mm256_srli_epi16(q, 8)", "_mm256_srai_epi16(q, 8)", "fixed", AVX2),
    Mutant(f"{C}/integers.py", "base - 128 *", "base - 127 *", "fixed", VNNI),
    Mutant(f"{T}/lanes_avx512.h", "return _mm512_scalef_ps(a, n);", "return a;", "float", VNNI),
]  # fmt: skip


@contextmanager
def planted(mutant: Mutant, place: Path) -> Iterator[None]:
    """The compiler with this bug in it."""
    text = (ROOT / mutant.file).read_text()
    assert text.count(mutant.old) >= 1, f"{mutant.file} no longer holds {mutant.old!r}"
    bad = text.replace(mutant.old, mutant.new, 1)
    with (
        _module(mutant.file, bad)
        if mutant.file.endswith(".py")
        else _template(mutant.file, bad, place)
    ):
        yield


@contextmanager
def _module(file: str, text: str) -> Iterator[None]:
    """Functions of the module, and methods of its classes, take their code from ``text``."""
    name = file.removeprefix("backends/").removesuffix(".py").replace("/", ".")
    module = importlib.import_module(name)
    fresh = ModuleType(name)
    fresh.__dict__.update({"__name__": name, "__file__": file})
    exec(compile(text, file, "exec", dont_inherit=True), fresh.__dict__)
    swapped = list(_swap(vars(module), vars(fresh)))
    try:
        yield
    finally:
        for function, code in reversed(swapped):  # a function in a table too was met twice
            function.__code__ = code


def _swap(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """Code objects change in place, so that every importer and every table sees the bug."""
    for key, value in list(old.items()):
        other = new.get(key)
        if hasattr(value, "__code__") and hasattr(other, "__code__"):
            yield value, value.__code__
            value.__code__ = other.__code__
        elif isinstance(value, dict) and isinstance(other, dict) and not key.startswith("__"):
            yield from _swap(value, other)
        elif isinstance(value, type) and isinstance(other, type) and "__module__" in vars(other):
            yield from _swap(vars(value), vars(other))


@contextmanager
def _template(file: str, text: str, place: Path) -> Iterator[None]:
    root = place / "templates"
    shutil.copytree(ROOT / "templates", root)
    (place / file).write_text(text)
    roots, render.ROOTS = render.ROOTS, (root,)
    render.environment.cache_clear()
    try:
        yield
    finally:
        render.ROOTS = roots
        render.environment.cache_clear()


# ---- passes ----


@dataclass(frozen=True)
class Model:
    """A graph that means something, what it means on ``inputs``, and its own error bound."""

    arithmetic: Arithmetic
    graph: Graph
    inputs: Any
    wanted: Any
    bound: Any


@cache
def models(arithmetic: Arithmetic) -> Sequence[Model]:
    """Mixed checkpoints, some with neurons that add nothing."""
    made = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        checkpoint = random_checkpoint(rng, 14)
        checkpoint.tensors["field.values"][: seed % 3] = 0
        checkpoint.tensors["field.values"][seed % 3 : 3] *= np.float32(1e-5)  # 0 in integers only
        checkpoint.tensors["field.positions"][:] *= np.float32(seed % 2 or 0.1)
        if arithmetic == "fixed":
            graph, samples = quantized(checkpoint, 4 + seed % 13)
            x = np.concatenate([samples, inputs_for(graph, rng, 20)])
            bound = np.zeros(())
        else:
            graph = lower(checkpoint)
            x = real_vectors(samples_of(checkpoint), 40)
            bound = error_bound(graph, x, 48)
        made.append(Model(arithmetic, graph, x, interpret(graph, x), bound))
    return made


def passes_are_right(arithmetic: Arithmetic) -> bool:
    for model in models(arithmetic):
        try:
            after = run_passes(model.graph, shaping_passes(arithmetic, "f32"))
            got = interpret(after, model.inputs)
        except (CompileError, ValueError):
            return False
        bound = np.broadcast_to(model.bound, model.wanted.shape)
        if arithmetic == "float":
            bound = bound + error_bound(after, model.inputs, 48)
        if not judge(model.wanted, got, bound).ok:
            return False
    return True


def test_a_bug_leaves_no_trace(tmp_path: Path) -> None:
    """Also of a function that a table holds: it is met twice, and must be mended in reverse."""
    code = ranges.RULES[Op.MATMUL].__code__
    bug = next(m for m in PASS_BUGS if m.new == "terms.high.max(0))")
    with planted(bug, tmp_path):
        assert ranges.RULES[Op.MATMUL].__code__ is not code
    assert ranges.RULES[Op.MATMUL].__code__ is code


@pytest.mark.parametrize("arithmetic", ["float", "fixed"])
def test_the_passes_without_a_bug(arithmetic: Arithmetic) -> None:
    assert passes_are_right(arithmetic)


@pytest.mark.parametrize("mutant", PASS_BUGS, ids=lambda m: m.name)
def test_bugs_of_passes_are_caught(mutant: Mutant, tmp_path: Path) -> None:
    models(mutant.graphs)
    with planted(mutant, tmp_path):
        assert not passes_are_right(mutant.graphs)


# ---- C ----


def features(case: Case) -> set[str]:
    """Ops, called functions and kinds of constants in the C of a graph."""
    text = str(CBackend(constants="hex").emit(case.graph, "")[PurePosixPath("crystal.c")])
    network = text.partition("/* ---- the network ---- */")[2]
    called = re.findall(r"\w+(?=\()|_(?:start|table|matrix|panel|quads)\b", network)
    return {*called, *(node.op.value for node in case.graph.nodes)}


def byte_cases() -> Iterator[Case]:
    """Models of 8 bits: signed and unsigned inputs, biases and weights of a byte."""
    for seed in range(4):
        checkpoint = tiny_checkpoint("radial", "relu", seed=seed, projection=True, inputs=9)
        assert checkpoint.calibration is not None
        samples = np.abs(checkpoint.calibration) if seed % 2 else checkpoint.calibration
        graph, _ = quantized(replace(checkpoint, calibration=samples), 8)
        shaped = run_passes(graph, shaping_passes("fixed", "f32"))
        yield case_of(shaped, np.random.default_rng(seed))


@cache
def cases(arithmetic: Arithmetic) -> Sequence[Case]:
    """Random graphs of the level, few, that hold every feature three times if 300 graphs do."""
    fixed = arithmetic == "fixed"
    found = list(byte_cases()) if fixed else []
    count: Counter[str] = Counter()
    for k in range(300):
        case = make_case(9, k)
        if case.graph.is_fixed != fixed:
            continue
        has = features(case)
        if any(count[feature] < 3 for feature in has):
            found.append(case)
            count.update(has)
    return found


def c_is_right(mutant: Mutant, place: Path) -> bool:
    """In portions, as most bugs show in the first."""
    every = cases(mutant.graphs)
    return not any(
        run_cases(every[k : k + 5], mutant.variant, place / f"part{k}")
        for k in range(0, len(every), 5)
    )


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
class TestC:
    @pytest.mark.parametrize("arithmetic", ["float", "fixed"])
    @pytest.mark.parametrize("variant", [SCALAR, COMPACT], ids=["scalar", "compact"])
    def test_without_a_bug(self, arithmetic: Arithmetic, variant: Variant, tmp_path: Path) -> None:
        assert c_is_right(Mutant("", "", "", arithmetic, variant), tmp_path)

    @pytest.mark.parametrize("mutant", C_BUGS, ids=lambda m: m.name)
    def test_bugs_are_caught(self, mutant: Mutant, tmp_path: Path) -> None:
        if mutant.variant.needs and mutant.variant not in runnable():
            pytest.skip(f"cpu: none with {' '.join(mutant.variant.needs)}")
        cases(mutant.graphs)
        with planted(mutant, tmp_path):
            assert not c_is_right(mutant, tmp_path)
