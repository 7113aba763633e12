"""What Yosys' cells compute, of words whose bits are those of polynomials."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crystalc.diagnostics import ToolError
from crystalc_verilog.proof.poly import Poly, plus, scaled, times
from crystalc_verilog.proof.symbols import Bit, Made, Symbols, Word

Params = Mapping[str, int]


def evaluate(s: Symbols, kind: str, params: Params, ports: Mapping[str, Word], size: int) -> Word:
    """The word that a gate gives. Raises ToolError for one unknown here."""
    if kind not in RULES:
        raise ToolError(f"the proof does not know the cell {kind}")
    return RULES[kind](s, params, ports, size)


def extended(bits: Word, width: int, signed: bool) -> Word:
    """``bits`` with ``width`` of them."""
    more = width - len(bits)
    return bits[:width] if more <= 0 else bits + (bits[-1] if signed and bits else 0,) * more


def _pair(params: Params, ports: Mapping[str, Word], size: int) -> tuple[Word, Word]:
    a, b = (extended(ports[p], size, bool(params[f"{p}_SIGNED"])) for p in "AB")
    return a, b


def _operand(s: Symbols, params: Params, ports: Mapping[str, Word], port: str, size: int) -> Poly:
    """The number of a port, exact where it is extended."""
    word = ports[port]
    if len(word) >= size:
        return s.modulo(word[:size])
    return s.number(word, bool(params[f"{port}_SIGNED"]))


def _sum(sign: int) -> Callable[..., Word]:

    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
        a, b = (_operand(s, params, ports, p, size) for p in "AB")
        return s.word(plus(a, b, sign), size)

    return rule


def _mul(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:

    a, b = (s.number(ports[p], bool(params[f"{p}_SIGNED"])) for p in "AB")
    return s.word(times(a, b), size)


def _neg(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:

    return s.word(scaled(_operand(s, params, ports, "A", size), -1), size)


def _not(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
    wide = extended(ports["A"], size, bool(params["A_SIGNED"]))
    return tuple(s.inverted(b) for b in wide)


def _and(s: Symbols, a: Bit, b: Bit) -> Bit:
    if 0 in (a, b):
        return 0
    if a == 1 or a == b:
        return b
    return a if b == 1 else one(s, "$and", a, b)


def _or(s: Symbols, a: Bit, b: Bit) -> Bit:
    if 1 in (a, b):
        return 1
    if a == 0 or a == b:
        return b
    return a if b == 0 else one(s, "$or", a, b)


def _xor(s: Symbols, a: Bit, b: Bit) -> Bit:
    """Of two lowest bits it is the lowest bit of the sum."""

    if isinstance(a, int) or isinstance(b, int):
        known, other = (a, b) if isinstance(a, int) else (b, a)
        return s.inverted(other) if known else other
    if a == b:
        return 0
    if a[1] == b[1] == 0:
        return s.bit(s.number_of(plus(s.polys[a[0]], s.polys[b[0]])), 0)
    return one(s, "$xor", a, b)


def one(s: Symbols, kind: str, a: Bit, b: Bit) -> Bit:
    """A gate of two bits."""

    first, second = sorted(((a,), (b,)), key=repr)
    params = tuple(sorted({"A_SIGNED": 0, "B_SIGNED": 0}.items()))
    return s.gate(Made(kind, params, (first, second), 1))[0]


def _bitwise(f: Callable[[Symbols, Bit, Bit], Bit], invert: bool = False) -> Callable[..., Word]:
    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
        made = (f(s, a, b) for a, b in zip(*_pair(params, ports, size), strict=True))
        return tuple(s.inverted(b) for b in made) if invert else tuple(made)

    return rule


def any_of(s: Symbols, bits: Word) -> Bit:
    """Is any of ``bits`` 1?"""

    kept = tuple(sorted({b for b in bits if b != 0}, key=repr))
    if 1 in kept:
        return 1
    if len(kept) < 2:
        return kept[0] if kept else 0
    return s.gate(Made("$reduce_or", (("A_SIGNED", 0),), (kept,), 1))[0]


def _reduce(all_of: bool, invert: bool = False) -> Callable[..., Word]:
    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
        bits = ports["A"]
        found = any_of(s, tuple(s.inverted(b) for b in bits) if all_of else bits)
        return _one_bit(s.inverted(found) if all_of != invert else found, size)

    return rule


def _one_bit(bit: Bit, size: int) -> Word:
    return (bit,) + (0,) * (size - 1)


def _logic(f: Callable[[Symbols, Bit, Bit], Bit]) -> Callable[..., Word]:
    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
        return _one_bit(f(s, any_of(s, ports["A"]), any_of(s, ports["B"])), size)

    return rule


def _equal(same: bool) -> Callable[..., Word]:
    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
        a, b = _pair(params, ports, max(len(ports["A"]), len(ports["B"])))
        found = _is_equal(s, a, b)
        return _one_bit(found if same else s.inverted(found), size)

    return rule


def _is_equal(s: Symbols, a: Word, b: Word) -> Bit:

    if a == b:
        return 1
    pairs = [(p, q) for p, q in zip(a, b, strict=True) if p != q]
    if any(isinstance(p, int) and isinstance(q, int) for p, q in pairs):
        return 0
    first, second = sorted((tuple(p for p, _ in pairs), tuple(q for _, q in pairs)), key=repr)
    params = (("A_SIGNED", 0), ("B_SIGNED", 0))
    return s.gate(Made("$eq", params, (first, second), 1))[0]


def _less(swap: bool, invert: bool) -> Callable[..., Word]:
    """a < b, b < a, and what is not."""

    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
        wide = max(len(ports["A"]), len(ports["B"]))
        a, b = _pair(params, ports, wide)
        sign = bool(params["A_SIGNED"] and params["B_SIGNED"])
        found = _is_less(s, *((b, a) if swap else (a, b)), sign)
        return _one_bit(s.inverted(found) if invert else found, size)

    return rule


def _is_less(s: Symbols, a: Word, b: Word, signed: bool) -> Bit:

    (al, ah), (bl, bh) = (s.atoms.bounds(s.number(w, signed)) for w in (a, b))
    if ah < bl or al >= bh:
        return int(ah < bl)
    params = (("A_SIGNED", int(signed)), ("B_SIGNED", int(signed)))
    return s.gate(Made("$lt", params, (a, b), 1))[0]


def _mux(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:

    a, b, (choice,) = ports["A"], ports["B"], ports["S"]
    if isinstance(choice, int) or a == b:
        return b if choice == 1 else a
    return s.gate(Made("$mux", (), (a, b, (choice,)), size))


def _pmux_rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:

    a, b, choice = ports["A"], ports["B"], ports["S"]
    found = a
    for k in range(len(choice) - 1, -1, -1):
        part, bit = b[k * size : (k + 1) * size], choice[k]
        if isinstance(bit, int) or part == found:
            found = part if bit == 1 else found
        else:
            found = s.gate(Made("$mux", (), (found, part, (bit,)), size))
    return found


def _shift(left: bool, arithmetic: bool) -> Callable[..., Word]:
    def rule(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:

        sign = bool(params["A_SIGNED"])
        wide = extended(ports["A"], max(size, len(ports["A"])), sign)
        by = ports["B"]
        if not all(isinstance(b, int) for b in by) or params["B_SIGNED"]:
            kind = "$shl" if left else "$sshr" if arithmetic and sign else "$shr"
            held = (("A_SIGNED", int(kind == "$sshr")), ("B_SIGNED", 0))
            return s.gate(Made(kind, held, (wide, by), size))
        n = sum(int(b == 1) << k for k, b in enumerate(by))
        if left:
            return ((0,) * min(n, size) + wide)[:size]
        return extended(wide[n:] or (wide[-1] if arithmetic and sign else 0,), size,
                        arithmetic and sign)  # fmt: skip

    return rule


def _part(s: Symbols, params: Params, ports: Mapping[str, Word], size: int) -> Word:
    """``size`` bits from a place on."""
    a, by = ports["A"], ports["B"]
    if params["B_SIGNED"] or not all(isinstance(b, int) for b in by):
        return s.gate(Made("$shiftx", (), (a, by), size))
    at = sum(int(b == 1) << k for k, b in enumerate(by))
    return extended(a[at : at + size], size, False) if at < len(a) else s.unknown(size)


Rule = Callable[[Symbols, Params, Mapping[str, Word], int], Word]

RULES: Mapping[str, Rule] = {
    "$add": _sum(1),
    "$sub": _sum(-1),
    "$mul": _mul,
    "$neg": _neg,
    "$pos": lambda s, p, w, size: extended(w["A"], size, bool(p["A_SIGNED"])),
    "$not": _not,
    "$and": _bitwise(_and),
    "$or": _bitwise(_or),
    "$xor": _bitwise(_xor),
    "$xnor": _bitwise(_xor, invert=True),
    "$reduce_or": _reduce(all_of=False),
    "$reduce_bool": _reduce(all_of=False),
    "$logic_not": _reduce(all_of=False, invert=True),
    "$reduce_and": _reduce(all_of=True),
    "$logic_and": _logic(_and),
    "$logic_or": _logic(_or),
    "$eq": _equal(True),
    "$ne": _equal(False),
    "$lt": _less(swap=False, invert=False),
    "$ge": _less(swap=False, invert=True),
    "$gt": _less(swap=True, invert=False),
    "$le": _less(swap=True, invert=True),
    "$mux": _mux,
    "$pmux": _pmux_rule,
    "$shiftx": _part,
    "$shl": _shift(left=True, arithmetic=False),
    "$sshl": _shift(left=True, arithmetic=False),
    "$shr": _shift(left=False, arithmetic=False),
    "$sshr": _shift(left=False, arithmetic=True),
}
