"""The other side of the wall: a program of its own that loads ``.pt`` files with torch.

Started as ``python -I -B child.py FD...``, never imported by the compiler; each FD is an open
file. For each it writes to standard output 8 bytes of length (little-endian), one byte of kind
and a body: ``T`` and a safetensors file (tensors named "0", "1", ... and the rest as JSON in its
metadata), ``E`` and why the file is refused, ``X`` and what this machine lacks.

Before torch sees a file the process may write no file, has bounded time and memory, and refuses,
by an audit hook, to start programs, open sockets or change the file system.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO

TORCH_NEEDED = (2, 10)
MAX_DEPTH = 8
MAX_NODES = 100_000
MAX_CHARS = 1 << 20
SPARE_BYTES = 1 << 20  # tensors may be views: allow this much beyond 4 times the file
CPU_SECONDS = 300
SPARE_MEMORY = 1 << 30

FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn"),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.kill", "os.putenv", "subprocess.", "socket.", "shutil."),
    *("ctypes.", "pty.", "webbrowser.", "urllib.", "ftplib.", "smtplib.", "http.", "mmap."),
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(Exception):
    """The file is not fit; the message says why."""


class Encoder:
    """Turns a loaded object into JSON nodes and a list of tensors, within limits.

    Nodes: a plain JSON value; {"d": [[key, node], ...]}; {"l": [node, ...]}; {"t": index};
    {"o": what it is} for anything else.
    """

    def __init__(self, torch: Any, file_bytes: int) -> None:
        self.torch = torch
        self.tensors: dict[str, Any] = {}
        self.nodes = MAX_NODES
        self.chars = MAX_CHARS
        self.bytes = 4 * file_bytes + SPARE_BYTES

    def node(self, value: Any, depth: int = 0) -> Any:
        """One value as JSON; raises Refused beyond the limits."""
        self.nodes -= 1
        if self.nodes < 0:
            raise Refused(f"holds more than {MAX_NODES} values")
        if isinstance(value, self.torch.Tensor):
            return self.tensor(value.detach())
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if value.bit_length() < 64 else {"o": "an integer beyond 64 bits"}
        if isinstance(value, dict | list | tuple):
            return self.container(value, depth)
        return {"o": f"a value of type {type(value).__name__}"}

    def container(self, value: Any, depth: int) -> Any:
        """A dict or a list."""
        if depth == MAX_DEPTH:
            return {"o": "a value nested too deeply"}
        if isinstance(value, dict):
            return {"d": [[self.key(k), self.node(v, depth + 1)] for k, v in value.items()]}
        return {"l": [self.node(entry, depth + 1) for entry in value]}

    def key(self, key: Any) -> str:
        """A dict's key as text: optimisers count their parameters with integers."""
        return self.text(key if isinstance(key, str) else f"<{type(key).__name__} {key!s:.40}>")

    def text(self, text: str) -> str:
        """The same string, counted."""
        self.chars -= len(text)
        if self.chars < 0:
            raise Refused(f"holds more than {MAX_CHARS} characters of text")
        return text

    def tensor(self, tensor: Any) -> dict[str, Any]:
        """A dense CPU tensor, copied; anything else is only named."""
        torch = self.torch
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            return {"o": "a tensor that is sparse, quantised or without data"}
        if tensor.is_complex() or tensor.dtype not in self.dtypes():
            return {"o": f"{str(tensor.dtype).removeprefix('torch.')} tensor"}
        self.bytes -= tensor.numel() * tensor.element_size()
        if self.bytes < 0:
            raise Refused("its tensors are far larger than the file")
        name = str(len(self.tensors))
        self.tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
        return {"t": name}

    def dtypes(self) -> set[Any]:
        """The element types that NumPy has too."""
        torch = self.torch
        whole = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
        return whole | {torch.bool, torch.float16, torch.float32, torch.float64}


def load(torch: Any, file: BinaryIO, size: int) -> bytes:
    """One file as safetensors bytes."""
    from safetensors.torch import save

    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
        encoder = Encoder(torch, size)
        tree = encoder.node(loaded)
    except Refused:
        raise
    except MemoryError:
        raise Refused("needs too much memory") from None
    except Exception as error:
        raise Refused(f"cannot be read by torch ({type(error).__name__})") from None
    return bytes(save(encoder.tensors, {"tree": json.dumps(tree)}))


def reply(out: BinaryIO, kind: bytes, body: bytes) -> None:
    """Send one frame."""
    out.write(struct.pack("<Q", len(body)) + kind + body)
    out.flush()


def limit(name: str, amount: int) -> None:
    """Lower one resource limit where the system knows it."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(getattr(resource, name), (amount, amount))


def limit_memory(file_bytes: int) -> None:
    """What is mapped now (torch is large), 16 times the files, and a spare gibibyte."""
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:
        mapped = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit("RLIMIT_AS", mapped + 16 * file_bytes + SPARE_MEMORY)


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: only reading is allowed."""
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if writes or event.startswith(FORBIDDEN):
        raise PermissionError(f"{event} is not allowed here")


def import_torch() -> Any:
    """The torch module; raises ImportError with a sentence if it is missing or too old."""
    try:
        torch: Any = importlib.import_module("torch")
        importlib.import_module("safetensors.torch")  # before the guard is up
    except ImportError as error:
        raise ImportError(f"cannot be imported here ({error})") from None
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found is None or (int(found[1]), int(found[2])) < TORCH_NEEDED:
        raise ImportError(f"{torch.__version__} is installed, which can be made to run code")
    torch.set_num_threads(1)
    return torch


def main(descriptors: list[int]) -> None:
    """Answer for every open file, in order."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not mix with the replies
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_FSIZE", 0)
    limit("RLIMIT_CPU", CPU_SECONDS)
    try:
        torch = import_torch()
    except ImportError as error:
        reply(out, b"X", str(error).encode())
        return
    files = [os.fdopen(descriptor, "rb") for descriptor in descriptors]
    sizes = [os.fstat(file.fileno()).st_size for file in files]
    limit_memory(sum(sizes))
    sys.addaudithook(guard)
    for file, size in zip(files, sizes, strict=True):
        file.seek(0)
        try:
            reply(out, b"T", load(torch, file, size))
        except Refused as error:
            reply(out, b"E", str(error).encode())


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
