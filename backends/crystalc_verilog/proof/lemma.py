"""Lemmas as pairs of Verilog modules: what the design instantiates, and the formula.

The formulas are written from docs/ir.md and from the first line of each primitive, as naively as
can be; nothing of the backend that made the design is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from crystalc_verilog.proof.atoms import Range
from crystalc_verilog.proof.matching import Cone
from crystalc_verilog.proof.meaning import Function
from crystalc_verilog.proof.netlist import Bit, Bits, Netlist, Register
from crystalc_verilog.proof.words import CellLemma, TableLemma


@dataclass(frozen=True)
class Goal:
    """Modules ``imp`` and ``ref`` over the same inputs: (name, width, signed) each."""

    imp: Sequence[str]
    ref: Sequence[str]
    inputs: Sequence[tuple[str, int, bool]]
    output: int


def verilog(goals: Mapping[str, Goal]) -> str:
    """All goals as modules imp_NAME and ref_NAME, and one that holds them all."""
    lines: list[str] = []
    for name, goal in goals.items():
        ports = [f"input {'signed ' if s else ''}[{w - 1}:0] {p}" for p, w, s in goal.inputs]
        head = ", ".join([*ports, f"output [{goal.output - 1}:0] y"])
        for side, body in (("imp", goal.imp), ("ref", goal.ref)):
            lines += [f"module {side}_{name} ({head});", *(f"    {line}" for line in body)]
            lines.append("endmodule")
    lines.append("module all;")
    for name in goals:
        lines += [f"    {side}_{name} {side}_{name}_i ();" for side in ("imp", "ref")]
    return "\n".join([*lines, "endmodule", ""])


def number(value: int, width: int) -> str:
    """A signed literal."""
    return f"-{width}'sd{-value}" if value < 0 else f"{width}'sd{value}"


def function_goal(f: Function, cone: Cone, netlist: Netlist) -> Goal:
    """The cells of ``cone`` against the meaning of ``f``, for arguments within their spans."""
    arguments = [Argument(1, 0, span) for span in f.spans]
    ends = [abs(v) for span in (*f.spans, f.range) for v in span]
    ends += [abs(leaf.factor) * max(ends, default=1) + abs(leaf.offset) for leaf in cone.leaves]
    wide = max(ends).bit_length() + 2
    return meaning_goal(f, arguments, lambda w: _cone(cone, netlist, w), len(cone.out), wide)


@dataclass(frozen=True)
class Argument:
    """An argument of a function is factor * z + offset, for all z in ``span``."""

    factor: int
    offset: int
    span: Range


def meaning_goal(
    f: Function,
    arguments: Sequence[Argument],
    made: Callable[[int], list[str]],
    out: int,
    least: int,
) -> Goal:
    """What ``made`` computes as r, of wires v0, v1, ... of so many bits, against the meaning of
    ``f``. ``least``: bits that its numbers take.
    """
    spans = [a.span for a in arguments]
    inputs = [(f"z{k}", max(2, *(v.bit_length() + 1 for v in s))) for k, s in enumerate(spans)]
    ends = [abs(v) for span in (*f.spans, f.range) for v in span]
    ends += [abs(a.factor) * max(map(abs, a.span)) + abs(a.offset) for a in arguments]
    ends += [abs(p) for p in f.params if f.kind != "div"]
    if f.kind in ("requant", "kernel"):
        ends.append(abs(f.params[3]) * max(ends) + (1 << f.params[0]))
    more = f.params[0] + 3 if f.kind == "div" else 2
    wide = max(least, max(ends).bit_length() + more)
    guard = " & ".join(
        f"(z{k} >= {number(low, wide)}) & (z{k} <= {number(high, wide)})"
        for k, (low, high) in enumerate(spans)
    )
    values = [
        f"wire signed [{wide - 1}:0] v{k} = z{k} * {number(a.factor, wide)}"
        f" + {number(a.offset, wide)};"
        for k, a in enumerate(arguments)
    ]
    ref = [*values, *MEANING[f.kind](f, wide)]
    right = f"r[{out - 1}:0] : {out}'d0" if out <= wide else f"r : {out}'sd0"
    ref.append(f"assign y = ({guard}) ? {right};")
    imp = [*values, *made(wide), f"assign y = ({guard}) ? r : {out}'d0;"]
    if f.kind == "div":
        imp, ref = (_confined(side, spans, wide) for side in (imp, ref))
    return Goal(imp, ref, [(name, width, True) for name, width in inputs], out)


def _confined(lines: list[str], spans: Sequence[Range], wide: int) -> list[str]:
    """The same with inputs outside of their span replaced at once: then both sides agree in every
    step of a division, not only at its end, and ``cec`` goes step by step.
    """
    confined = [
        f"wire signed [{wide - 1}:0] in{k} = (z{k} >= {number(low, wide)})"
        f" & (z{k} <= {number(high, wide)}) ? z{k} : {number(low, wide)};"
        for k, (low, high) in enumerate(spans)
    ]
    return [*confined, *(re.sub(r"\bz(\d+)\b", r"in\1", line) for line in lines)]


GATES: Mapping[str, str] = {"$mux": "{2} ? {1} : {0}", "$reduce_or": "|{0}"}
"""Operators of the top module, of their operands."""


def _cone(cone: Cone, netlist: Netlist, wide: int) -> list[str]:
    """The cells instantiated as in the design, over the leaves."""
    lines, place = [], dict[Bit, str]()
    for k, leaf in enumerate(cone.leaves):
        value = f"v{leaf.argument} * {number(leaf.factor, wide)} + {number(leaf.offset, wide)}"
        lines += [
            f"wire signed [{wide - 1}:0] f{k} = {value};",
            f"wire [{len(leaf.bits) - 1}:0] l{k} = f{k};",
        ]
        place.update((bit, f"l{k}[{i}]") for i, bit in enumerate(leaf.bits))
    for k, cell in enumerate(cone.cells):
        lines.append(f"wire [{len(cell.out) - 1}:0] w{k};")
        place.update((bit, f"w{k}[{i}]") for i, bit in enumerate(cell.out) if bit not in place)
    for k, cell in enumerate(cone.cells):
        args = [_wires(a, place, netlist) for a in cell.args]
        lines.append(
            f"assign w{k} = {GATES[cell.kind].format(*args)};"
            if cell.kind in GATES
            else f"{_module(cell.kind, cell.params)} c{k} ({', '.join([*args, f'w{k}'])});"
        )
    return [*lines, f"wire [{len(cone.out) - 1}:0] r = {_wires(cone.out, place, netlist)};"]


def _wires(bits: Bits, place: Mapping[Bit, str], netlist: Netlist) -> str:
    return "{" + ", ".join(_wire(b, place, netlist) for b in reversed(bits)) + "}"


def _wire(bit: Bit, place: Mapping[Bit, str], netlist: Netlist) -> str:
    if bit in ("0", "1"):
        return f"1'b{bit}"
    if bit in place:
        return place[bit]
    if bit in netlist.inverted:
        return f"~{_wire(netlist.inverted[bit], place, netlist)}"
    made, k = netlist.driver[bit]
    assert isinstance(made, Register)
    return _wire(made.d[k], place, netlist)


def _module(kind: str, params: Sequence[int]) -> str:
    return f"{kind} #({', '.join(map(str, params))})" if params else kind


def _requant(f: Function, wide: int) -> list[str]:
    shift, low, high, factor = f.params
    half = number(1 << (shift - 1), wide)
    ends, times = (number(low, wide), number(high, wide)), number(factor, wide)
    return [
        f"wire signed [{wide - 1}:0] q = (v0 * {times} + {half}) >>> {shift};",
        f"wire signed [{wide - 1}:0] r = (q < {ends[0]}) ? {ends[0]}"
        f" : (q > {ends[1]}) ? {ends[1]} : q;",
    ]


def _lookup(f: Function, wide: int) -> list[str]:
    return _looked_up("v0", f.spans[0][0], f.params, wide)


def _kernel(f: Function, wide: int) -> list[str]:
    """What is rounded and clipped is an index."""
    index = _requant(replace(f, params=f.params[:4]), wide)
    named = [line.replace(" r = ", " i = ") for line in index]
    return [*named, *_looked_up("i", f.params[4], f.params[5:], wide)]


def _looked_up(index: str, first: int, entries: Sequence[int], wide: int) -> list[str]:
    """One truth table a bit of the result, over the low bits of the index."""
    bits = max(1, (first + len(entries) - 1).bit_length())
    lines = [f"wire signed [{wide - 1}:0] r;"]
    for k in range(wide):
        table = sum((v >> k & 1) << (first + i) for i, v in enumerate(entries))
        lines.append(
            f"\\$lut #(.WIDTH({bits}), .LUT({1 << bits}'h{table:x})) t{k}"
            f" (.A({index}[{bits - 1}:0]), .Y(r[{k}]));"
        )
    return lines


def _relu(f: Function, wide: int) -> list[str]:
    zero = number(0, wide)
    return [f"wire signed [{wide - 1}:0] r = (v0 < {zero}) ? {zero} : v0;"]


def _min(f: Function, wide: int) -> list[str]:
    lines = [f"wire signed [{wide - 1}:0] m0 = v0;"]
    last = len(f.args) - 1
    for k in range(1, last + 1):
        lines.append(f"wire signed [{wide - 1}:0] m{k} = (v{k} < m{k - 1}) ? v{k} : m{k - 1};")
    return [*lines, f"wire signed [{wide - 1}:0] r = m{last};"]


def _argmax(f: Function, wide: int) -> list[str]:
    """The first largest: a later one must be larger."""
    lines = [f"wire signed [{wide - 1}:0] m0 = v0, i0 = {number(0, wide)};"]
    last = len(f.args) - 1
    for k in range(1, last + 1):
        lines += [
            f"wire more{k} = v{k} > m{k - 1};",
            f"wire signed [{wide - 1}:0] m{k} = more{k} ? v{k} : m{k - 1};",
            f"wire signed [{wide - 1}:0] i{k} = more{k} ? {number(k, wide)} : i{k - 1};",
        ]
    return [*lines, f"wire signed [{wide - 1}:0] r = i{last};"]


def _div(f: Function, wide: int) -> list[str]:
    """floor(n / d), d > 0: n - d + 1 truncates to it where n < 0."""
    one, shift = number(1, wide), f.params[0]
    span = f"wire signed [{wide - 1}:0]"
    return [
        f"{span} b = (v1 < {one}) ? {one} : v1;",
        f"{span} n = (v0 <<< {shift + 1}) + b;",
        f"{span} d = b <<< 1;",
        f"{span} t = (n < {number(0, wide)}) ? n - d + {one} : n;",
        f"{span} r = t / d;",
    ]


MEANING: Mapping[str, Callable[[Function, int], list[str]]] = {
    "requant": _requant,
    "lookup": _lookup,
    "kernel": _kernel,
    "relu": _relu,
    "min": _min,
    "argmax": _argmax,
    "div": _div,
}
"""Each function of docs/ir.md: from wires v0, v1, ... to a wire r."""


def cells_goal(lemmas: Sequence[CellLemma]) -> Goal:
    """Several primitives side by side."""
    imp, ref, inputs, at = list[str](), list[str](), list[tuple[str, int, bool]](), 0
    for k, lemma in enumerate(lemmas):
        widths, width, formula = CELLS[lemma.kind](*lemma.params)
        names = [f"a{k}", f"b{k}"][: len(widths)]
        inputs += [(name, w, s) for name, (w, s) in zip(names, widths, strict=True)]
        top = at + width - 1
        imp.append(f"{_module(lemma.kind, lemma.params)} c{k} ({', '.join(names)}, y[{top}:{at}]);")
        wide = max(width, sum(w for w, _ in widths)) + 1
        for name in names:
            ref.append(f"wire signed [{wide - 1}:0] v{name} = {name};")
        ref.append(f"wire signed [{wide - 1}:0] r{k} = {formula.format(a=f'va{k}', b=f'vb{k}')};")
        ref.append(f"assign y[{top}:{at}] = r{k}[{width - 1}:0];")
        at += width
    return Goal(imp, ref, inputs, at)


Formula = tuple[list[tuple[int, bool]], int, str]
"""Operands (width, signed), width of the result, expression of {a} and {b}."""


def _add(wa: int, sa: int, la: int, wb: int, sb: int, lb: int, minus: int, wy: int) -> Formula:
    sign = "-" if minus else "+"
    text = f"({{a}} <<< {la}) {sign} ({{b}} <<< {lb})"
    return [(wa, bool(sa)), (wb, bool(sb))], wy, text


def _mul(wa: int, sa: int, wb: int, sb: int, wy: int) -> Formula:
    return [(wa, bool(sa)), (wb, bool(sb))], wy, "{a} * {b}"


def _abs(wa: int, wy: int) -> Formula:
    return [(wa, True)], wy, "({a} < 0) ? -{a} : {a}"


def _bits(wa: int, shift: int, wy: int) -> Formula:
    return [(wa, True)], wy, f"{{a}} >>> {shift}"


CELLS: Mapping[str, Callable[..., Formula]] = {
    "crystal_add": _add,
    "crystal_mul": _mul,
    "crystal_abs": _abs,
    "crystal_bits": _bits,
}


def table_goal(lemma: TableLemma) -> Goal:
    """A table module against the values it must have between two indices."""
    mask, w = (1 << lemma.index) - 1, lemma.width
    items = [
        f"{lemma.index}'d{(lemma.low + k) & mask}: v = {w}'d{value & ((1 << w) - 1)};"
        for k, value in enumerate(lemma.values)
    ]
    inside = [f"{lemma.index}'d{(lemma.low + k) & mask}" for k in range(len(lemma.values))]
    guard = [
        f"reg ok; always @* case (u) {', '.join(inside)}: ok = 1;",
        "default: ok = 0;",
        "endcase",
    ]
    imp = [*guard, f"wire [{w - 1}:0] t;", f"{lemma.kind} c (u, t);"]
    ref = [*guard, f"reg [{w - 1}:0] v;", "always @* case (u)", *items, f"default: v = {w}'d0;"]
    return Goal(
        [*imp, f"assign y = ok ? t : {w}'d0;"],
        [*ref, "endcase", f"assign y = ok ? v : {w}'d0;"],
        [("u", lemma.index, False)],
        w,
    )
