"""Level ``crossbar``: every gain is a resistor from a rail into an op-amp's virtual ground.

An amplifier makes  v(out) = - sum v(rail) * Rf / R,  so a positive gain takes the inverted rail.
Kernels and squares stay behavioral sources. Each amplifier has its offset voltage as a source of
its own, so that tolerances can be drawn for every part of the netlist.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from crystalc_spice.behavioral import Behavioral, Sum
from crystalc_spice.cells import Amplifier, Source, Stage
from crystalc_spice.netlist import number
from crystalc_spice.series import nearest

FEEDBACK = 10e3
"""Ohms of a gain of 1."""

LARGEST = 10e6
"""Ohms above which a resistor is left out."""

OPEN_LOOP = 1e6
"""Voltage gain of an amplifier."""


TRIMMED = 300.15
"""Kelvin at which a kernel is trimmed."""


def _warmed(expression: str) -> str:
    """An antilog cell's exponent is voltage over kT/q: trimmed at 27 C, it falls with heat."""
    head = "exp(max(min("
    if not expression.startswith(head):
        return expression
    return f"exp({TRIMMED}/(temper+273.15)*{expression.removeprefix('exp(')}"


@dataclass
class Crossbar(Behavioral):
    """``series``: of the resistors, "exact" for none. ``stages``: what stands in the netlist."""

    series: str = "E96"
    stages: list[Stage] = field(default_factory=list)
    inverted: dict[str, str] = field(default_factory=dict)

    def net(self, total: Sum, name: str) -> str:
        if not total.constant and list(total.gains.values()) == [1.0]:
            return next(iter(total.gains))
        gains = {**total.gains, **({"one": total.constant} if total.constant else {})}
        self.amplifier(name, {net: gain for net, gain in gains.items() if gain})
        return name

    def made(self, name: str, expressions: Iterable[str]) -> Sum:
        terms = tuple(_warmed(text) for text in expressions)
        self.stages.append(Source(name, terms))
        inside = super().made(f"{name}_s", terms)
        self.netlist.element("e", name, "0", *inside.gains, "0", "1")  # resistors load no sum
        return Sum({name: 1.0})

    def amplifier(self, out: str, gains: dict[str, float]) -> None:
        """An inverting summing amplifier with gains of either sign."""
        parts = [(out, FEEDBACK)]
        for net, ohms in self.fitted(gains):
            parts.append((net if gains[net] < 0 else self.inverse(net), ohms))
        ground, plus = f"{out}_m", f"{out}_p"
        resistors = tuple(
            (self.netlist.element("r", ground, rail, number(ohms)), rail, ohms)
            for rail, ohms in parts
        )
        self.netlist.source(plus, 0.0)
        self.netlist.element("e", out, "0", plus, ground, number(OPEN_LOOP))
        self.stages.append(Amplifier(out, f"v{plus}", resistors, OPEN_LOOP))

    def fitted(self, gains: dict[str, float]) -> Iterator[tuple[str, float]]:
        """(net, ohms) of parts that exist, so chosen that their errors cancel.

        The square of the input is a large number: what rounding does to its gain is done to all
        others, which only changes the temperature a little. Then, from the largest gain to the
        smallest, each part takes up the error that those before it left: inputs are alike, and
        small gains have fine steps.
        """
        squares = [net for net in gains if net in self.squares.values()]
        scale, left = 1.0, 0.0
        for net in squares:
            ohms = self.rounded(FEEDBACK / abs(gains[net]))
            scale = FEEDBACK / ohms / abs(gains[net])
            yield net, ohms
        for net, gain in sorted(gains.items(), key=lambda g: -abs(g[1])):
            if net in squares:
                continue
            wanted = gain * scale
            carried = left if net != "one" else 0.0
            aim = wanted + carried if (wanted + carried) * wanted > 0 else wanted
            ohms = self.rounded(FEEDBACK / abs(aim))
            if ohms > LARGEST:
                left += wanted
                continue
            left = wanted + left - math.copysign(FEEDBACK / ohms, wanted)
            yield net, ohms

    def inverse(self, net: str) -> str:
        """The rail of the other sign, made once."""
        if net not in self.inverted:
            self.inverted[net] = f"{net}_n"
            self.amplifier(f"{net}_n", {net: -1.0})
        return self.inverted[net]

    def rounded(self, ohms: float) -> float:
        """The part that is fitted."""
        return ohms if self.series == "exact" else nearest(ohms, self.series)
