"""Values of every word on sample vectors: hints for where to look, and counterexamples.

Nothing here is believed: what it suggests is proved afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalc_verilog.proof.netlist import Bits, Instance, Netlist, Register

Array = NDArray[np.int64]


@dataclass
class Signals:
    """``given``: words that are inputs, [n] numbers of the bits. A word is its bits, unsigned."""

    netlist: Netlist
    tables: Mapping[str, Sequence[int]]
    count: int
    given: dict[Bits, Array]
    _known: dict[Bits, Array] = field(default_factory=dict)

    def word(self, bits: Bits) -> Array:
        """The word on all samples, [n]."""
        if bits in self.given:
            return self.given[bits]
        if bits not in self._known:
            self._known[bits] = self._word(bits)
        return self._known[bits]

    def number(self, bits: Bits, signed: int) -> Array:
        """The word as a reader takes it."""
        value = self.word(bits)
        half = 1 << (len(bits) - 1)
        return np.where(value >= half, value - 2 * half, value) if signed else value

    def _word(self, bits: Bits) -> Array:
        made, _ = self.netlist.driver.get(bits[0], (None, 0))
        if isinstance(made, Register) and made.q == bits:
            return self.word(made.d)
        if isinstance(made, Instance) and made.out == bits:
            return self._cell(made) & ((1 << len(bits)) - 1)
        total = np.zeros(self.count, np.int64)
        for k, bit in enumerate(bits):
            total |= self._bit(bit) << k
        return total

    def _bit(self, bit: int | str) -> Array:
        if bit in ("0", "1", "x"):
            return np.full(self.count, int(bit == "1"), np.int64)
        if bit in self.netlist.inverted:
            return 1 - self._bit(self.netlist.inverted[bit])
        for word, values in self._holders(bit):
            return values >> word.index(bit) & 1
        made, place = self.netlist.driver[bit]
        word = made.q if isinstance(made, Register) else made.out
        return self.word(word) >> place & 1

    def _holders(self, bit: int | str) -> list[tuple[Bits, Array]]:
        word = self._inputs.get(bit)
        return [(word, self.given[word])] if word else []

    @property
    def _inputs(self) -> dict[int | str, Bits]:
        if not hasattr(self, "_by_bit"):
            self._by_bit = {bit: word for word in self.given for bit in word}
        return self._by_bit

    def _cell(self, cell: Instance) -> Array:
        if cell.kind in self.tables:
            entries = np.array(self.tables[cell.kind], np.int64)
            return np.asarray(entries[self.word(cell.args[0])])
        return np.asarray(CELLS[cell.kind](self, cell))


def _add(s: Signals, c: Instance) -> Array:
    _, sa, la, _, sb, lb, minus, _ = c.params
    a, b = s.number(c.args[0], sa) << la, s.number(c.args[1], sb) << lb
    return a - b if minus else a + b


def _mul(s: Signals, c: Instance) -> Array:
    return s.number(c.args[0], c.params[1]) * s.number(c.args[1], c.params[3])


def _bits(s: Signals, c: Instance) -> Array:
    return s.number(c.args[0], 1) >> c.params[1]


def _saturate(s: Signals, c: Instance) -> Array:
    _, sa, shift, wy, sy = c.params
    low, high = (-(1 << (wy - 1)), (1 << (wy - 1)) - 1) if sy else (0, (1 << wy) - 1)
    return np.asarray(np.clip(s.number(c.args[0], sa) >> shift, low, high))


def _less(s: Signals, c: Instance) -> Array:
    _, sa, _, sb = c.params
    return (s.number(c.args[0], sa) < s.number(c.args[1], sb)).astype(np.int64)


def _choose(s: Signals, c: Instance) -> Array:
    _, sa, _, sb, _ = c.params
    return np.where(s.word(c.args[0]) != 0, s.number(c.args[1], sa), s.number(c.args[2], sb))


def _memory(s: Signals, c: Instance) -> Array:
    words, width, initial = 1 << c.params[0], c.params[2], c.params[5]
    store = [initial >> (k * width) & ((1 << width) - 1) for k in range(words)]
    return np.asarray(np.array(store, np.int64)[s.word(c.args[4])])


def _mux(s: Signals, c: Instance) -> Array:
    return np.where(s.word(c.args[2]) != 0, s.word(c.args[1]), s.word(c.args[0]))


CELLS: Mapping[str, Callable[[Signals, Instance], Array]] = {
    "crystal_add": _add,
    "crystal_mul": _mul,
    "crystal_bits": _bits,
    "crystal_saturate": _saturate,
    "crystal_relu": lambda s, c: np.maximum(s.number(c.args[0], 1), 0),
    "crystal_abs": lambda s, c: np.abs(s.number(c.args[0], 1)),
    "crystal_less": _less,
    "crystal_choose": _choose,
    "crystal_memory": _memory,
    "$mux": _mux,
    "$reduce_or": lambda s, c: (s.word(c.args[0]) != 0).astype(np.int64),
}
