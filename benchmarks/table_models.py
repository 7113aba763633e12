"""Tables of language models and of hardware, for ``benchmarks.tables``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.table_text import markdown, times

PEERS = ("PyTorch eager, KV cache", "ONNX Runtime f32", "ONNX Runtime dynamic int8")
GGML = {"q8": "ggml q8_0, products only", "q8q4": "ggml q4_0, products only"}
"""What stands beside weights of as many bits."""


def language(result: dict[str, Any]) -> str:
    """Loss of crystals and of a GPT of the same size, after the same tokens."""
    found = defaultdict(list)
    for row in result["rows"]:
        found[row["model"], row["parameters"], row["frozen"], row["tokens"]].append(row)
    rows = []
    for (model, parameters, frozen, tokens), runs in found.items():
        train, validation = (np.mean([r[k] for r in runs]) for k in ("train", "validation"))
        name = f"{model}, {frozen:.0%} frozen" if frozen else model
        rows.append(
            [
                name,
                f"{parameters:,}",
                f"{tokens / 1e6:.2f} M",
                f"{len(runs)}",
                f"{validation:.3f}",
                f"{train:.3f}",
            ]
        )
    b = result["baselines"]
    head = ("characters of Tiny Shakespeare", "parameters", "tokens", "seeds", "held out", "train")
    return (
        markdown(head, rows)
        + f"\nNats a character; a bigram table reaches {b['witten_bell']:.2f} held out.\n"
    )


def runtime(result: dict[str, Any]) -> str:
    """Speed of generation, one token at a time, over each peer."""
    us, least = result["us_per_token"], result["least_us"]
    rows = []
    for mode in ("f32", "q8", "q8q4"):
        rows.append(
            [
                f"**{mode}**",
                f"{us[mode]:.1f}",
                *(f"{times(us[p] / us[mode])} ({times(least[p] / least[mode])})" for p in PEERS),
                times(us[GGML[mode]] / us[mode]) if GGML.get(mode) in us else "",
                f"{us[mode + ' wall'] / us[mode]:.0%}",
                f"{result['file_bytes'][mode] / 1e6:.2f} MB",
                f"{result['load_ms'][mode]:.1f} ms",
            ]
        )
    head = (
        "weights",
        "us a token",
        "over PyTorch eager",
        "over ONNX Runtime f32",
        "over ONNX Runtime int8",
        "over ggml's products",
        "share of the memory wall",
        "file",
        "load",
    )
    return (
        "11,706 tokens, 128 dimensions, 788 neurons, context 64, one core; medians, and the best "
        "rounds of each in brackets. The wall is reading the same bytes; ggml has q8_0 and q4_0, "
        "and multiplies only:\n\n" + markdown(head, rows) + "\nWeights drawn at random, eight bits "
        "alone: the rows that get twelve in a trained model's q8 add some per cent.\n"
    )
