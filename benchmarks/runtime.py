"""Language models at batch 1, side by side: ``python -m benchmarks.runtime``.

One core, one thread, all contenders interleaved in one process, median of the rounds: greedy text
from an empty context to a full one, keys and values cached. Time is thread CPU time. ``wall`` is
the time to read the bytes that a token needs, measured in the same rounds. ggml does less: the
products of a token's matrices, and neither attention nor exp.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks import ggml_peer
from crystalc.container import read, write
from crystalc.files import write_tree
from crystalc.language import LanguageConfig, LanguageModel, Vocabulary
from crystalc.nn.generate import generate
from crystalc.nn.language import LanguageNet
from crystalc_c.runtime import MAIN, PROGRAM_FLAGS, folder, language_files
from tests.language_models import random_model

Array = NDArray[Any]
HERE = Path(__file__).parent
RESULT = HERE / "results" / "runtime.json"
CONFIG = LanguageConfig("causal_lm", 11706, 128, 64, 4, (788,), 256)
MODES = ("f32", "q8", "q8q4")
EAGER, ORT, ORT8 = "PyTorch eager, KV cache", "ONNX Runtime f32", "ONNX Runtime dynamic int8"
GGML8, GGML4 = "ggml q8_0, products only", "ggml q4_0, products only"
GGML = {"q8_0": GGML8, "q4_0": GGML4}
GOALS = {
    ("f32", ORT): 2, ("q8", EAGER): 35, ("q8", ORT8): 4, ("q8", GGML8): 3, ("q8q4", EAGER): 50,
}  # fmt: skip
EMBEDDINGS, TABLES = (1, 2), 64


def model() -> LanguageModel:
    """Random weights of the sizes above, small enough that no kernel saturates."""
    made = random_model(CONFIG, 1, biases=False)
    for key, value in made.tensors.items():
        if key.endswith("weight") and "norm" not in key:
            value[...] *= 0.1
    words = tuple(bytes([i]) for i in range(256))
    words += tuple(b"%05d" % i for i in range(CONFIG.vocabulary - 256))
    vocabulary = Vocabulary(words, np.zeros((0, 2), np.int32), CONFIG.vocabulary)
    return LanguageModel(CONFIG, made.tensors, vocabulary, {}, made.source)


def matrices(made: LanguageModel) -> list[Array]:
    """[rows, columns] of every product of a token."""
    block, kept = "blocks.0.", []
    names = [f"attention.{n}.weight" for n in ("query", "key", "value", "output")]
    names += ["field.positions", "field.values", "ffn.up.weight", "ffn.down.weight"]
    for name in [*(block + n for n in names), "head.weight"]:
        found = np.asarray(made.tensors[name])
        kept.append(found.T if name.endswith("values") else found)
    return kept


class Step(nn.Module):
    """One token, its place, keys and values [H, C, D / H] -> logits, keys, values."""

    def __init__(self, net: LanguageNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, token: Tensor, at: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        """Distances are spelled as a matrix product, which is the fastest that ONNX has."""
        c, net = self.net.config, self.net
        block: Any = net.blocks[0]
        x = net.tokens(token) + net.positions(at)
        h = block.norm1(x)
        heads = (c.heads, 1, c.dim // c.heads)
        q = block.attention.query(h).view(heads)
        k = k.index_copy(1, at, block.attention.key(h).view(heads))
        v = v.index_copy(1, at, block.attention.value(h).view(heads))
        seen = (torch.arange(c.context) <= at).view(1, 1, -1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + block.attention.output(mixed.reshape(1, -1))
        x = x + self.field(block.field, block.norm2(x))
        x = x + block.ffn(block.norm3(x))
        return net.head(net.norm(x)), k, v

    def field(self, field: Any, x: Tensor) -> Tensor:
        """Radial gelu."""
        p = field.positions
        d2 = (x * x).sum(1, keepdim=True) + (p * p).sum(1) - 2 * (x @ p.t())
        z = (field.radius - d2) / field.temperature
        return nn.functional.gelu(z, approximate="tanh") @ field.values


def onnx_step(net: LanguageNet, place: Path) -> tuple[Path, Path]:
    """The step as ONNX, in floats and with int8 weights."""
    cache = torch.zeros(CONFIG.heads, CONFIG.context, CONFIG.dim // CONFIG.heads)
    example = (torch.tensor([5]), torch.tensor([3]), cache, cache)
    paths = place / "step.onnx", place / "step8.onnx"
    names = {"input_names": ["i", "t", "k", "v"], "output_names": ["y", "ko", "vo"]}
    step = Step(net).eval()
    torch.onnx.export(step, example, str(paths[0]), opset_version=17, dynamo=False, **names)
    quantize_dynamic(str(paths[0]), str(paths[1]), weight_type=QuantType.QInt8, per_channel=True)
    return paths


def timed(tokens: Callable[[], int]) -> float:
    """Thread CPU seconds a token of one context."""
    start = time.thread_time_ns()
    tokens()
    return (time.thread_time_ns() - start) / 1e9 / CONFIG.context


def eager(net: LanguageNet) -> float:
    """crystalc's own network in PyTorch."""

    def text() -> int:
        ids = generate(net, [5])
        return [next(ids) for _ in range(CONFIG.context)][-1]

    return timed(text)


