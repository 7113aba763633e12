"""Every layer of the C backend, under gcc and clang at every optimisation level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_models import Model, build, model, need

from crystalc.check import judge
from crystalc.error_bound import error_bound
from crystalc.interpret import interpret

CASES = {
    "laplace": ("f32", {"kernel": "laplace"}),
    "gauss": ("f32", {"kernel": "gauss"}),
    "gauss-normalized": ("f32", {"kernel": "gauss", "normalized": True}),
    "radial-gelu-l1": ("f32", {"activation": "gelu", "metric": "l1", "head": True}),
    "int8-weights": ("q8", {"kernel": "laplace"}),
    "int8-weights-l1": ("q8", {"metric": "l1", "projection": False}),
    "fixed8-relu": ("fixed8", {"activation": "relu", "inputs": 200, "dim": 64}),
    "fixed8-normalized": ("fixed8", {"kernel": "laplace", "normalized": True}),
    "fixed8-l1": ("fixed8", {"metric": "l1"}),
    "fixed16": ("fixed16", {"activation": "relu"}),
}
FLAGS = {
    "scalar-O0": ("-O0", "-DCRYSTAL_SCALAR"),
    "sse2-O2": ("-O2",),
    "avx2-O1": ("-O1", "-mavx2", "-mfma"),
    "avx512bw-O2": ("-O2", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"),
    "native-O0": ("-O0", "-march=native"),
    "native-O3": ("-O3", "-march=native"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    arithmetic, shape = CASES[request.param]
    return model(tmp_path_factory.mktemp("layers"), arithmetic, frozen=0.7, **shape)


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_equals_oracle_one_by_one_and_in_batches(case: Model, compiler: str, flags: str) -> None:
    program = build(case.place, need(compiler), FLAGS[flags])
    wanted = interpret(case.compiled.meaning, case.vectors)
    bound = np.zeros(wanted.shape)
    if not case.compiled.meaning.is_fixed:
        bound = error_bound(case.compiled.shaped, case.vectors, 24)
    for arguments in ((), ("batch",)):
        result = judge(wanted, case.run(program, *arguments), bound)
        assert result.ok, f"{arguments}: {result.reason}"


def test_compact_layout(case: Model, tmp_path: Path) -> None:
    files = case.compiled.backend.__class__(layout="compact").emit(case.compiled.shaped, "compact")
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
    program = build(tmp_path, "gcc", ("-O1",))
    compact = Model(case.compiled, tmp_path, case.vectors)
    wanted = interpret(case.compiled.meaning, case.vectors)
    bound = np.zeros(wanted.shape)
    if not case.compiled.meaning.is_fixed:
        bound = error_bound(case.compiled.shaped, case.vectors, 24)
    assert judge(wanted, compact.run(program), bound).ok
