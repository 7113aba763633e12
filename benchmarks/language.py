"""A crystal language model beside a plain GPT of its size, on the same tokens: measured.

    python -m benchmarks.language --corpus tinyshakespeare.txt [--seeds 3] [--only NAME ...]

Characters of Tiny Shakespeare, 90 % to learn from, 10 % held out; random windows of 64; two blocks
of attention and a middle layer, 290,000 parameters, 1,500 steps of 2,048 tokens, one thread. The
middle layer is a field of 256 neurons or a GELU MLP of 257 units. Losses are nats a character over
the whole held-out part. Every run is kept as it ends: a second call goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import gpt
from crystalc.training.corpus import open_corpus
from crystalc.training.language.data import LanguageData, Wanted, prepare, vocabulary_for
from crystalc.training.language.loop import fit
from crystalc.training.language.recipe import RECIPES, LanguageRecipe
from crystalc.training.language.report import counted, losses
from crystalc.training.language.team import Team

RESULTS = Path(__file__).parent / "results" / "language.json"
FIXED = replace(RECIPES["small"], start_share=1.0, frozen=0.0, stage=500)
CPU = torch.device("cpu")
# Learning rates are the best of a grid for each model (docs/LOG.md); the GPT has two candidates.
CONTENDERS: dict[str, tuple[LanguageRecipe, float | None]] = {
    "crystal": (FIXED, None),
    "crystal, grown and frozen": (RECIPES["small"], None),
    "GPT, rate 0.006": (FIXED, 1.0),
    "GPT, rate 0.003, MLP x 3": (replace(FIXED, lr=3e-3), 3.0),
}


def run(name: str, seed: int, data: LanguageData) -> dict[str, Any]:
    """Train one contender with one seed and measure it."""
    recipe, factor = CONTENDERS[name]
    recipe = replace(recipe, seed=seed)
    if factor is None:
        began = process_time()
        net = fit(recipe, data, Team(0, 1, CPU)).net
        seconds = process_time() - began
    else:
        net = gpt.gpt(recipe, data.vocabulary.size)
        seconds = gpt.train(net, recipe, data, factor)
    model = net.to_model() if factor is None else None
    return {
        "model": name,
        "seed": seed,
        "settings": settings(name),
        "parameters": sum(p.numel() for p in net.parameters()),
        "frozen": round(float(model.frozen.mean()), 3) if model else 0.0,
        "tokens": recipe.steps * recipe.batch * recipe.context,
        "cpu_seconds": round(seconds),
        **{key: round(value, 4) for key, value in losses(net, data, CPU).items()},
    }


def settings(name: str) -> dict[str, Any]:
    """What decides a run, its seed aside."""
    recipe, factor = CONTENDERS[name]
    kept = {key: value for key, value in recipe.to_dict().items() if key != "seed"}
    return {**kept, "mlp_factor": factor}


def stored(sha256: str) -> list[dict[str, Any]]:
    """Rows of earlier calls on the same text and with today's settings."""
    if not RESULTS.is_file():
        return []
    found = json.loads(RESULTS.read_text())
    if found["corpus_sha256"] != sha256:
        return []
    return [
        row
        for row in found["rows"]
        if row["model"] in CONTENDERS and row["settings"] == settings(row["model"])
    ]


def keep(row: dict[str, Any], data: LanguageData) -> None:
    """Add a row to those that are stored (by now, perhaps, by a second call beside this one)."""
    rows = [*stored(data.sha256), row]
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    result = {
        "versions": versions,
        "threads": 1,
        "corpus_sha256": data.sha256,
        "baselines": counted(data).to_dict(),
        "rows": sorted(rows, key=lambda row: (list(CONTENDERS).index(row["model"]), row["seed"])),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def show(rows: list[dict[str, Any]], data: LanguageData) -> None:
    """The table on stdout: means over the seeds, and the range of the held-out loss."""
    table = Table("model", "parameters", "seeds", "train", "held out", "range", "CPU s")
    for name in CONTENDERS:
        own = [row for row in rows if row["model"] == name]
        if not own:
            continue
        held = [row["validation"] for row in own]
        table.add_row(
            name,
            str(own[0]["parameters"]),
            str(len(own)),
            f"{np.mean([row['train'] for row in own]):.3f}",
            f"{np.mean(held):.4f}",
            f"{min(held):.4f}-{max(held):.4f}",
            f"{np.mean([row['cpu_seconds'] for row in own]):.0f}",
        )
    Console(width=110).print(table)
    Console(width=110).print(f"n-grams, nats a character: {counted(data).to_dict()}")


def main() -> None:
    """Run what is not stored yet, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--corpus", type=Path, default=Path("shakespeare"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(CONTENDERS), action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = open_corpus(options.corpus)
    vocabulary = vocabulary_for(corpus, Wanted(characters=True))
    data = prepare(corpus, vocabulary, Team(0, 1, CPU), FIXED.context)
    rows = stored(data.sha256)
    for seed in range(1, options.seeds + 1):
        for name in options.only or CONTENDERS:
            if not any((row["model"], row["seed"]) == (name, seed) for row in rows):
                keep(run(name, seed, data), data)
    show(stored(data.sha256), data)


if __name__ == "__main__":
    main()
