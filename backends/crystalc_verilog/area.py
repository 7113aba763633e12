"""What decides the area of a circuit, counted before any synthesis: the features of an estimate.

The features are facts of the cells (bits of adders where two operands meet, look-up functions that
a table's contents need, ...); what each of them costs on a device stands in ``figures.json``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from crystalc_verilog.circuit import Cell, Circuit
from crystalc_verilog.lower import Lowered
from crystalc_verilog.schedule import Schedule, live_cells

SMALL_PRODUCT = 9
"""A product of fewer bits is made of LUTs even where there are multipliers."""

LUT_INPUTS = (4, 6)

BLOCK = 4096
"""A table of so many bits that a register addresses becomes block memory where there is some."""

Features = Counter[str]


def features(lowered: Lowered, schedule: Schedule) -> Features:
    """The features of a scheduled circuit."""
    circuit = lowered.circuit
    entries = {number: table for table, number in circuit.tables.items()}
    total: Features = Counter()
    held = _held_indices(lowered, schedule)
    for c in live_cells(lowered):
        cell = circuit.cells[c]
        if cell.kind == "table":
            words, width = entries[cell.params[0]], cell.type.width
            block = cell.args[0] in held and len(words) * width >= BLOCK
            total += (
                Counter(block_bits=len(words) * width) if block else table_features(words, width)
            )
        elif cell.kind in RULES:
            total += RULES[cell.kind](circuit, cell)
    total["index_bits"] = sum(circuit.cells[i].type.width for i in held)
    total["register_bits"] = sum(circuit.cells[c].type.width for r in schedule.ranks for c in r)
    total["ranks"] = len(schedule.ranks)
    total["state_bits"] = sum(s.words * s.type.width for s in lowered.states)
    total["state_words"] = sum(s.words for s in lowered.states)
    return total


def _held_indices(lowered: Lowered, schedule: Schedule) -> set[int]:
    """Registers that a table is read by: Yosys doubles them, to make them the table's own."""
    cells, stage = lowered.circuit.cells, schedule.stage
    tables = (c for c in live_cells(lowered) if cells[c].kind == "table")
    pairs = ((c, cells[c].args[0]) for c in tables)
    return {i for c, i in pairs if cells[i].kind == "input" or stage[i] < stage[c]}


def table_features(entries: Sequence[int], width: int) -> Features:
    """Distinct functions of 4 (6) inputs in each bit of a table, and the choices between them."""
    total: Features = Counter()
    index = max(1, (len(entries) - 1).bit_length())
    padded = [*entries, *([entries[-1]] * ((1 << index) - len(entries)))]
    for inputs in LUT_INPUTS:
        size = 1 << min(inputs, index)
        for bit in range(width):
            column = tuple(v >> bit & 1 for v in padded)
            leaves, choices = _decomposed(column, size)
            total[f"table_leaves{inputs}"] += leaves
            total[f"table_choices{inputs}"] += choices
    return total


def _decomposed(column: tuple[int, ...], size: int) -> tuple[int, int]:
    """Distinct functions below, distinct choices above, the cut at blocks of ``size``."""
    level = [column[k : k + size] for k in range(0, len(column), size)]
    leaves = {block for block in level if 0 < sum(block) < size}
    numbers = {block: k for k, block in enumerate(dict.fromkeys(level))}
    ids, choices = [numbers[block] for block in level], 0
    while len(ids) > 1:
        pairs = list(zip(ids[::2], ids[1::2], strict=True))
        made = {p: k for k, p in enumerate(dict.fromkeys(pairs))}
        choices += sum(a != b for a, b in made)
        ids = [made[p] for p in pairs]
    return len(leaves), choices


