"""A language model on a GPU, from Python: needs nothing but the library that the .cu became.

Where memory is asked for, give an address or anything with ``data_ptr()`` (a torch tensor on the
device: int32 ids, float32 results); where a stream is, a cudaStream_t as a number. No call but
opening waits for the device.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any


class Draw(ctypes.Structure):
    """How tokens are drawn: temperature 0 takes the likeliest; the same seed means one text."""

    _fields_ = (
        ("temperature", ctypes.c_float),
        ("top_p", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
    )


class Plan(ctypes.Structure):
    """How the kernels run; see the header."""

    _fields_ = (
        ("blocks", ctypes.c_int32),
        ("cluster", ctypes.c_int32),
        ("resident", ctypes.c_int32),
        ("everywhere", ctypes.c_int32),
        ("cached", ctypes.c_int32),
        ("together", ctypes.c_int32),
        ("shared", ctypes.c_size_t),
    )


class GpuError(RuntimeError):
    """What a call was refused with; ``code`` is the library's."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(f"{sentence} (code {code})")
        self.code = code


class Model:
    """The model inside ``library``, with its weights on the current device.

    ``prefix`` is the name it was compiled with, ``plan`` how the kernel of one sequence runs (None:
    chosen); ``device`` is "cpu" only for a library that was built with the CPU's shim. Raises
    OSError where the library does not load, GpuError where the device refuses. Tensors of another
    device or type, or with gaps, are a TypeError or ValueError; addresses are believed.
    """

    def __init__(
        self,
        library: str | Path,
        prefix: str = "crystal",
        plan: Plan | None = None,
        device: str = "cuda",
    ) -> None:
        self._library, self._prefix, self._device = ctypes.CDLL(str(library)), prefix, device
        self._function("gpu_error").restype = ctypes.c_char_p
        self._function("gpu_room").restype = ctypes.c_size_t
        self._function("gpu_plan_of").restype = Plan
        self._gpu, loaded = ctypes.c_void_p(), ctypes.c_void_p()
        code = self._function("embedded")(ctypes.byref(loaded))
        if code:
            raise GpuError(code, "the model inside the library is refused")
        try:
            wanted = None if plan is None else ctypes.byref(plan)
            self._call("open", loaded, wanted, ctypes.byref(self._gpu))
            self.vocabulary: int = self._function("vocabulary")(loaded)
            self.context: int = self._function("context")(loaded)
        finally:
            self._function("free")(loaded)

    @property
    def plan(self) -> Plan:
        """What was chosen for one sequence."""
        found: Plan = self._function("gpu_plan_of")(self._gpu)
        return found

    def room(self, sequences: int = 0) -> int:
        """Bytes of device memory that a call with so many sequences needs; 0: ``generate``."""
        return int(self._function("gpu_room")(sequences))

    def generate(
        self,
        room: Any,
        ids: Any,
        given: int,
        count: int,
        draw: Draw | None = None,
        logits: Any = None,
        stream: int = 0,
    ) -> None:
        """``count`` tokens after the first ``given`` of ids [given + count], in one launch.

        ``logits`` [count, vocabulary] or None.
        """
        how = None if draw is None else ctypes.byref(draw)
        memory = self._at(room, ""), self._at(ids, "int32"), given, count
        arguments = (*memory, how, self._at(logits, "float32"), ctypes.c_void_p(stream))
        self._call("generate", self._gpu, *arguments)

    def generate_batch(
        self,
        room: Any,
        ids: Any,
        given: Any,
        sequences: int,
        stride: int,
        count: int,
        stream: int = 0,
    ) -> None:
        """``count`` greedy tokens for each row of ids [sequences, stride] after given[b] of it."""
        rows = sequences, self._at(ids, "int32"), stride, self._at(given, "int32"), count
        self._call("generate_batch", self._gpu, self._at(room, ""), *rows, ctypes.c_void_p(stream))

    def score(
        self,
        room: Any,
        ids: Any,
        targets: Any,
        sequences: int,
        stride: int,
        count: int,
        found: Any,
        logits: Any = None,
        stream: int = 0,
    ) -> None:
        """found [sequences, stride]: log probability of each target after ids [sequences, stride].

        ``count`` (at most the context) of each row; ``logits`` [sequences, stride, vocabulary].
        """
        texts = self._at(ids, "int32"), self._at(targets, "int32")
        out = self._at(found, "float32"), self._at(logits, "float32"), ctypes.c_void_p(stream)
        windows = (sequences, *texts, stride, count)
        self._call("score", self._gpu, self._at(room, ""), *windows, *out)

    def close(self) -> None:
        """Give the device's memory back; the model is not used after it."""
        self._function("gpu_close")(self._gpu)
        self._gpu = ctypes.c_void_p()

    def _at(self, memory: Any, dtype: str) -> ctypes.c_void_p:
        """The address of device memory; of a tensor of ``dtype`` ("": of any)."""
        if memory is None or isinstance(memory, int):
            return ctypes.c_void_p(memory)
        if memory.device.type != self._device:
            raise TypeError(f"a tensor is on {memory.device}, not on {self._device}")
        if dtype and str(memory.dtype) != f"torch.{dtype}":
            raise TypeError(f"a tensor is {memory.dtype}, not {dtype}")
        if not memory.is_contiguous():
            raise ValueError("a tensor is not contiguous")
        return ctypes.c_void_p(memory.data_ptr())

    def _function(self, name: str) -> Any:
        return getattr(self._library, f"{self._prefix}_{name}")

    def _call(self, name: str, *arguments: Any) -> None:
        code = self._function(f"gpu_{name}")(*arguments)
        if code:
            raise GpuError(code, self._function("gpu_error")(code).decode())
