"""The programs that ``benchmarks.speed`` compares, each as seconds per inference."""

from __future__ import annotations

import ctypes
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from benchmarks.lean import Lean
from crystalc.checkpoint import Checkpoint
from crystalc.driver import Options, compile_checkpoint, write
from crystalc.nn.classifier import CrystalClassifier
from crystalc.passes.quantize import quantize_inputs
from crystalc_c.build import read_interface
from crystalc_c.numbers import dtype

Array = NDArray[Any]
HERE = Path(__file__).parent
STRICT = ("-std=c99", "-O3", "-march=native")
PREFIX = "crystal"


def eager(checkpoint: Checkpoint, form: str) -> nn.Module:
    """The network in PyTorch: "module" is crystalc.nn's own, the others are written leaner."""
    if form == "module":
        return CrystalClassifier.from_checkpoint(checkpoint)
    return Lean(checkpoint, form).eval()


def eager_seconds(model: nn.Module, x: Tensor, calls: int) -> float:
    """Thread CPU seconds per vector of ``x`` [B, I]."""
    with torch.inference_mode():
        start = time.thread_time_ns()
        for _ in range(calls):
            model(x)
        return (time.thread_time_ns() - start) / 1e9 / calls / len(x)


def onnx_model(checkpoint: Checkpoint) -> bytes:
    """The network as ONNX operators, the distance as one matrix product, constants folded."""
    t = {k: np.asarray(v) for k, v in checkpoint.tensors.items()}
    p = t["field.positions"]
    laplace = checkpoint.config.kernel == "laplace"
    scale = np.abs(t["field.temperature"]) + 0.1 if laplace else t["field.temperature"]
    constants = {
        "w": t["projection.weight"].T.copy(), "b": t["projection.bias"], "p": 2 * p.T.copy(),
        "n": (p * p).sum(1), "a": 1 / scale, "v": t["field.values"], "c": t["bias"],
        "axis": np.array([1]),
    }  # fmt: skip
    ops = [
        ("Gemm", "x w b", "z"), ("Mul", "z z", "zz"), ("ReduceSum", "zz axis", "s"),
        ("Add", "s n", "sn"), ("MatMul", "z p", "dot"), ("Sub", "sn dot", "d"),
    ]  # fmt: skip
    tail = [("Relu", "d", "d0"), ("Sqrt", "d0", "d1"), ("Mul", "d1 a", "da"), ("Neg", "da", "m"),
            ("Exp", "m", "k")]  # fmt: skip
    if not laplace:
        act = (
            [("Relu", "ra", "k")]
            if checkpoint.config.activation == "relu"
            else [("Gelu", "ra", "k")]
        )
        tail = [("Sub", "r d", "rd"), ("Mul", "rd a", "ra"), *act]
        constants["r"] = t["field.radius"]
    ops += [*tail, ("Gemm", "k v c", "y")]
    graph = helper.make_graph(
        [
            helper.make_node(
                op, i.split(), [o], **({"approximate": "tanh"} if op == "Gelu" else {})
            )
            for op, i, o in ops
        ],
        "crystal",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", len(constants["w"])])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", len(t["bias"])])],
        [
            numpy_helper.from_array(
                np.ascontiguousarray(v, dtype=np.int64 if k == "axis" else np.float32), k
            )
            for k, v in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class OnnxRuntime:
    """One session, one thread, through the Python API."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            onnx_model(checkpoint), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: Array) -> Array:
        """[B, I] -> [B, O]."""
        return np.asarray(self.session.run(None, {"x": x})[0])

    def seconds(self, x: Array, calls: int) -> float:
        """Thread CPU seconds per vector of ``x`` [B, I]."""
        start = time.thread_time_ns()
        for _ in range(calls):
            self.session.run(None, {"x": x})
        return (time.thread_time_ns() - start) / 1e9 / calls / len(x)


class Library:
    """A shared object with ``time_one`` and perhaps ``time_batch``, and pools of vectors."""

    def __init__(self, path: Path, pools: Sequence[Array], out_dtype: str, outputs: int) -> None:
        self.pools = [np.ascontiguousarray(x) for x in pools]
        self.y = np.zeros((len(pools[0]), outputs), dtype=out_dtype)
        lib = ctypes.CDLL(str(path))
        self.calls: dict[str, Callable[..., float]] = {}
        for name in ("time_one", "time_batch"):
            if hasattr(lib, name):
                function = getattr(lib, name)
                function.restype = ctypes.c_double
                function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
                self.calls[name] = function

    def seconds(self, entry: str, pool: int, calls: int, n: int) -> float:
        """Thread CPU seconds per vector, measured in C, over the first ``n`` of a pool."""
        return self.calls[entry](self.pools[pool].ctypes.data, self.y.ctypes.data, n, calls)

    def outputs(self) -> Array:
        """[n, O] for the first pool."""
        n = len(self.y)
        self.seconds("time_one", 0, n, n)
        return self.y.copy()


def crystal_library(
    checkpoint: Checkpoint, place: Path, pools: Sequence[Array], compiler: str, **options: Any
) -> Library:
    """The emitted model as a shared object; fixed models get integer vectors."""
    compiled = compile_checkpoint(checkpoint, Options(target="c", **options))
    write(compiled, place)
    active = ["-DSTATE"] if any(node.is_state for _, node in compiled.shaped) else []
    command = [
        compiler, *STRICT, *active, "-fPIC", "-shared", "-Wl,-Bsymbolic", "-I.", f"{PREFIX}.c",
        str(HERE / "speed_driver.c"), "-o", "model.so",
    ]  # fmt: skip
    subprocess.run(command, cwd=place, check=True)
    (in_type, out_type), (_, outputs) = read_interface(place / f"{PREFIX}.h", PREFIX)
    if compiled.meaning.is_fixed:
        pools = [quantize_inputs(compiled.meaning, x) for x in pools]
    vectors = [x.astype(dtype(in_type)) for x in pools]
    return Library(place / "model.so", vectors, dtype(out_type), outputs)


def naive_library(
    checkpoint: Checkpoint, place: Path, pools: Sequence[Array], *flags: str
) -> Library:
    """Plain C with the constants in the source."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "naive_weights.h").write_text(weights_header(checkpoint))
    c = checkpoint.config
    kind = "LAPLACE" if c.kernel == "laplace" else "GELU" if c.activation == "gelu" else "RELU"
    command = [
        "gcc", *STRICT, *flags, f"-D{kind}", "-fPIC", "-shared", "-Wl,-Bsymbolic", "-I.",
        str(HERE / "naive_driver.c"),
        f"-I{HERE}", "-o", "model.so", "-lm",
    ]  # fmt: skip
    subprocess.run(command, cwd=place, check=True)
    return Library(place / "model.so", pools, "<f4", checkpoint.config.outputs)


def weights_header(checkpoint: Checkpoint) -> str:
    """The constants of ``naive.c`` as C text."""
    c, t = checkpoint.config, checkpoint.tensors
    laplace = c.kernel == "laplace"
    scale = np.abs(t["field.temperature"]) + 0.1 if laplace else t["field.temperature"]
    arrays = {
        "W": t["projection.weight"], "B": t["projection.bias"], "P": t["field.positions"],
        "A": 1 / scale, "V": t["field.values"], "C": t["bias"],
        **({} if laplace else {"R": t["field.radius"]}),
    }  # fmt: skip
    sizes = f"enum {{ I = {c.inputs}, D = {c.dim}, N = {c.neurons}, O = {c.outputs} }};\n"
    return sizes + "".join(_array(k, v) for k, v in arrays.items())


def _array(name: str, value: Array) -> str:
    flat = np.asarray(value, dtype=np.float32).reshape(-1)
    items = ", ".join(f"{float(v).hex()}f" for v in flat)
    return f"static const float {name}[{flat.size}] = {{ {items} }};\n"