def ort_session(path: Path) -> Callable[[], float]:
    """One session, one thread, through the Python API."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    empty = np.zeros((CONFIG.heads, CONFIG.context, CONFIG.dim // CONFIG.heads), np.float32)

    def text() -> int:
        k = v = empty
        token = np.array([5])
        for t in range(CONFIG.context):
            logits, k, v = session.run(None, {"i": token, "t": np.array([t]), "k": k, "v": v})
            token = np.asarray(logits).argmax(1)
        return int(token[0])

    return lambda: timed(text)


class Ours:
    """A model in the C runtime, built with the flags of ``make runtime``."""

    def __init__(self, library: Any, data: bytes) -> None:
        self.library, self.size = library, len(data)
        room = np.zeros(len(data) + 64, np.uint8)
        start = -room.ctypes.data % 64
        room[start : start + len(data)] = np.frombuffer(data, np.uint8)
        self.room, self.at = room, ctypes.c_void_p(room.ctypes.data + start)
        self.handle, size = ctypes.c_void_p(), ctypes.c_size_t(len(data))
        assert library.crystal_load(self.at, size, ctypes.byref(self.handle)) == 0
        kept = [
            (e.offset, e.size)
            for e in read(data)[1].entries
            if e.kind not in EMBEDDINGS and e.kind < TABLES
        ]
        self.pieces = np.array(kept, np.int64)

    def seconds(self) -> float:
        """A token."""
        last = ctypes.c_int32()
        return float(self.library.driver_tokens(self.handle, 8, ctypes.byref(last)))

    def wall(self) -> float:
        """Reading the bytes that a token needs."""
        total, at = ctypes.c_uint64(), ctypes.c_void_p(self.pieces.ctypes.data)
        count = len(self.pieces)
        return float(self.library.driver_read(self.at, at, count, 100, ctypes.byref(total)))


def library(place: Path) -> Any:
    """The runtime and the driver."""
    names = [str(p) for p in folder().glob("*.c") if p.name != MAIN]
    objects = [f for f in PROGRAM_FLAGS if not f.startswith("-Wl") and f != "-s"]
    driver = str(HERE / "runtime_driver.c")
    shared = ["-fPIC", f"-I{folder()}", "-c"]
    subprocess.run(["gcc", *objects, *shared, *names], cwd=place, check=True)
    fast = ["-std=c99", "-O3", "-march=native"]
    subprocess.run(["gcc", *fast, *shared, driver], cwd=place, check=True)
    made = [p.name for p in place.glob("*.o")]
    subprocess.run(["gcc", "-shared", *made, "-o", "run.so"], cwd=place, check=True)
    found = ctypes.CDLL(str(place / "run.so"))
    for name in ("driver_tokens", "driver_read", "driver_open"):
        getattr(found, name).restype = ctypes.c_double
    return found


def open_seconds(found: Any, data: bytes, place: Path) -> float:
    """Wall time of crystal_open on a file in the page cache, every check included; the median."""
    (place / "file.crystal").write_bytes(data)
    name, verdict = str(place / "file.crystal").encode(), ctypes.c_int32()
    times = [float(found.driver_open(name, ctypes.byref(verdict))) for _ in range(15)]
    return statistics.median(times)


def compile_seconds(data: bytes, place: Path) -> float:
    """CPU time of gcc for the C program with the file inside."""
    write_tree(place / "program", language_files(data, "lm"))
    names = sorted(p.name for p in (place / "program").glob("*.c"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["gcc", "-std=c99", "-Os", *names, "-o", "lm"]
    subprocess.run(command, cwd=place / "program", check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> dict[str, Any]:
    """Every contender in turn, again and again."""
    torch.set_num_threads(1)
    made = model()
    net = LanguageNet.from_model(made)
    files = {mode: write(made, mode) for mode in MODES}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        onnx, onnx8 = onnx_step(net, place)
        found = library(place)
        ours = {mode: Ours(found, data) for mode, data in files.items()}
        peers, ggml = ggml_peer.chains(tuple(GGML), matrices(read(files["q8"])[0]))
        runs: dict[str, Callable[[], float]] = {EAGER: lambda: eager(net)}
        runs |= {ORT: ort_session(onnx), ORT8: ort_session(onnx8)}
        runs |= {GGML[kind]: chain.seconds for kind, chain in peers.items()}
        runs |= {mode: o.seconds for mode, o in ours.items()}
        runs |= {f"{mode} wall": o.wall for mode, o in ours.items()}
        times: dict[str, list[float]] = {key: [] for key in runs}
        for number in range(rounds + 1):
            for key, run in runs.items():
                seconds = run()
                times[key] += [seconds] * (number > 0)  # the first round warms up
        us = {key: round(statistics.median(t) * 1e6, 2) for key, t in times.items()}
        return {
            "machine": platform.processor() or platform.machine(),
            "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
            "us_per_token": us,
            "least_us": {key: round(min(t) * 1e6, 2) for key, t in times.items()},
            "touched_bytes": {m: int(o.pieces[:, 1].sum()) for m, o in ours.items()},
            "file_bytes": {m: o.size for m, o in ours.items()},
            "load_ms": {m: round(open_seconds(found, d, place) * 1e3, 3) for m, d in files.items()},
            "gcc_seconds": round(compile_seconds(files["f32"], place), 2),
            "layer": ctypes.cast(_layer(found, ours["q8"]), ctypes.c_char_p).value.decode(),
            "ggml": ggml,
        }


def _layer(found: Any, one: Ours) -> Any:
    found.crystal_layer.restype = ctypes.c_void_p
    return found.crystal_layer(one.handle)


def show(result: dict[str, Any]) -> None:
    """The tables."""
    us, console = result["us_per_token"], Console(width=110)
    table = Table(title="greedy text at batch 1, V 11,706 D 128 N 788 context 64 FFN 256")
    columns = ("x eager", "x ORT f32", "x ORT int8", "x ggml q8_0", "x ggml q4_0")
    for column in ("", "us a token", *columns, "of the wall"):
        table.add_column(column, justify="left" if not column else "right")
    peers = (EAGER, ORT, ORT8, GGML8, GGML4)
    for name in (*peers, *MODES):
        wall, own = us.get(f"{name} wall"), us.get(name)
        ratios = (f"{us[peer] / own:.1f}" if own and peer in us else "" for peer in peers)
        spent = f"{own:.1f}" if own else "not run"
        table.add_row(name, spent, *ratios, f"{wall / own:.0%}" if wall and own else "")
    console.print(table)
    console.print(f"ggml: {result['ggml']}")
    for (mode, peer), goal in GOALS.items():
        found = f"{us[peer] / us[mode]:.1f}x" if peer in us else "not run"
        console.print(f"goal: {mode} {goal}x {peer}: {found}")
    console.print(f"load, ms: {result['load_ms']}; gcc, CPU s: {result['gcc_seconds']}")


def main() -> None:
    """Parse the command line, run, print and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULT)
    a = parser.parse_args()
    result = measure(a.rounds)
    show(result)
    a.output.parent.mkdir(exist_ok=True)
    a.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
