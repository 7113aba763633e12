"""Some sixty files that run code, or eat the machine, where they are loaded carelessly."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hostile.archives import archive, call, document, glob, number, tensor, text, tuple_of


@dataclass(frozen=True)
class Hostile:
    """A file's bytes; ``payload`` is the pickle inside where plain ``pickle.loads`` runs it."""

    name: str
    data: bytes
    payload: bytes = b""


def hostile_files(canary: Path) -> list[Hostile]:
    """All of them; every one that can run code would create the file ``canary``."""
    running = [*_commands(canary), *_python(canary), *_assembled(canary)]
    live = [Hostile(name, archive(document(v)), document(v)) for name, v in running]
    resting = [*_through_torch(canary), *_resources()]
    dead = [Hostile(name, archive(document(value))) for name, value in resting]
    whole = [Hostile(name, archive(data)) for name, data in _whole_pickles()]
    return [*live, *dead, *whole, *(Hostile(*pair) for pair in _other_files(canary))]


def _commands(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Functions that take a command; each creates the canary under an ordinary unpickler."""
    touch = text(f"touch {canary}")
    words = tuple_of(text("touch"), text(str(canary)))
    module = call(glob("importlib", "import_module"), text("os"))
    yield "os_system", call(glob("os", "system"), touch)
    yield "posix_system", call(glob("posix", "system"), touch)
    yield "os_spawnvp", call(glob("os", "spawnvp"), number(0), text("touch"), words)
    yield "subprocess_call", call(glob("subprocess", "call"), words)
    yield "subprocess_run", call(glob("subprocess", "run"), words)
    yield "subprocess_check_output", call(glob("subprocess", "check_output"), words)
    yield "subprocess_getoutput", call(glob("subprocess", "getoutput"), touch)
    yield "pty_spawn", call(glob("pty", "spawn"), words)
    yield "partial", call(call(glob("functools", "partial"), glob("os", "system"), touch))
    mapped = call(glob("builtins", "map"), glob("os", "system"), tuple_of(touch))
    yield "map_of_system", call(glob("builtins", "list"), mapped)
    yield "getattr_chain", call(call(glob("builtins", "getattr"), module, text("system")), touch)
    yield (
        "attrgetter",
        call(call(call(glob("operator", "attrgetter"), text("system")), module), touch),
    )
    yield (
        "methodcaller",
        call(call(glob("operator", "methodcaller"), text("system"), touch), module),
    )


def _python(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Functions that take Python source, a path or another pickle."""
    source = f"open({str(canary)!r}, 'w').close()"
    path = text(str(canary))
    compiled = call(glob("builtins", "compile"), text(source), text("x"), text("exec"))
    inner = document(call(glob("builtins", "exec"), text(source)))
    yield "builtins_eval", call(glob("builtins", "eval"), text(source))
    yield "builtins_exec", call(glob("builtins", "exec"), text(source))
    yield "python2_eval", call(glob("__builtin__", "eval"), text(source))
    yield "builtins_open", call(glob("builtins", "open"), path, text("w"))
    yield "os_open", call(glob("os", "open"), path, number(os.O_CREAT | os.O_WRONLY))
    yield "os_mkdir", call(glob("os", "mkdir"), path)
    yield "timeit", call(glob("timeit", "timeit"), text("pass"), text(source))
    yield "runpy", call(glob("runpy", "_run_code"), compiled, b"}")
    yield "pickle_in_pickle", call(glob("pickle", "loads"), _encoded(inner))
    yield "codecs", call(glob("builtins", "exec"), _encoded(source.encode()))
    yield "file_handler", call(glob("logging", "FileHandler"), path)
    yield "sqlite", call(glob("sqlite3", "connect"), path)


def _encoded(data: bytes) -> bytes:
    """Bytes the way that protocol 2 spells them."""
    return call(glob("_codecs", "encode"), text(data.decode("latin-1")), text("latin-1"))


def _assembled(canary: Path) -> Iterator[tuple[str, bytes]]:
    """The same by other instructions, and through protocols of the objects themselves."""
    touch = text(f"touch {canary}")
    words = tuple_of(text("touch"), text(str(canary)))
    system = glob("os", "system")
    yield "inst", b"(" + touch + b"ios\nsystem\n"
    yield "obj", b"(" + glob("subprocess", "Popen") + words + b"o"
    yield "stack_global", text("os") + text("system") + b"\x93" + tuple_of(touch) + b"R"
    yield "memoised", system + b"q\x05" + b"0" + call(b"h\x05", touch)
    yield "popped", call(system, touch) + b"0N"
    yield "inside_a_list", b"]" + call(system, touch) + b"a"
    extension = call(glob("copyreg", "add_extension"), text("os"), text("system"), b"K\x07")
    yield "extension_registry", extension + b"0" + call(b"\x82\x07", touch)
    state = tuple_of(system, tuple_of(touch), b"}", b"N")
    yield "setstate", call(call(glob("functools", "partial"), system) + state + b"b")
    yield "numpy_objects", _reduced(lambda evil: np.array([evil], dtype=object), canary)
    yield "reduce_in_set", _reduced(lambda evil: {evil}, canary)


def _reduced(wrap: Callable[[Any], Any], canary: Path) -> bytes:
    """An object with ``__reduce__`` inside another, pickled by Python itself."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {canary}",)

    return pickle.dumps(wrap(Evil()), protocol=2)[2:-1]  # less PROTO and STOP


def _through_torch(canary: Path) -> Iterator[tuple[str, bytes]]:
    """What torch itself offers to one who may name its functions."""
    touch = text(f"touch {canary}")
    inner = document(call(glob("os", "system"), touch))
    path = text(str(canary))
    stream = call(glob("io", "BytesIO"), _encoded(archive(inner)))
    yield "torch_load", call(glob("torch.serialization", "load"), stream, b"N", b"N", b"\x89")
    yield (
        "torch_load_from_bytes",
        call(glob("torch.storage", "_load_from_bytes"), _encoded(archive(inner))),
    )
    yield "torch_jit_load", call(glob("torch.jit", "load"), path)
    yield "torch_hub", call(glob("torch.hub", "load"), text("a/b"), text("c"))
    yield "torch_load_library", call(glob("torch._ops", "_OpNamespace"), path)
    yield "torch_collect_env", call(glob("torch.utils.collect_env", "run"), touch)
    yield (
        "torch_rebuild_type",
        call(
            glob("torch._tensor", "_rebuild_from_type_v2"), glob("os", "system"), touch, b"N", b"}"
        ),
    )
    yield (
        "torch_meta_tensor",
        call(
            glob("torch._utils", "_rebuild_meta_tensor_no_storage"),
            glob("torch", "float32"),
            tuple_of(number(2**60)),
            tuple_of(number(1)),
            b"\x89",
        ),
    )
    yield "nt_system", call(glob("nt", "system"), touch)
    yield "webbrowser", call(glob("webbrowser", "open"), text(f"file://{canary}"))
    yield "ctypes", call(glob("ctypes", "CDLL"), path)
    yield "distutils_spawn", call(glob("distutils.spawn", "spawn"), tuple_of(touch))
    yield "newobj", glob("subprocess", "Popen") + tuple_of(touch) + b"\x81"
    yield "persistent_id", text("storage") + b"Q"
    yield "persistent_id_text", b"Pos.system\n"
    yield (
        "build_class",
        call(glob("collections", "OrderedDict"))
        + b"}"
        + text("__class__")
        + glob("os", "system")
        + b"sb",
    )


def _resources() -> Iterator[tuple[str, bytes]]:
    """Values that take all memory, all time or the stack."""
    yield "endless_view", tensor((2**20, 2**20), (0, 0), 1)
    yield "sizes_overflow", tensor((2**62, 2**62), (1, 1), 1)
    yield "negative_size", tensor((-1, 4), (1, 1), 16)
    yield "storage_too_long", tensor((2**40,), (1,), 2**40)
    yield "offset_beyond", tensor((4,), (1,), 16, offset=2**40)
    yield "negative_offset", tensor((4,), (1,), 16, offset=-64)
    doubled = b"]q\x01" + b"".join(b"(" + b"h\x01" * 2 + b"lq\x01" for _ in range(60))
    yield "memo_bomb", doubled
    folded = b"]q\x01" + b"".join(b"]q\x02(" + b"h\x01" * 16 + b"eq\x01" for _ in range(12))
    yield "memo_bomb_of_lists", folded
    yield "deeply_nested", b"]" * 100_000 + b"a" * 99_999
    yield "marks", b"(" * 100_000
    yield "contains_itself", b"]q\x01h\x01a"
    yield "long4", b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\xff" * 64
    yield "negative_long4", b"\x8b" + struct.pack("<i", -1)
    yield "string_of_2_63", b"\x8d" + struct.pack("<Q", 2**63) + b"x"
    yield "bytes_of_2_62", b"\x8e" + struct.pack("<Q", 2**62) + b"x"
    yield "long_string", b"X" + struct.pack("<I", 2**32 - 1) + b"x"
    yield "decimal_digits", b"I" + b"9" * 50_000 + b"\n"
    yield "memo_index", b"Nr" + struct.pack("<I", 2**32 - 1)
    yield "big_text", text("x" * 200_000) + b"q\x09" + b"0]" + b"(" + b"h\x09" * 60_000 + b"e"


def _whole_pickles() -> Iterator[tuple[str, bytes]]:
    """Structures that are not a document at all."""
    yield "no_stop", document(b"N")[:-1]
    yield "empty_pickle", b""
    yield "only_stop", b"\x80\x02."
    yield "stack_underflow", b"\x80\x02000000R."
    yield "unknown_memo", b"\x80\x02h\x63."
    yield "frame_of_2_63", b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N."
    yield "protocol_99", b"\x80\x63N."
    yield "just_a_number", b"\x80\x02K\x01."


def _other_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Other containers of pickles and zips that lie."""
    evil = document(call(glob("os", "system"), text(f"touch {canary}")))
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    yield "legacy_torch", magic + b"\x80\x02M\xe9\x03." + evil
    yield "bare_pickle", evil
    yield "text_pickle", b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    yield "tar", _tar({"pickle": evil, "storages": evil, "tensors": evil})
    script = {"constants.pkl": b"\x80\x02).", "code/__torch__.py": b"import os"}
    yield "torchscript", archive(b"\x80\x02N.", script)
    yield "compressed", archive(document(b"N"), {"data/1": bytes(10_000)}, zipfile.ZIP_DEFLATED)
    yield "upper_case_twin", archive(document(b"N"), {"DATA.PKL": evil})
    yield "zip_slip", archive(document(b"N"), {"../../../evil": evil})
    yield "second_root", archive(document(b"N")).replace(b"archive/version", b"another/version")
    yield "overlapping", _overlapping()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _overlapping() -> bytes:
    """Two directory entries for the bytes of one record: the seed of a zip bomb."""
    data = bytearray(archive(document(b"N"), {"data/1": bytes(64)}))
    first, second = data.rfind(b"archive/data/0"), data.rfind(b"archive/data/1")
    data[second - 4 : second] = data[first - 4 : first]  # offset of the local header
    return bytes(data)
