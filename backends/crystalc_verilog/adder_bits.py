"""What the adders of a circuit cost in look-up tables: the bits where both operands have one."""

from __future__ import annotations

from collections.abc import Sequence

from crystalc_verilog.circuit import WIDEST, Circuit


def adder_tables(circuit: Circuit, live: Sequence[int]) -> int:
    """Look-up tables of the adders among ``live``: bits where both operands have one."""
    total = 0
    for cell in (circuit.cells[c] for c in live):
        if cell.kind == "add":
            a, b = (
                _wires(circuit, arg) << shift
                for arg, shift in zip(cell.args, cell.params, strict=False)
            )
            total += (a & b & ((1 << cell.type.width) - 1)).bit_count()
    return total


def _wires(circuit: Circuit, a: int) -> int:
    """The bits of a cell that are not constant; all above for a signed one."""
    cell = circuit.cells[a]
    if cell.kind == "const":
        return 0
    if cell.kind == "left":
        return _wires(circuit, cell.args[0]) << cell.params[0]
    if cell.kind == "join":
        parts = zip(cell.args, cell.params, strict=True)
        return sum(_wires(circuit, c) << shift for c, shift in parts)
    return (1 << (WIDEST if cell.type.signed else cell.type.width)) - 1
