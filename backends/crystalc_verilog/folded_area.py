"""The features of a folded design: its circuits, and the shared datapath around them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from crystalc.ir import Op
from crystalc_verilog.area import SMALL_PRODUCT, Features, features, table_features
from crystalc_verilog.live_bits import LiveBits
from crystalc_verilog.lower import Lowered
from crystalc_verilog.passes import elem, final
from crystalc_verilog.results import Results
from crystalc_verilog.schedule import Schedule

DECLARED = re.compile(r"reg (?:signed )?(?:\[(\d+):0\] )?(\w+(?:, \w+)*);")

TINY = 64
"""Bits of a memory that Yosys makes of flip-flops where it must not make it of LUTs."""

FEW = 5
"""Bits of a number up to which squares.v has a table."""


def folded_features(made: Results, circuits: Iterable[tuple[Lowered, Schedule]]) -> Features:
    """The features of ``made``, whose lines are complete, and of the circuits in it."""
    total: Features = Counter(units=1, register_bits=_declared(made.lines))
    for lowered, plan in circuits:
        total += _part(lowered, plan)
    return total + made.area + _control(made) + _lanes(made) + _ends(made)


def _declared(lines: Sequence[str]) -> int:
    """Bits of the registers that lines of Verilog declare, arrays left out."""
    found = (DECLARED.fullmatch(line.strip()) for line in lines)
    return sum((int(m[1] or 0) + 1) * len(m[2].split(", ")) for m in found if m)


def _part(lowered: Lowered, plan: Schedule) -> Features:
    """A segment: no registers at its ends, and none doubled for a table."""
    found = features(lowered, plan)
    found["register_bits"] = LiveBits(lowered, plan).registers(ends=False)
    del found["ranks"], found["index_bits"]
    return found


def _control(made: Results) -> Features:
    """Counters, where they turn by group, and the store."""
    program, kind = made.made, made.result_type
    a, g, results = program.address_bits, program.group_bits, len(program.works) - 1
    stores = [(made.input_type.width, program.base - program.entry)]
    if kind:
        stores.append((kind.width, program.works[-1].address - program.base))
    sizes = [width << max(1, (words - 1).bit_length()) for width, words in stores if words > 0]
    return Counter(
        tiny_bits=sum(size for size in sizes if size <= TINY),
        count_bits=2 * a + g + (made.words.key_bits if made.words.counter else 0),
        store_bits=sum(sizes),
        choose_bits=kind.width * max(results - 1, 0) + made.input_type.width if kind else 0,
    )


def _lanes(made: Results) -> Features:
    """Products, sums, the row in which they finish, and the sum of squares beside them."""
    lanes, wide = made.lanes, made.sum.width
    number, _, weight, term, _, pre, _, gap, left, own = made.lane_parameters()
    total: Features = Counter(
        lane_bits=lanes * wide,
        drain_bits=(lanes - 1) * wide,
        pre_bits=lanes * (own + 2) if pre else 0,
        gap_bits=lanes * (max(number, weight) + 2) * (2 if gap == 1 else 3) if gap else 0,
        register_bits=lanes * (term + wide),
    )
    apart = max(number + left, weight) + 1
    total += _product(lanes, *((apart, apart) if gap == 2 else (number, weight)))
    if "squares.v" in made.parts:
        square = made.square_width()
        total += Counter(square_bits=square, register_bits=(2 + int(lanes > 1)) * square)
        kind = made.squared()
        total += _square(kind.width)
    return total


def _square(width: int) -> Features:
    """x^2 of so many bits: a table where they are few."""
    if width > FEW:
        return _product(1, width, width)
    return table_features([k * k for k in range(1 << width)], 2 * width)


def _product(count: int, a: int, b: int) -> Features:
    if a + b >= SMALL_PRODUCT:
        return Counter(mul_large_bits=count * a * b)
    return Counter(mul_small_bits=count * a * b)


def _ends(made: Results) -> Features:
    """Division, the least element and the place of the largest."""
    total: Features = Counter()
    for i in made.graph.find(Op.MIN):
        total += Counter(less_bits=elem(made.graph, made.graph[i].inputs[0]).width)
    if made.delay:
        total += Counter(divide_bits=made.delay, register_bits=3 * made.delay)
    if "argmax.v" in made.parts:
        width = elem(made.graph, final(made.graph)).width
        total += Counter(argmax_bits=width, register_bits=width + 8)
    return total
