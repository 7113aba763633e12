"""What decides the area of a circuit, counted before any synthesis: the features of an estimate.

The features are facts of the cells (bits of adders where two operands meet, look-up functions that
a table's contents need, ...); what each of them costs on a device stands in ``figures.json``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from crystalc_verilog.functions import LUT_INPUTS, Functions, columns, reduced
from crystalc_verilog.live_bits import LiveBits
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import Schedule, live_cells
from crystalc_verilog.wires import LOOKUP_LIMIT

SMALL_PRODUCT = 9
"""A product of fewer bits is made of LUTs even where there are multipliers."""

RAMP = 8
"""Entries of the smallest table that is told to be a distance."""

BLOCK = 4096
"""A table of so many bits that a register addresses becomes block memory where there is some."""

Features = Counter[str]


def features(lowered: Lowered, schedule: Schedule) -> Features:
    """The features of a scheduled circuit."""
    bits = LiveBits(lowered, schedule)
    total: Features = Counter()
    for c in bits.live:
        kind = bits.cells[c].kind
        if kind in RULES and bits.needed(c):
            total += RULES[kind](bits, c)
    held = _held_indices(lowered, schedule)
    total += _tables(bits, held)
    total["index_bits"] = sum(bits.cells[i].type.width for i in held)
    total["register_bits"] = bits.registers()
    total["inverted"] = bits.inverted()
    total["ranks"] = len(schedule.ranks)
    for state in lowered.states:
        kind = "memory" if state.memory else "bank"
        total[f"{kind}_bits"] += state.words * state.type.width
        total[f"{kind}_words"] += state.words
    return total


def _tables(bits: LiveBits, held: set[int]) -> Features:
    """Functions in the bits of tables that are needed, each once."""
    total: Features = Counter()
    found = Functions()
    adders = [c for c in bits.live if bits.cells[c].kind == "add"]
    absorbed = {bit for c in adders for bit in bits.absorbed(c)}
    for c in bits.live:
        cell = bits.cells[c]
        if cell.kind != "table":
            continue
        words, width = bits.lowered.circuit.contents[cell.params[0]], cell.type.width
        if cell.args[0] in held and len(words) * width >= BLOCK:
            total["block_bits"] += len(words) * width
            continue
        if _ramp(words):
            total["ramp_bits"] += bits.needed(c)
            continue
        for k, column in enumerate(columns(words, width)):
            if (c, k) in bits.until:
                index, column = reduced(tuple(bits.nets[cell.args[0]]), column)
                free = (c, k) in absorbed and len(index) < max(LUT_INPUTS)
                found.add(index, column, LUT_INPUTS[:1] if free else LUT_INPUTS)
    return total + found.features()


def _ramp(words: Sequence[int]) -> bool:
    """Is this |x - p| of a signed or an unsigned x? Synthesis finds what such tables share."""
    steps = [abs(b - a) != 1 for a, b in pairwise(words)]
    return len(words) > RAMP and sum(steps) <= 1


def _held_indices(lowered: Lowered, schedule: Schedule) -> set[int]:
    """Registers that a large table is read by: Yosys doubles them, to make them its own."""
    cells, stage, contents = lowered.circuit.cells, schedule.stage, lowered.circuit.contents
    tables = [c for c in live_cells(lowered) if cells[c].kind == "table"]
    large = (c for c in tables if len(contents[cells[c].params[0]]) > LOOKUP_LIMIT)
    pairs = ((c, cells[c].args[0]) for c in large)
    return {i for c, i in pairs if cells[i].kind == "input" or stage[i] < stage[c]}


def table_features(entries: Sequence[int], width: int) -> Features:
    """Functions of 4 (6) inputs in the bits of a table, and the choices between them."""
    found = Functions()
    for column in columns(entries, width):
        found.add(tuple(range(len(column).bit_length() - 1)), column)
    return found.features()


def _add(bits: LiveBits, c: int) -> Features:
    """Bits where both operands are wires, where one is, and the length of the carry chain."""
    made = bits.adder(c)
    return Counter(
        adds=1,
        add_both=made.both,
        add_one=made.one,
        add_chain=made.chain,
        chain2=-(-made.chain // 2),
        chain4=-(-made.chain // 4),
    )


def _mul(bits: LiveBits, c: int) -> Features:
    cell = bits.cells[c]
    a, b = (bits.cells[k].type.width for k in cell.args)
    if cell.type.width >= SMALL_PRODUCT:
        return Counter(mul_large=1, mul_large_bits=a * b)
    return Counter(mul_small_bits=a * b)


def _saturate(bits: LiveBits, c: int) -> Features:
    cell = bits.cells[c]
    source, width = bits.cells[cell.args[0]].type.width, cell.type.width
    return Counter(saturate_bits=width, saturate_top=max(0, source - cell.params[0] - width))


def _clip(bits: LiveBits, c: int) -> Features:
    """Bits that two conditions turn to the entries at the ends, and bits of the conditions."""
    cell = bits.cells[c]
    return Counter(
        clip_bits=bits.needed(c), clip_top=sum(bits.cells[k].type.width for k in cell.args[:2])
    )


def _less(bits: LiveBits, c: int) -> Features:
    width = max(bits.cells[k].type.width for k in bits.cells[c].args)
    return Counter(less_bits=width, chain4=-(-width // 4))


def _memory(bits: LiveBits, c: int) -> Features:
    """What one read port can reach; a parallel one reaches a row."""
    cell = bits.cells[c]
    index = bits.cells[cell.args[0]].type.width
    words = cell.params[2] if len(cell.params) > 2 else 1 << index
    return Counter(port_bits=words * cell.type.width, ports=1)


def _bits(kind: str) -> Callable[[LiveBits, int], Features]:
    return lambda bits, c: Counter({f"{kind}_bits": bits.needed(c)})


RULES: Mapping[str, Callable[[LiveBits, int], Features]] = {
    "add": _add,
    "mul": _mul,
    "saturate": _saturate,
    "clip": _clip,
    "less": _less,
    "memory": _memory,
    "relu": _bits("relu"),
    "abs": _bits("abs"),
    "choose": _bits("choose"),
}


def rom_features(*ports: Sequence[int], width: int, kind: str = "rom") -> Features:
    """A clocked ROM: block memory, or LUTs where Yosys finds them cheaper, and what registers its
    LUTs need. ``ports``: the words one after another; the first port reads them all, each other
    one only its own. ``kind``: "route" when the words are places in order, which share more.
    """
    words = [v for part in ports for v in part]
    total: Features = Counter(block_bits=len(words) * width)
    depth = 1 << max(1, (len(words) - 1).bit_length())
    seen = [{v >> bit & 1 for v in words} for bit in range(width)]
    used = sum(len(bits) > 1 for bits in seen)
    found: Features = Counter()
    for device, (inputs, price) in ROMS.items():
        if price(used, depth, len(ports)) < used * depth >> ROM_PRICE[device]:
            continue
        found = found or _read(words, *ports[1:], width=width)
        part = "flat" if depth <= 1 << inputs else "leaves"
        total[f"{kind}_{part}_{device}"] = found[f"table_leaves{inputs}"]
        total[f"{kind}_choices_{device}"] = found[f"table_choices{inputs}"]
        total[f"rom_bits_{device}"] = width * len(ports)
    return total


def _read(*ports: Sequence[int], width: int) -> Features:
    return sum((table_features(words, width) for words in ports), Counter[str]())


def _ice40(width: int, depth: int, ports: int) -> int:
    """Yosys's price of a ROM in blocks of 4096 bits with one port."""
    return 64 * ports * _blocks(width, depth, 16, 256)


