"""Lines of a netlist: unique names, nets of vectors, numbers as SPICE reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

COLUMNS = 100


def number(value: float) -> str:
    """A double as text that reads back to itself."""
    return f"{value:.17g}"


@dataclass
class Netlist:
    """Elements so far. Every net carries its value in volts; net 0 is ground, ``one`` is 1 V."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def comment(self, text: str) -> None:
        """A line that ngspice skips."""
        self.lines.append(f"* {text}")

    def element(self, kind: str, *words: str) -> str:
        """One element; returns its name."""
        name = f"{kind}{self.count}"
        self.count += 1
        self.lines.append(" ".join((name, *words)))
        return name

    def summing(self, net: str) -> str:
        """A net that adds the currents sent into it: 1 ohm to ground."""
        self.lines.append(f"r{net} {net} 0 1")
        return net

    def add(self, net: str, source: str, gain: float) -> None:
        """``net`` += gain * V(source)."""
        if gain:
            self.element("g", "0", net, source, "0", number(gain))

    def add_expression(self, net: str, expression: str) -> None:
        """``net`` += an expression of voltages."""
        self.element("b", "0", net, f"i={expression}")

    def counts(self) -> dict[str, int]:
        """Elements by their letter."""
        return dict(sorted(Counter(line[0] for line in self.lines if line[0] not in "*+.").items()))

    def source(self, net: str, value: float) -> None:
        """A voltage source named v<net>, to be altered from outside."""
        self.lines.append(f"v{net} {net} 0 dc {number(value)}")


def folded(head: str, words: Iterable[str]) -> list[str]:
    """``head`` and words over continuation lines."""
    out = [head]
    for word in words:
        if len(out[-1]) + 1 + len(word) > COLUMNS:
            out.append("+")
        out[-1] += f" {word}"
    return out
