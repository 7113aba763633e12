"""Instructions in the loops of the classifiers' kernels: ``python -m benchmarks.cuda_static``.

Compiles what ``benchmarks.cuda`` would run for sm_90 and disassembles it: counts by kind of the
instructions of each loop, inner loops left out. Counts, not times; it needs no GPU, but nvcc, and
cuobjdump from the toolkit or ``pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm``.
"""

from __future__ import annotations

import re
import shutil
import site
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import checkout
from benchmarks.cuda_classifiers import CASES, compiled_case
from crystalc import driver, tools
from crystalc.diagnostics import EXIT_TOOL_FAILED, ToolError
from crystalc_cuda import nvcc

ARCH = "sm_90"
SECONDS = 120.0
HINT = "pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm"
KINDS = {
    "mma": r"HMMA|IMMA",
    "fp32": r"FFMA|FADD|FMUL",
    "imad": r"IMAD(?!\.MOV)",
    "move": r"IMAD\.MOV|MOV",
    "convert": r"F2FP|HADD2|I2F|F2I|I2IP|F2F",
    "shared": r"LDS|STS|SHFL",
    "global": r"LDG|STG|LDGSTS|CCTL",
    "branch": r"BRA|BSSY|BSYNC|EXIT|WARPSYNC|BAR|NOP|RET|CALL",
    "other": r"",
}
"""By the first pattern that the name begins with."""

INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,5})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")
"""Address, name and operands in a listing."""

_TARGET = re.compile(r"0x([0-9a-f]+)")


@dataclass(frozen=True)
class Loop:
    """A loop from the instruction at address ``first`` to ``last``, and its own instructions."""

    first: int
    last: int
    depth: int
    counts: Counter[str]


def cuobjdump() -> str:
    """The disassembler on PATH, or of a wheel. Raises ToolError."""
    places = [Path(root) for root in (*site.getsitepackages(), *sys.path)]
    wheels = [str(p) for root in places for p in root.glob("nvidia/*/bin/cuobjdump")]
    found = [path for path in (shutil.which("cuobjdump"), *wheels) if path]
    if not found:
        raise ToolError("cuobjdump is not there", hint=HINT)
    return found[0]


def kernels(cubin: Path) -> Iterator[tuple[str, list[Loop]]]:
    """The kernels of a cubin with their loops, outer ones first. Raises ToolError."""
    command = [cuobjdump(), "-sass", cubin.name]
    text = tools.run(command, cubin.parent, timeout=SECONDS).decode()
    for part in text.split("Function : ")[1:]:
        yield part.split()[0], loops(INSTRUCTION.findall(part))


def loops(instructions: Sequence[tuple[str, str, str]]) -> list[Loop]:
    """Every jump back closes a loop. Instructions are (address, name, operands)."""
    spans = []
    for address, name, operands in instructions:
        target = _TARGET.search(operands)
        if name == "BRA" and target and int(target[1], 16) < int(address, 16):
            spans.append((int(target[1], 16), int(address, 16)))
    found = []
    for first, last in sorted(spans):
        inner = [s for s in spans if first <= s[0] and s[1] <= last and s != (first, last)]
        depth = sum(s[0] <= first and last <= s[1] for s in spans) - 1
        own = Counter(
            kind_of(name)
            for address, name, _ in instructions
            if first <= int(address, 16) <= last
            and not any(a <= int(address, 16) <= b for a, b in inner)
        )
        found.append(Loop(first, last, depth, own))
    return found


def kind_of(name: str) -> str:
    """The kind of an instruction."""
    return next(kind for kind, pattern in KINDS.items() if re.match(pattern, name))


def table(case: str, place: Path) -> Iterator[str]:
    """Lines about the kernels of a case, made in ``place``. Raises ToolError."""
    driver.write(compiled_case(CASES[case]), place)
    command = ["nvcc", *nvcc.FLAGS, f"-arch={ARCH}", "-cubin", "crystal.cu", "-o", "crystal.cubin"]
    tools.run(command, place, timeout=SECONDS)
    registers = {k.name: k.registers for k in nvcc.kernels(place / "crystal.cu", [ARCH])}
    for name, found in kernels(place / "crystal.cubin"):
        samples = "bytes" if "kernelIh" in name else "floats"
        yield f"{case}: samples of {samples}, {registers[name]} registers"
        yield " ".join(f"{kind:>7}" for kind in ("loop", "all", *KINDS))
        for loop in found:
            counts = [loop.counts.total(), *(loop.counts[kind] for kind in KINDS)]
            label = f"{'.' * loop.depth}{loop.first:x}"
            yield " ".join([f"{label:>7}", *(f"{n:>7}" for n in counts)])


def main() -> int:
    """Every case, or those whose names are given. Returns the exit code."""
    checkout.offer_targets()
    try:
        for case in sys.argv[1:] or CASES:
            with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
                print("\n".join(table(case, Path(place))), flush=True)
    except ToolError as error:
        print(error, file=sys.stderr)
        return EXIT_TOOL_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
