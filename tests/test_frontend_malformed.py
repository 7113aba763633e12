"""Damaged files give a checkpoint or a refusal, never anything else, and no large allocation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile.archives import archive
from hostile.damage import damaged
from support import as_document, tiny_checkpoint, write_pt, write_safetensors
from test_frontend_hostile import load_many, outcome

from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import CompileError
from crystalc.frontend import check_archive, read_checkpoint

COUNT = int(os.environ.get("CRYSTALC_FUZZ", "200"))
ROOT = Path(__file__).resolve().parents[1]


def judge(path: Path) -> CompileError | Checkpoint:
    """Anything but these two is an error of ours and ends the test."""
    try:
        return read_checkpoint(path)
    except CompileError as error:
        assert error.diagnostics
        return error


def test_damaged_safetensors(tmp_path: Path) -> None:
    whole = write_safetensors(tmp_path / "m.safetensors", as_document(tiny_checkpoint(head=True)))
    data, read = whole.read_bytes(), 0
    for seed in range(COUNT):
        whole.write_bytes(damaged(data, seed))
        read += isinstance(judge(whole), Checkpoint)
    assert read < COUNT // 4, "the damage does too little"


def test_damaged_pt(tmp_path: Path) -> None:
    """The first wall alone for each file, then one child for all that pass it."""
    whole = write_pt(tmp_path / "m.pt", as_document(tiny_checkpoint("gauss", projection=True)))
    data, passed, refused = whole.read_bytes(), [], 0
    for seed in range(COUNT):
        path = tmp_path / f"{seed}.pt"
        path.write_bytes(damaged(data, seed))
        try:
            with path.open("rb") as file:
                check_archive(file)
            passed.append(path)
        except CompileError:
            refused += 1
    results = [outcome(reply) for reply in load_many(passed)]
    assert refused > COUNT // 4
    assert all(isinstance(result, CompileError | Checkpoint) for result in results)
    assert any(isinstance(result, CompileError) for result in results), "torch saw no damage"


@pytest.mark.parametrize("seed", range(3))
def test_damaged_pt_by_the_whole_route(seed: int, tmp_path: Path) -> None:
    whole = write_pt(tmp_path / "m.pt", as_document(tiny_checkpoint()))
    data = bytearray(whole.read_bytes())
    start = data.index(b"field.positions") + seed * 7
    data[start] ^= 0x15
    whole.write_bytes(bytes(data))
    assert isinstance(judge(whole), CompileError)


def liar(shape: str, offsets: str = "[0,8]", dtype: str = "F32") -> bytes:
    """A safetensors file of 8 data bytes whose header claims something else."""
    header = f'{{"positions":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}'
    return len(header).to_bytes(8, "little") + header.encode() + bytes(8)


def many_entries(count: int) -> bytes:
    """A valid end record over a directory of ``count`` empty entries."""
    entry = bytes.fromhex("504b0102") + bytes(42)
    end = b"PK\x05\x06" + bytes(4) + (count % 65536).to_bytes(2, "little") * 2
    directory = entry * count
    size = len(directory).to_bytes(4, "little")
    return b"PK\x03\x04" + bytes(60) + directory + end + size + (64).to_bytes(4, "little") + b"\0\0"


def sparse(size: int, start: bytes) -> tuple[bytes, int]:
    """The start of a file and the length to which it is stretched with a hole."""
    return start, size


LIARS: dict[str, bytes | tuple[bytes, int]] = {
    "shape_2_63": liar("[9223372036854775808]"),
    "shape_2_64": liar("[18446744073709551616]"),
    "shape_product_wraps": liar("[4294967296,4294967296]"),
    "shape_negative": liar("[-1,-2]"),
    "shape_float": liar("[1e300]"),
    "shape_zero": liar("[0,4]", "[0,0]"),
    "shape_text": liar('"2"'),
    "shape_nested": liar("[[2]]"),
    "offsets_2_63": liar("[2]", "[0,9223372036854775808]"),
    "offsets_reversed": liar("[2]", "[8,0]"),
    "offsets_negative": liar("[2]", "[-8,0]"),
    "offsets_missing": liar("[2]", "[]"),
    "offsets_of_text": liar("[2]", '["0","8"]'),
    "gap": liar("[1]", "[4,8]"),
    "unknown_dtype": liar("[2]", "[0,8]", "F31"),
    "dtype_with_newline": liar("[2]", "[0,8]", "F\\n32"),
    "header_2_63": (2**63).to_bytes(8, "little") + b"{}",
    "header_2_64": b"\xff" * 8 + b"{}",
    "header_of_all": (1 << 29).to_bytes(8, "little") + b"{" + b" " * 100,
    "header_of_spaces": sparse(1 << 29, (1 << 28).to_bytes(8, "little") + b"{"),
    "deep_json": (60_000).to_bytes(8, "little") + b'{"a":' + b"[" * 59_995,
    "deep_dicts": (60_000).to_bytes(8, "little") + b'{"a":' * 12_000,
    "many_digits": liar("[" + "9" * 5000 + "]"),
    "seven_bytes": b"\x02\0\0\0\0\0\0",
    "zip_65535_entries": many_entries(65535),
    "zip_far_directory": sparse(1 << 29, b"PK\x03\x04"),
    "zip_huge_pickle": archive(b"\x80\x02" + b"N0" * (1 << 19) + b"N."),
    "zip_long_pickle": archive(b"\x80\x02" + b"N0" * ((1 << 19) - 4) + b"X\0\0\0"),
    "too_large": sparse((1 << 30) + 1, b"PK\x03\x04"),
    "zeros": bytes(100_000),
}


def write_liar(name: str, folder: Path) -> Path:
    entry = LIARS[name]
    data, size = entry if isinstance(entry, tuple) else (entry, len(entry))
    path = folder / ("m.pt" if name.startswith("zip") else "m.safetensors")
    path.write_bytes(data)
    os.truncate(path, size)
    return path


@pytest.mark.parametrize("name", LIARS)
def test_liars_are_refused_without_large_allocations(name: str, tmp_path: Path) -> None:
    """No process but the parent, and at most 64 MiB more address space than it has already."""
    path = write_liar(name, tmp_path)
    script = (
        "import resource, sys; from crystalc.frontend import read_checkpoint;"
        "from crystalc.diagnostics import CompileError;"
        "mapped = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (mapped + (64 << 20),) * 2)\n"
        "try: read_checkpoint(sys.argv[1])\n"
        "except CompileError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("error: ")
    assert done.stdout.count("error: ") == 1
