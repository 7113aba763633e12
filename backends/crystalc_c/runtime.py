"""The C runtime of language models: its sources, the program built from them, one with a model in.

The sources in ``templates/c/runtime`` are plain C99 and are compiled as they stand.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from crystalc.diagnostics import ToolError, refuse
from crystalc.render import block_comment, render, template_root
from crystalc_c.build import find_compiler, run
from crystalc_c.constants import Constant, image, string_chunks
from crystalc_c.files import Chunk, Files

PROGRAM_FLAGS = (
    *("-std=c99", "-Os", "-ffunction-sections", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--gc-sections", "-Wl,-z,noseparate-code", "-s"),
)
"""For the smallest program; -O2 is no faster where there are vectors."""
PLAIN_FLAGS = ("-std=c99", "-O2")
"""For linkers that know no sections."""
LIBRARY_FLAGS = ("-std=c99", "-O2", "-shared", "-fPIC")
NAMES = "crystal_names.h"
MAIN = "main.c"
SHARED = re.compile(rb"\bcrystal_[a-z0-9_]+\b")
SPEED = re.compile(rb"\((\d+) a second\)")
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class Context:
    """What ``language.c.j2`` reads. No string in it comes from the model."""

    name: str
    upper: str
    header: Sequence[str]
    align: str
    constants: Sequence[Constant]
    constants_template: str
    chunks: Sequence[Chunk]
    total: int


def folder() -> Path:
    """Where the sources are."""
    return template_root() / "c" / "runtime"


def sources() -> dict[str, bytes]:
    """Every C file and header by name."""
    return {p.name: p.read_bytes() for p in sorted(folder().glob("*.[ch]"))}


def units(prefix: str) -> list[str]:
    """C files of an emitted model, without its program: others in its folder are not ours."""
    return sorted([f"{prefix}.c", *(n for n in sources() if n.endswith(".c") and n != MAIN)])


def program(output: Path, compiler: str = "", flags: Sequence[str] = PROGRAM_FLAGS) -> Path:
    """Build the command-line program. Raises ToolError."""
    return _build(output, compiler, flags, frozenset())


def library(output: Path, compiler: str = "", flags: Sequence[str] = LIBRARY_FLAGS) -> Path:
    """Build a shared library of the API in ``crystal.h``. Raises ToolError."""
    return _build(output, compiler, flags, frozenset([MAIN]))


def cached_program(cache: Path | None = None) -> Path:
    """The program for these sources, built at its first use. Raises ToolError."""
    words = find_compiler("")
    digest = hashlib.sha256(repr(words).encode())
    for name, text in sources().items():
        digest.update(name.encode() + b"\0" + text)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    output = (cache or home / "crystalc") / f"crystal_runtime-{digest.hexdigest()[:16]}"
    if output.exists():
        return output
    try:
        return program(output, shlex.join(words))
    except ToolError:
        return program(output, shlex.join(words), PLAIN_FLAGS)


def talk(model: Path, prompt: str, options: Sequence[str]) -> int:
    """Run the program on this process's streams and return its exit code. Raises ToolError."""
    command = [str(cached_program()), str(model), prompt, *options]
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise ToolError(f"{command[0]} does not start: {error.strerror}") from error


def tokens_a_second(container: bytes) -> float | None:
    """Speed of greedy text, by the program's own clock; None where there is no C compiler.

    Raises ToolError where the program fails.
    """
    try:
        runtime = cached_program()
    except ToolError:
        return None
    with tempfile.TemporaryDirectory(prefix="crystalc-") as folder:
        model = Path(folder) / "model.crystal"
        model.write_bytes(container)
        said = run([str(runtime), str(model), "--bench"], Path(folder))
    found = SPEED.search(said)
    if found is None:
        raise ToolError(f"{runtime.name} --bench does not say how fast it is")
    return float(found[1])


def language_files(
    container: bytes, prefix: str, header: str = "crystalc", constants: str = "incbin"
) -> Files:
    """A language model as one C program: the runtime's sources, and ``container`` inside.

    ``prefix`` begins every symbol that the sources share. ``constants``: "incbin" (weights.bin,
    by #embed where the compiler has it) or "string" (in the source, for any compiler).
    """
    if not IDENTIFIER.fullmatch(prefix):
        raise refuse(f"'{prefix}' does not begin C names", hint="small letters, digits, _")
    data = np.frombuffer(container, np.uint8)
    constant = Constant(f"{prefix}_file", "uint8_t", data, "a .crystal file")
    chunks = string_chunks(constant.raw) if constants == "string" else []
    context = Context(
        name=prefix,
        upper=prefix.upper(),
        header=block_comment(header.strip("\n")),
        align="",
        constants=[constant],
        constants_template=f"c/constants_{'string' if chunks else 'file'}.c.j2",
        chunks=[Chunk(sum(line.count("\\") for line in c), "\n".join(c)) for c in chunks],
        total=len(data),
    )
    files: dict[PurePosixPath, str | bytes] = {
        PurePosixPath(name): text for name, text in sources().items()
    }
    files[PurePosixPath(NAMES)] = _names(prefix)
    files[PurePosixPath(MAIN)] = b"#define CRYSTAL_EMBEDDED\n" + sources()[MAIN]
    files[PurePosixPath(f"{prefix}.c")] = render("c/language.c.j2", context)
    if not chunks:
        files[PurePosixPath("weights.bin")] = image([constant])
    return files


def _names(prefix: str) -> str:
    found = {n.decode() for text in sources().values() for n in SHARED.findall(text)}
    lines = [f"#define {n} {prefix}_{n.removeprefix('crystal_')}" for n in sorted(found)]
    return "/* Every name that the sources share, with the prefix of this model. */\n\n" + "".join(
        line + "\n" for line in lines if not line.startswith("#define crystal_runtime ")
    )


def _build(output: Path, compiler: str, flags: Sequence[str], left_out: frozenset[str]) -> Path:
    names = [str(folder() / n) for n in sources() if n.endswith(".c") and n not in left_out]
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as place:
        made = Path(place) / output.name
        run([*find_compiler(compiler), *flags, *names, "-o", str(made)], Path(place))
        made.replace(output)
    return output
