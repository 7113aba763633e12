"""The combinational primitives: parameters, operands and meaning, for their cocotb bench.

Operands are (bits, signed). Widths are larger than the exhaustive tests' can be.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

Operand = tuple[int, bool]


@dataclass(frozen=True)
class Case:
    """One instance: its parameters in order, operands, the bits of y, and what y is."""

    parameters: Sequence[int]
    operands: Sequence[Operand]
    width: int
    formula: Callable[..., int]


def samples(rng: random.Random, width: int, signed: bool, round_: int) -> int:
    """A random number of that type; its ends and zero more often."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    ends = (low, high, 0, min(high, 1))
    if round_ < 8 or rng.random() < 0.2:
        return rng.choice(ends)
    return rng.randint(low, high)


PAIRS: list[tuple[Operand, Operand]] = [
    ((7, False), (12, False)),
    ((12, True), (5, False)),
    ((9, False), (21, True)),
    ((24, True), (24, True)),
]


def _sums() -> list[Case]:
    found = []
    for ((wa, sa), (wb, sb)), (la, lb), minus in product(PAIRS, [(0, 0), (3, 1)], (0, 1)):

        def formula(a: int, b: int, la: int = la, lb: int = lb, minus: int = minus) -> int:
            return (a << la) + (-1 if minus else 1) * (b << lb)

        width = max(wa + la, wb + lb) + 2
        numbers = [wa, int(sa), la, wb, int(sb), lb, minus, width]
        found.append(Case(numbers, [(wa, sa), (wb, sb)], width, formula))
    return found


def _products() -> list[Case]:
    return [
        Case([wa, int(sa), wb, int(sb), wa + wb], [(wa, sa), (wb, sb)], wa + wb, lambda a, b: a * b)
        for (wa, sa), (wb, sb) in PAIRS
    ]


def _comparisons() -> list[Case]:
    return [
        Case([wa, int(sa), wb, int(sb)], [(wa, sa), (wb, sb)], 1, lambda a, b: int(a < b))
        for (wa, sa), (wb, sb) in PAIRS
    ]


def _choices() -> list[Case]:
    found = []
    for (wa, sa), (wb, sb) in PAIRS:
        width = max(wa, wb) + 1
        operands = [(1, False), (wa, sa), (wb, sb)]
        numbers = [wa, int(sa), wb, int(sb), width]
        found.append(Case(numbers, operands, width, lambda z, a, b: a if z else b))
    return found


def _saturations() -> list[Case]:
    found = []
    for (wa, sa), shift, (wy, sy) in product(
        [(20, True), (17, False)], (0, 7), [(8, False), (8, True), (16, True)]
    ):
        low, high = (-(1 << (wy - 1)), (1 << (wy - 1)) - 1) if sy else (0, (1 << wy) - 1)

        def formula(a: int, s: int = shift, low: int = low, high: int = high) -> int:
            return min(max(a >> s, low), high)

        found.append(Case([wa, int(sa), shift, wy, int(sy)], [(wa, sa)], wy, formula))
    return found


CELLS: Mapping[str, Sequence[Case]] = {
    "add": _sums(),
    "mul": _products(),
    "less": _comparisons(),
    "choose": _choices(),
    "saturate": _saturations(),
    "relu": [Case([w, w - 1], [(w, True)], w - 1, lambda a: max(a, 0)) for w in (2, 9, 30)],
    "abs": [Case([w, w], [(w, True)], w, abs) for w in (2, 9, 30)],
    "bits": [
        Case([w, s, w - s], [(w, True)], w - s, lambda a, s=s: a >> s)
        for w, s in ((9, 1), (30, 13), (5, 4))
    ],
}


def bench(cell: str) -> str:
    """A module with one instance of the primitive for each of its cases."""
    ports, body = [], []
    for n, case in enumerate(CELLS[cell]):
        names = [f"i{n}_{k}" for k in range(len(case.operands))]
        ports += [
            f"input wire [{w - 1}:0] {name}"
            for name, (w, _) in zip(names, case.operands, strict=True)
        ]
        ports.append(f"output wire [{case.width - 1}:0] y{n}")
        numbers = ", ".join(map(str, case.parameters))
        body.append(f"    crystal_{cell} #({numbers}) c{n} ({', '.join([*names, f'y{n}'])});")
    return "\n".join(["module bench (", ",\n".join(ports), ");", *body, "endmodule\n"])
