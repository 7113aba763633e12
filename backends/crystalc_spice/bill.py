"""What a crossbar is made of: the stages as data, for parts lists and tolerances."""

from __future__ import annotations

from collections import Counter
from typing import Any

from crystalc_spice.cells import Amplifier, Source, as_data
from crystalc_spice.crossbar import Crossbar


def bill(circuit: Crossbar) -> dict[str, Any]:
    """JSON: the series, how many of each part, and every stage in order of signal flow."""
    amplifiers = [s for s in circuit.stages if isinstance(s, Amplifier)]
    values = Counter(ohms for a in amplifiers for _, _, ohms in a.resistors)
    return {
        "series": circuit.series,
        "parts": {
            "resistors": sum(values.values()),
            "resistor_values": len(values),
            "amplifiers": len(amplifiers),
            "function_blocks": sum(isinstance(s, Source) for s in circuit.stages),
            "transistors": circuit.netlist.counts().get("q", 0),
        },
        **({"scores": circuit.scores} if circuit.scores else {}),
        "stages": [as_data(stage) for stage in circuit.stages],
    }
