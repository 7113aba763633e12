"""Differential fuzzing: random graphs, C, CUDA or RTL against the oracle.

``python -m hw_tests.fuzz --target verilog --count 10000 --seed 1``. Graph k of a seed is always
the same one, so a run is resumed with --start and a failure is repeated with --start K --count 1.
Failing graphs are cut down to the first value that differs and saved as text (and .npz) under
build/fuzz/.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.ir import Graph, Loc, Node, Op, without_dead_nodes
from crystalc.text import constants
from hw_tests import cuda_batch, fuzz_verilog
from hw_tests.c_batch import ROOT, Case, Failure, case_of, random_graph, run_cases, runnable

BATCH = 25
OUT = ROOT / "build" / "fuzz"


@dataclass(frozen=True)
class Target:
    """What to fuzz: how a case is made and run, and the ways to build it (each has a ``name``)."""

    make_case: Callable[[int, int], Case]
    run_cases: Callable[[Sequence[Case], Any, Path], list[Failure]]
    variants: Callable[[], Sequence[Any]]


def make_case(seed: int, k: int) -> Case:
    """Graph ``k`` of a seed, with its inputs and the new values of its active rows."""
    rng = np.random.default_rng([seed, k])
    return case_of(random_graph(rng), rng)


TARGETS: Mapping[str, Target] = {
    "c": Target(make_case, run_cases, runnable),
    "cuda": Target(make_case, cuda_batch.run_cases, lambda: cuda_batch.VARIANTS),
    "verilog": Target(
        fuzz_verilog.make_case, fuzz_verilog.run_cases, lambda: fuzz_verilog.VARIANTS
    ),
}


def run_batch(name: str, seed: int, first: int, count: int) -> list[tuple[int, str]]:
    """(number, reason) of each failing graph of ``first`` .. ``first + count``; they are saved."""
    target = TARGETS[name]
    variants = target.variants()
    variant = variants[first // BATCH % len(variants)]
    cases = [target.make_case(seed, first + k) for k in range(count)]
    with tempfile.TemporaryDirectory(prefix="crystalc-fuzz-") as folder:
        failures = target.run_cases(cases, variant, Path(folder))
    for failure in failures:
        save(target, seed, first, cases[failure.index], failure, variant)
    return [(first + f.index, f"{variant.name}: {f.reason}") for f in failures]


def prefixes(case: Case) -> Iterator[Case]:
    """The same case cut off after each of its values, shortest first."""
    graph = case.graph
    for i, node in graph:
        if node.op in (Op.INPUT, Op.CONST, Op.OUTPUT):
            continue
        last = Node(Op.OUTPUT, (i,), node.type, Loc("output"))
        cut = without_dead_nodes(Graph((*graph.nodes[: i + 1], last), graph.source))
        yield replace(case, graph=cut, state=moved_state(case, cut))


def moved_state(case: Case, graph: Graph) -> dict[int, NDArray[Any]]:
    """The new active values under the ids of ``graph``, which shares the case's arrays."""
    by_array = {id(case.graph[i].value): value for i, value in case.state.items()}
    return {i: by_array[id(n.value)] for i, n in graph if id(n.value) in by_array}


def smallest(case: Case, variant: Any, target: Target = TARGETS["c"]) -> tuple[Case, str]:
    """The shortest prefix that still fails, and why; the case itself if none does alone."""
    for candidate in prefixes(case):
        with tempfile.TemporaryDirectory(prefix="crystalc-fuzz-") as folder:
            failures = target.run_cases([candidate], variant, Path(folder))
        if failures:
            return candidate, failures[0].reason
    return case, "only as a whole"


def save(target: Target, seed: int, first: int, case: Case, failure: Failure, variant: Any) -> None:
    """Write the smallest failing form as text, and its numbers as .npz."""
    small, reason = smallest(case, variant, target)
    OUT.mkdir(parents=True, exist_ok=True)
    name = f"seed{seed}-{first + failure.index}-{variant.name}"
    text = f"{failure.reason}\nsmallest: {reason}\n\n{small.graph}"
    (OUT / f"{name}.ir").write_text(text)
    state = {f"state{i}": v for i, v in small.state.items()}
    np.savez(OUT / f"{name}.npz", inputs=small.inputs, **state, **constants(small.graph))


def main() -> int:
    """Run the command line; 0 when every graph agrees."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--target", choices=sorted(TARGETS), default="c")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="resume at this graph")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    end, begun, failed = args.start + args.count, time.monotonic(), 0
    starts = range(args.start, end, BATCH)
    sizes = [min(BATCH, end - first) for first in starts]
    with ProcessPoolExecutor(args.jobs) as pool:
        same = [args.target] * len(starts), [args.seed] * len(starts)
        results = pool.map(run_batch, *same, starts, sizes)
        for first, size, bad in zip(starts, sizes, results, strict=True):
            failed += len(bad)
            for number, reason in bad:
                print(f"\ngraph {number}: {reason}", flush=True)
            done = first + size
            rate = (done - args.start) / (time.monotonic() - begun)
            print(f"\r{done}/{end} graphs, {failed} failures, {rate:.0f}/s", end="", flush=True)
    print(f"\nfailing graphs are in {OUT}" if failed else "\nall agree with the oracle")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
