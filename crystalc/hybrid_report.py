"""What a hybrid came to: ``hybrid.json``, and the same as a table.

Power and latency stand here only where a simulation or synthesis gave them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalc import __version__, driver
from crystalc.checkpoint import Checkpoint
from crystalc.hybrid import ANALOG, DIGITAL, Hybrid, Judgement

ORIGINAL: Mapping[str, Any] = {
    "neurons": {"circuit": 1512, "fpga": 24},
    "power_w": 0.6,
    "latency_s": 6e-6,
    "found": "the original project's generator drew random weights, kept 8 neurons with 16 inputs, "
    "and printed 600 mW and 6 us as fixed text: neither was simulated",
}
"""What the original project's journal says of such a board, and what stood behind it."""

RULE = (
    "circuit and RTL read the input rounded to the RTL's input type; the circuit's voltages are "
    "rounded half up to the converter's type and saturate there; both integers are brought to the "
    "finer binary point and added; biases are the RTL's"
)
UNKNOWN = "not simulated"


@dataclass(frozen=True)
class Measured:
    """``circuit``: what the backend's study says; ``area``: synth.json of the RTL; ``placed``:
    fpga.json; ``accuracy``: of the simulated sum on labelled vectors. None: not measured.
    """

    circuit: Mapping[str, Any] | None = None
    area: Mapping[str, Any] | None = None
    placed: Mapping[str, Any] | None = None
    accuracy: Mapping[str, Any] | None = None


def facts(
    hybrid: Hybrid,
    checkpoint: Checkpoint,
    out: Path,
    judged: Judgement,
    measured: Measured,
) -> dict[str, Any]:
    """``hybrid.json`` as a dict of JSON types."""
    return {
        "schema": 1,
        "crystalc": __version__,
        "model": driver.describe(checkpoint),
        "rule": RULE,
        "converter": {
            "type": str(hybrid.adc),
            "bits": hybrid.adc.width,
            "step_v": 2.0**-hybrid.adc.frac,
        },
        "check": {
            "ok": judged.ok,
            "circuit": judged.circuit.to_dict(),
            "rtl": judged.rtl.to_dict(),
            "sum": judged.total.to_dict(),
            "decisions_equal_to_float_model": hybrid.same_decisions,
        },
        "accuracy": measured.accuracy,
        ANALOG: _circuit(hybrid, out, measured),
        DIGITAL: _rtl(hybrid, out, measured),
        "original": dict(ORIGINAL),
    }


def _read(out: Path, place: str) -> Any:
    return json.loads((out / place / "crystal.json").read_text(encoding="utf-8"))


def _circuit(hybrid: Hybrid, out: Path, measured: Measured) -> dict[str, Any]:
    made, study = _read(out, ANALOG), measured.circuit or {}
    settling, power = study.get("settling"), study.get("power")
    neurons = hybrid.analog.neurons
    return {
        "neurons": len(neurons.frozen) + len(neurons.active),
        "command": hybrid.analog.options.command,
        "level": made["level"],
        "parts": made.get("parts"),
        "elements": made["elements"],
        "power_w": power["total_w"] if power else None,
        "latency_s": settling["max_s"] if settling else None,
        "study": dict(study),
    }


def _rtl(hybrid: Hybrid, out: Path, measured: Measured) -> dict[str, Any]:
    made, placed = _read(out, DIGITAL), measured.placed
    neurons = hybrid.digital.neurons
    return {
        "neurons": len(neurons.frozen) + len(neurons.active),
        "command": hybrid.digital.options.command,
        "latency_clocks": made["latency"],
        "interval_clocks": made["interval"],
        "area": measured.area,
        "fpga": placed,
        "power_w": None,
        "latency_s": made["latency"] / (placed["fmax"] * 1e6) if placed else None,
    }


def rows(content: Mapping[str, Any]) -> list[Sequence[str]]:
    """The table: a name, then circuit, RTL, both together and what the original claims."""
    a, d, claim = content[ANALOG], content[DIGITAL], content["original"]
    check, converter = content["check"], content["converter"]
    step = converter["step_v"]
    both = [a["latency_s"], d["latency_s"]]
    later = f"{max(both) * 1e6:.3g} us, the later of both" if None not in both else UNKNOWN
    claimed = claim["neurons"]
    return [
        (
            "neurons",
            f"{a['neurons']:,}",
            f"{d['neurons']:,}",
            f"{content['model']['neurons']:,}",
            f"{claimed['circuit']:,} + {claimed['fpga']:,}",
        ),
        ("against its oracle", *_checks(check, step), "not compared"),
        ("parts", _parts(a), "", f"{converter['bits']}-bit converters of {step:g} V", "not given"),
        ("area", "", _area(d["area"]), "", "not given"),
        ("power", _watts(a), UNKNOWN, UNKNOWN, f"{claim['power_w'] * 1e3:g} mW: fixed text"),
        ("latency", _settled(a), _clocks(d), later, f"{claim['latency_s'] * 1e6:g} us: fixed text"),
    ]


def _checks(check: Mapping[str, Any], step: float) -> tuple[str, str, str]:
    c, r, total = check["circuit"], check["rtl"], check["sum"]
    circuit = f"{c['max_abs_error']:.1e} V" if c["max_abs_error"] is not None else c["reason"]
    rtl = f"{r['decisions_equal']}/{r['vectors']} exact" if r["ok"] else f"FAILED: {r['reason']}"
    if total["max_abs_error"] is None:
        return circuit, rtl, str(total["reason"])
    steps = total["max_abs_error"] / step
    unit = "step" if steps == 1 else "steps"
    alike = f"{total['decisions_equal']}/{total['vectors']} alike"
    return circuit, rtl, f"{steps:.3g} {unit}, {alike}"


def _parts(circuit: Mapping[str, Any]) -> str:
    if circuit["parts"] is None:
        return f"level {circuit['level']}: ideal sources"
    listed = (f"{n:,} {name.replace('_', ' ')}" for name, n in circuit["parts"].items() if n)
    return f"level {circuit['level']}: {', '.join(listed)}"


def _area(area: Mapping[str, Any] | None) -> str:
    if area is None:
        return "not synthesised"
    counts = ", ".join(f"{k} {v:,}" for k, v in area["resources"].items() if v)
    return f"{area['device']}: {counts}"


def _watts(circuit: Mapping[str, Any]) -> str:
    return UNKNOWN if circuit["power_w"] is None else f"{circuit['power_w']:.3g} W"


def _settled(circuit: Mapping[str, Any]) -> str:
    if circuit["latency_s"] is None:
        return UNKNOWN
    return f"{circuit['latency_s'] * 1e6:.3g} us until settled"


def _clocks(rtl: Mapping[str, Any]) -> str:
    text = f"{rtl['latency_clocks']:,} clocks"
    if rtl["latency_s"] is None:
        return text
    return f"{text}, {rtl['latency_s'] * 1e6:.3g} us at {rtl['fpga']['fmax']:.1f} MHz"
