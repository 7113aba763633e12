"""Finds the words of a followed design that compute the graph's functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import gcd

from crystalc_verilog.proof.lemma import Argument, Goal, meaning_goal, number
from crystalc_verilog.proof.meaning import Function
from crystalc_verilog.proof.poly import Poly, affine, plus, variables
from crystalc_verilog.proof.sat import Verdict
from crystalc_verilog.proof.symbols import Array, Bit, Made, Symbols, Word
from crystalc_verilog.proof.words import Unproved

TRIED = 8
"""How many words with the right values are looked at."""


@dataclass(frozen=True)
class Place:
    """A function, the word that computes it, and what is to be proved for that."""

    function: Function
    word: Word
    goal: Goal | None
    why: str = ""
    arguments: Sequence[Argument] = ()
    exact: bool = False

    def decoded(self, verdict: Verdict) -> str:
        """A counterexample in numbers."""
        values = [verdict.inputs[f"z{k}"] for k in range(len(self.arguments))]
        ends = [a.span for a in self.arguments]
        values = [
            z if low <= z <= high else low for z, (low, high) in zip(values, ends, strict=True)
        ]
        given = (a.factor * z + a.offset for a, z in zip(self.arguments, values, strict=True))
        said = f"for the argument {', '.join(map(str, given))} it is {verdict.got}"
        return f"{said}, the oracle says {verdict.wanted} (modulo 2**{len(self.word)})"


@dataclass
class Finder:
    """``wanted``: values of a node on the samples, [n, elements]; ``words``: where to look."""

    symbols: Symbols
    wanted: Callable[[int], Array]
    words: Iterable[Word]
    places: list[Place] = field(default_factory=list)
    _seen: dict[tuple[object, ...], Poly] = field(default_factory=dict)
    _by_values: dict[tuple[int, bytes], list[Word]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word in self.words:
            values = self.symbols.sampled(word)
            if values.dtype != object:
                self._by_values.setdefault((len(word), values.tobytes()), []).append(word)
        self._widths = sorted({width for width, _ in self._by_values})

    def resolve(self, f: Function) -> Poly:
        """The number that the design has for ``f``; equal functions are one."""
        if f.content not in self._seen:
            place = self._place(f)
            self.places.append(place)
            signed = f.range[0] < 0
            self._seen[f.content] = (
                self.symbols.number(place.word, signed)
                if place.word
                else self.symbols.fresh(*f.range, self.wanted(f.node)[:, f.element])
            )
        return self._seen[f.content]

    def _place(self, f: Function) -> Place:
        why = "no word of the design has its values"
        for word in self._candidates(f):
            try:
                cone = Cone(self.symbols, f, word)
                return Place(f, word, cone.goal(), "", cone.arguments)
            except Unproved as error:
                why = str(error)
        return Place(f, (), None, why)

    def _candidates(self, f: Function) -> list[Word]:
        values, found = self.wanted(f.node)[:, f.element], list[Word]()
        low, high = f.range
        least = max(high.bit_length(), (~low).bit_length() if low < 0 else 0) + int(low < 0)
        for width in (w for w in self._widths if w >= least):
            bits = (values & ((1 << width) - 1)).tobytes()
            found += self._by_values.get((width, bits), [])
        return sorted(found, key=_latest, reverse=True)[:TRIED]


def _latest(word: Word) -> int:
    """The number of what was made last among the bits."""
    return max((b[0] for b in word if not isinstance(b, int)), default=0)


class Cone:
    """The gates from the arguments of a function to a word, as Verilog."""

    def __init__(self, symbols: Symbols, f: Function, word: Word) -> None:
        self.symbols, self.f, self.word = symbols, f, word
        self.parts = [_primitive(a) for a in f.args]
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.given = {
            bit: f"b{k}[{i}]"
            for k, (b, _, _) in enumerate(self.parts)
            for i, bit in enumerate(symbols.read_as(b))
        }
        self.whole = {
            v: f"b{k}[{len(word) - 1}:0]"
            for k, word in enumerate(symbols.read_as(b) for b, _, _ in self.parts)
            for v in {v for bit in word[:1] if not isinstance(bit, int) for v in self._of(bit[0])}
            if symbols.word({(v,): 1}, len(word)) == word
        }
        self.least = 2
        self.wide = 0
        self.arguments = [
            Argument(factor, rest, (-((rest - low) // factor), (high - rest) // factor))
            for (_, factor, rest), (low, high) in zip(self.parts, f.spans, strict=True)
        ]

    def _of(self, at: int) -> set[int]:
        return set(variables(self.symbols.polys[at]))

    def goal(self) -> Goal:
        """What is to be proved. Raises Unproved where the word rests on something else."""
        self.body(62)
        return meaning_goal(self.f, self.arguments, self.body, len(self.word), self.least + 2)

    def body(self, wide: int) -> list[str]:
        """The gates over z0, z1, ..., which give r; numbers have ``wide`` bits."""
        self.names, self.wide = {}, wide
        self.lines = [f"wire signed [{wide - 1}:0] b{k} = z{k};" for k in range(len(self.parts))]
        whole = self.bits(self.word)
        return [*self.lines, f"wire [{len(self.word) - 1}:0] r = {whole};"]

    def bits(self, word: Word) -> str:
        """A word, its highest bit first."""
        return "{" + ", ".join(self.bit(b) for b in reversed(word)) + "}"

    def bit(self, b: Bit) -> str:
        """A wire."""
        if isinstance(b, int):
            return f"1'b{b}"
        if b in self.given:
            return self.given[b]
        at, k = b
        self.least = max(self.least, k + 1)
        return f"{self.number(at)}[{k}]"

    def number(self, at: int) -> str:
        """The name of a polynomial's value."""
        if at not in self.names:
            poly = self.symbols.polys[at]
            self.names[at] = f"f{at}"
            low, high = self.symbols.atoms.bounds(poly)
            self.least = max(self.least, low.bit_length() + 1, high.bit_length() + 1)
            text = self.sum(poly)
            self.lines.append(f"wire signed [{self.wide - 1}:0] f{at} = {text};")
        return self.names[at]

    def sum(self, poly: Poly) -> str:
        """A polynomial of the arguments and of gates."""
        for k, (b, _, _) in enumerate(self.parts):
            whole = affine(poly, b)
            if whole is not None:
                factor, rest = (number(v, self.wide) for v in whole)
                return f"b{k} * {factor} + {rest}"
        return self.mixture(poly)

    def mixture(self, poly: Poly) -> str:
        """A sum of several arguments and of gates."""
        terms, rest, made = list[str](), poly, self.symbols.made
        for k, (b, _, _) in enumerate(self.parts):
            lead = next((m for m in b if m), ())
            if lead and lead in rest and rest[lead] % b[lead] == 0:
                factor = rest[lead] // b[lead]
                rest = plus(rest, b, -factor)
                terms.append(f"b{k} * {number(factor, self.wide)}")
        inner = {m: w for m, w in rest.items() if m and all(v in made for v in m)}
        rest = {m: w for m, w in rest.items() if m not in inner}
        if variables(rest):
            raise Unproved("it rests on something that is not an argument")
        for monomial, weight in inner.items():
            names = [self.gate(v, made[v]) for v in monomial]
            terms.append(" * ".join([*names, number(weight, self.wide)]))
        return " + ".join([*terms, number(rest.get((), 0), self.wide)])

    def gate(self, v: int, made: Made) -> str:
        """The value of a gate's variable, a signed number."""
        name = f"m{v}"
        if -v - 1 in self.names:
            return name
        self.names[-v - 1] = name
        given = [] if v in self.whole else [self.bits(w) for w in made.operands]
        size = made.width
        self.least = max(self.least, size + 1)
        if v in self.whole:
            self.lines.append(f"wire [{size - 1}:0] w{v} = {self.whole[v]};")
        elif made.kind == "read":
            self._table(v, made, given[0])
        else:
            for k, text in enumerate(given):
                self.lines.append(f"wire [{len(made.operands[k]) - 1}:0] a{v}_{k} = {text};")
            formula = TEXT[made.kind].format(*(f"a{v}_{k}" for k in range(len(given))))
            if dict(made.params).get("A_SIGNED"):
                formula = SIGNED[made.kind].format(*(f"a{v}_{k}" for k in range(len(given))))
            self.lines.append(f"wire [{size - 1}:0] w{v} = {formula};")
        top = f"w{v}[{size - 1}]" if dict(made.params).get("signed") else "1'b0"
        self.lines.append(
            f"wire signed [{self.wide - 1}:0] {name} = {{{{{self.wide}{{{top}}}}}, w{v}}};"
        )
        return name

    def _table(self, v: int, made: Made, index: str) -> None:
        entries = self.symbols.tables[dict(made.params)["table"]]
        bits = len(made.operands[0])
        self.lines.append(f"wire [{made.width - 1}:0] w{v};")
        for k in range(made.width):
            table = sum((e >> k & 1) << i for i, e in enumerate(entries))
            self.lines.append(
                f"\\$lut #(.WIDTH({bits}), .LUT({1 << bits}'h{table:x})) t{v}_{k}"
                f" (.A({index}), .Y(w{v}[{k}]));"
            )


def _primitive(a: Poly) -> tuple[Poly, int, int]:
    """(b, factor, offset) with a = factor * b + offset and b as small as can be."""
    moving = {m: w for m, w in a.items() if m}
    factor = reduce(gcd, moving.values(), 0) or 1
    rest = a.get((), 0)
    return {m: w // factor for m, w in moving.items()}, factor, rest


TEXT = {
    "number": "{0}",
    "$mux": "{2} ? {1} : {0}",
    "$and": "{0} & {1}",
    "$or": "{0} | {1}",
    "$xor": "{0} ^ {1}",
    "$eq": "{0} == {1}",
    "$lt": "{0} < {1}",
    "$reduce_or": "|{0}",
    "$shl": "{0} << {1}",
    "$shr": "{0} >> {1}",
}
"""Gates, of their operands."""

SIGNED = {
    "$lt": "$signed({0}) < $signed({1})",
    "$sshr": "$signed({0}) >>> {1}",
}
"""Gates whose operands are signed."""
