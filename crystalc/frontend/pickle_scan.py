"""Reading a pickle as a list of instructions, without running it.

The structure of a ``.pt`` file is a pickle, a program that may name any Python function to be
called. Tensors and plain values need the few names and instructions below and no others, so a
file with another one is refused here, before a child process with torch is started: two locks of
different make on one door.
"""

from __future__ import annotations

import pickletools

from crystalc.diagnostics import CompileError, refuse

STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")

NAMES = frozenset(
    {
        "collections OrderedDict",
        "torch Size",
        "torch device",
        "torch bool",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        *(f"torch {kind}Storage" for kind in STORAGES),
        *(f"torch {dtype}" for dtype in DTYPES),
    }
)

INSTRUCTIONS = frozenset(
    {
        *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT", "BINUNICODE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2"),
        *("TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "BINPERSID", "REDUCE", "BUILD"),
    }
)

HINT = "save plain dicts, numbers, strings and tensors: torch.save(model.state_dict(), path)"


def check_pickle(data: bytes) -> None:
    """Raise CompileError if ``data`` uses more than tensors and plain values need."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            _check_instruction(opcode.name, argument)
    except (ValueError, EOFError, OverflowError, MemoryError):
        raise refuse("damaged .pt file: its data.pkl cannot be parsed") from None


def _check_instruction(name: str, argument: object) -> None:
    if name in {"GLOBAL", "INST"} and argument not in NAMES:
        raise _forbidden(str(argument).replace(" ", ".", 1))
    if name not in INSTRUCTIONS:
        raise _forbidden(f"the pickle instruction {name}")
    if isinstance(argument, int) and argument.bit_length() > 63:
        raise _forbidden("an integer of more than 64 bits")


def _forbidden(what: str) -> CompileError:
    return refuse(f"this .pt file asks for {what}, which no tensor or plain value needs", hint=HINT)
