"""NVIDIA's run-time compiler from its PyPI wheel: a compile check without a toolkit."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from crystalc.diagnostics import ToolError

PACKAGE = "nvidia-cuda-nvrtc-cu12"
OPTIONS = ("--std=c++17", "--ptxas-options=-v")


@cache
def library() -> ctypes.CDLL | None:
    """The wheel's library, or None where it is not installed or does not load."""
    spec = find_spec("nvidia")
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).glob("*/lib/libnvrtc.so.*")):
            if ".alt." in path.name:
                continue
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                continue
    return None


def version() -> str:
    """``12.9``."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    found = library()
    if found is None or found.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)):
        return "unknown"
    return f"{major.value}.{minor.value}"


def compile_cubin(source: str, arch: str) -> str:
    """What the compiler says of the kernels of ``source``. Raises ToolError where it refuses."""
    found = library()
    if found is None:
        raise ToolError("NVRTC is not installed", hint=f"pip install {PACKAGE}")
    program = ctypes.c_void_p()
    text = source.encode()
    if found.nvrtcCreateProgram(ctypes.byref(program), text, b"model.cu", 0, None, None):
        raise ToolError("NVRTC does not take the source")
    options = [o.encode() for o in (*OPTIONS, f"--gpu-architecture={arch}")]
    array = (ctypes.c_char_p * len(options))(*options)
    code = found.nvrtcCompileProgram(program, len(options), array)
    log = _log(found, program)
    found.nvrtcDestroyProgram(ctypes.byref(program))
    if code:
        raise ToolError(f"NVRTC failed with code {code} for {arch}", details=log)
    return log


def _log(found: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    found.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(max(1, size.value))
    found.nvrtcGetProgramLog(program, text)
    return text.value.decode(errors="replace")