def _ecp5(width: int, depth: int, ports: int) -> int:
    """The same in blocks of 18 Kbit, less wide with two ports."""
    return 128 * (_blocks(width, depth, 36, 512) if ports == 1 else _blocks(width, depth, 18, 1024))


def _xcup(width: int, depth: int, ports: int) -> int:
    """The same in blocks of 18 Kbit and of 36, less wide with two ports."""
    wide, rows = (36, 512) if ports == 1 else (18, 1024)
    halves = 129 * _blocks(width, depth, wide, rows)
    return min(halves, 257 * _blocks(width, depth, 2 * wide, rows))


ROMS = {"ice40": (4, _ice40), "ecp5": (4, _ecp5), "xcup": (6, _xcup)}
"""Inputs of a look-up table, and what a ROM costs in blocks, for each device."""

ROM_PRICE = {"ice40": 4, "ecp5": 4, "xcup": 6}
"""Logarithm of the bits of a ROM in logic that cost as much as 1 there."""


def _blocks(width: int, depth: int, wide: int, rows: int) -> int:
    """How many blocks of ``rows`` words of ``wide`` bits, or of words less wide, hold a ROM."""
    shapes = [(wide >> k, rows << k) for k in range(5) if wide >> k]
    return min(-(-width // w) * -(-depth // r) for w, r in shapes)