def _add(circuit: Circuit, cell: Cell) -> Features:
    """Bits where both operands are wires, where one is, and the length of the carry chain."""
    a, b = (circuit.cells[k] for k in cell.args)
    left, right, minus = cell.params
    width = cell.type.width
    spans = [_span(a, left, width), _span(b, right, width)]
    start = spans[1][0] if minus else max(spans[0][0], spans[1][0])
    live = [[lo <= k < hi for k in range(width)] for lo, hi in spans]
    both = sum(p and q for p, q in zip(live[0][start:], live[1][start:], strict=True))
    one = sum(p != q for p, q in zip(live[0][start:], live[1][start:], strict=True))
    chain = max(0, width - start)
    return Counter(add_both=both, add_one=one, add_chain=chain, chain4=-(-chain // 4), adds=1)


def _span(cell: Cell, shift: int, width: int) -> tuple[int, int]:
    """The bits of a sum of ``width`` in which the shifted operand is not a constant."""
    if cell.kind == "const":
        return (cell.low & -cell.low).bit_length() - 1 + shift if cell.low else width, 0
    return shift, width if cell.type.signed else min(width, shift + cell.type.width)


def _mul(circuit: Circuit, cell: Cell) -> Features:
    a, b = (circuit.cells[k].type.width for k in cell.args)
    if cell.type.width >= SMALL_PRODUCT:
        return Counter(mul_large=1, mul_large_bits=a * b)
    return Counter(mul_small_bits=a * b)


def _saturate(circuit: Circuit, cell: Cell) -> Features:
    source = circuit.cells[cell.args[0]].type.width
    width = cell.type.width
    return Counter(saturate_bits=width, saturate_top=max(0, source - cell.params[0] - width))


def _less(circuit: Circuit, cell: Cell) -> Features:
    width = max(circuit.cells[k].type.width for k in cell.args)
    return Counter(less_bits=width, chain4=-(-width // 4))


def _memory(circuit: Circuit, cell: Cell) -> Features:
    return Counter(memory_bits=cell.params[2] * cell.type.width)


def _bits(kind: str) -> Callable[[Circuit, Cell], Features]:
    return lambda circuit, cell: Counter({f"{kind}_bits": cell.type.width})


RULES: Mapping[str, Callable[[Circuit, Cell], Features]] = {
    "add": _add,
    "mul": _mul,
    "saturate": _saturate,
    "less": _less,
    "memory": _memory,
    "relu": _bits("relu"),
    "abs": _bits("abs"),
    "choose": _bits("choose"),
}


def rom_features(*ports: Sequence[int], width: int) -> Features:
    """A clocked ROM, with the words that each port reads: block memory, or LUTs where Yosys finds
    them cheaper; what registers its LUTs need.
    """
    total: Features = Counter(block_bits=sum(map(len, ports)) * width)
    tables = sum((table_features(words, width) for words in ports), Counter[str]())
    depth = 1 << max(1, (sum(map(len, ports)) - 1).bit_length())
    seen = [{v >> bit & 1 for words in ports for v in words} for bit in range(width)]
    used = sum(len(bits) > 1 for bits in seen)
    for inputs, block in ((4, _block4), (6, _block6)):
        if block(used, depth, len(ports)) > used * depth >> inputs:
            total += {k: n for k, n in tables.items() if k.endswith(str(inputs))}
            total[f"rom_bits{inputs}"] += width * len(ports)
    return total


def _block4(width: int, depth: int, ports: int) -> int:
    """Yosys's price of a ROM in blocks of 4096 bits with one port (a LUT of 4 is 1)."""
    return 64 * ports * _blocks(width, depth, 16, 256)


def _block6(width: int, depth: int, ports: int) -> int:
    """The same for UltraScale+: blocks of 18 Kbit and of 36, less wide with two ports."""
    wide, rows = (36, 512) if ports == 1 else (18, 1024)
    halves = 129 * _blocks(width, depth, wide, rows)
    return min(halves, 257 * _blocks(width, depth, 2 * wide, rows))


def _blocks(width: int, depth: int, wide: int, rows: int) -> int:
    """How many blocks of ``rows`` words of ``wide`` bits, or of words less wide, hold a ROM."""
    shapes = [(wide >> k, rows << k) for k in range(5) if wide >> k]
    return min(-(-width // w) * -(-depth // r) for w, r in shapes)
