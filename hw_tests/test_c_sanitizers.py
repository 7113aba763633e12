"""Address and undefined-behaviour sanitizers over every kind of model and absurd inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_models import Model, build, model, need

SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CASES = {
    "laplace": ("f32", {"kernel": "laplace"}),
    "l1-normalized": ("f32", {"kernel": "gauss", "metric": "l1", "normalized": True}),
    "gelu": ("f32", {"activation": "gelu", "head": True, "inputs": 131, "dim": 64}),
    "int8-weights": ("q8", {"metric": "l1"}),
    "fixed8": ("fixed8", {"activation": "relu", "inputs": 201, "dim": 64}),
    "fixed8-normalized": ("fixed8", {"kernel": "gauss", "normalized": True}),
    "fixed16-l1": ("fixed16", {"kernel": "laplace", "metric": "l1"}),
}
ABSURD = (0.0, -0.0, 1e-42, 3e38, -3e38, np.inf, -np.inf, np.nan, 1e19, -7.0, 88.0, 104.0)


def absurd(case: Model) -> Model:
    """The same model on inputs that nobody means; extremes of the type for a fixed one."""
    rng = np.random.default_rng(0)
    elem = case.compiled.meaning.input.type.elem
    pool = (elem.low, elem.high) if case.compiled.meaning.is_fixed else ABSURD  # type: ignore[union-attr]
    return Model(case.compiled, case.place, rng.choice(np.array(pool), case.vectors.shape))


@pytest.mark.parametrize("layout", ["simd", "compact"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "compiler, flags", [("gcc", "-march=native"), ("clang", "-DCRYSTAL_SCALAR")]
)
def test_clean(compiler: str, flags: str, name: str, layout: str, tmp_path: Path) -> None:
    arithmetic, shape = CASES[name]
    case = model(tmp_path, arithmetic, {"layout": layout}, frozen=0.6, **shape)
    program = build(tmp_path, need(compiler), ("-O1", flags, *SANITIZE))
    for vectors in (case, absurd(case)):
        for arguments in ((), ("batch",)):
            assert vectors.run(program, *arguments).shape == (len(case.vectors), 10)
