"""A short run of the fuzzer, and every file of the corpus, under ASan and UBSan."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from c_models import need
from fuzz_runtime import CORPUS, build, fuzz

from crystalc.diagnostics import ToolError


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("clang")
    try:
        return build(tmp_path_factory.mktemp("fuzz") / "fuzzer")
    except ToolError as error:
        pytest.skip(f"no libFuzzer: {error}")


def test_the_corpus_is_clean(fuzzer: Path) -> None:
    files = [str(p) for p in sorted(CORPUS.rglob("*.crystal"))]
    done = subprocess.run([fuzzer, *files], capture_output=True, text=True)
    assert len(files) > 100 and done.returncode == 0, done.stderr[-2000:]


def test_a_short_run_is_clean(fuzzer: Path, tmp_path: Path) -> None:
    done = fuzz(fuzzer, 10_000, 1, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units: 10" in done.stderr
