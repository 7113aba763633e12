"""Malformed .crystal files against the C loader under ASan and UBSan: ``make fuzz``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from crystalc.diagnostics import ToolError
from crystalc_c.build import find_compiler, run
from crystalc_c.runtime import MAIN, folder

HERE = Path(__file__).parent
CORPUS = HERE.parent / "tests" / "crystal_corpus"
SANITIZE = ("-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")


def build(output: Path) -> Path:
    """The fuzzer. Raises ToolError where clang has no libFuzzer."""
    names = [str(p) for p in folder().glob("*.c") if p.name != MAIN]
    flags = ("-std=c99", *SANITIZE, f"-I{folder()}")
    source = str(HERE / "fuzz_runtime.c")
    run([*find_compiler("clang"), *flags, source, *names, "-o", str(output)], output.parent)
    return output


def fuzz(fuzzer: Path, count: int, seed: int, place: Path) -> subprocess.CompletedProcess[str]:
    """``count`` files grown from the corpus; what breaks is kept in ``place``."""
    found = place / "found"
    found.mkdir(exist_ok=True)
    limits = ["-max_len=40000", "-rss_limit_mb=512", "-timeout=20", f"-artifact_prefix={place}/"]
    command = [str(fuzzer), f"-runs={count}", f"-seed={seed}", "-print_final_stats=1", *limits]
    return subprocess.run([*command, str(found), str(CORPUS)], capture_output=True, text=True)


def main() -> int:
    """Exit code 1 where a file broke the loader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    a = parser.parse_args()
    a.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        try:
            done = fuzz(build(Path(place) / "fuzzer"), a.count, a.seed, a.keep.absolute())
        except ToolError as error:
            print(error, file=sys.stderr)
            return 3
    print("\n".join(done.stderr.splitlines()[-12:]))
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
