"""Numbers with units on a command line: 1%, 0.1m, 50uV, and lists of them by name."""

from __future__ import annotations

import math
import re
from typing import Any

import click

UNITS = {"": 1.0, "%": 1e-2, "m": 1e-3, "u": 1e-6, "mV": 1e-3, "uV": 1e-6, "V": 1.0}


class Amount(click.ParamType[float]):
    """A number with a unit: 1%, 0.1m, 50uV."""

    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        found = re.fullmatch(r"(\d+\.?\d*(?:e-?\d+)?) ?(%|mV|uV|V|m|u|)", str(value))
        if not found or not math.isfinite(float(found[1])):
            self.fail(f"'{value}' is not a number with %, m or u", param, ctx)
        return float(found[1]) * UNITS[found[2]]


class Spreads(click.ParamType[dict[str, float]]):
    """Spreads of a circuit's parts, R=1%,VOS=1m,T=2%: options of a recipe; those left out are 0."""

    name = "spreads"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, float]:
        found = {}
        for text in str(value).split(","):
            name, equals, amount = text.partition("=")
            if name not in ("R", "VOS", "T") or not equals or name in found:
                self.fail(f"'{text}' is not one of R=1%, VOS=1m, T=2%", param, ctx)
            found[name] = Amount().convert(amount, param, ctx)
        return {f"analog_{name.lower()}": spread for name, spread in found.items()}
