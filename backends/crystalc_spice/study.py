"""What is measured of a circuit after its check: settling, power, one neuron's transfer curve."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalc.backend import Study
from crystalc.diagnostics import ToolError
from crystalc.interpret import interpret, values
from crystalc.ir import Graph
from crystalc_spice.build import Build
from crystalc_spice.mos import Field, own
from crystalc_spice.simulate import solve_netlist
from crystalc_spice.transient import Settling, settling

Array = NDArray[np.float64]

VECTORS = 9
"""Of a transient: one step less."""

BUMPS = 20
"""Samples that transistors are compared on with their own kernel."""

CURVE = 61
"""Points of a transfer curve."""

WAVEFORMS = PurePosixPath("waveforms.npz")


def study(build: Build, graph: Graph, samples: Array) -> Study:
    """Facts of a report. Time and power are those of level macro alone: no other has them."""
    known = {key: build.facts.get(key) for key in ("level", "series", "opamp", "parts", "elements")}
    if build.level == "mos":
        return _bumps(
            build, graph, samples[np.linspace(0, len(samples) - 1, BUMPS).astype(int)], known
        )
    if build.level != "macro":
        return Study({**known, "settling": None, "power": None})
    chosen = samples[np.linspace(0, len(samples) - 1, VECTORS).astype(int)]
    try:
        found = settling(build, chosen)
    except ToolError as error:
        reason = str(error).splitlines()[0].removeprefix("error: ")
        facts = {**known, "settling": None, "power": None, "reason": reason}
        return Study(facts, (f"settle  not measured: {reason}",))
    curve = transfer(build, graph, samples)
    facts = {
        **known,
        "settling": _times(found),
        "power": _watts(found),
        "transfer": curve_of(curve),
    }
    return Study(facts, _lines(found, str(build.facts["opamp"])), {WAVEFORMS: _kept(found, curve)})


def _bumps(build: Build, graph: Graph, inputs: Array, known: dict[str, Any]) -> Study:
    """How near transistors come to their own kernel, how far that is from the model's, and what
    they draw.
    """
    outputs = [*build.facts["outputs"], "watts"]
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        saved = saving(build, "watts", Path(place))
        volts = solve_netlist(saved, outputs, inputs, Path(place))
    found, watts = volts[:, :-1], float(volts[:, -1].mean())
    wanted = own(graph, Field(**build.facts["field"]), inputs)
    model = interpret(graph, inputs)
    facts = {
        **known,
        "settling": None,
        "power": {"total_w": watts},
        "kernel": "bump",
        "rms_to_own_kernel": _rms(found, wanted),
        "rms_to_model": _rms(found, model),
    }
    text = (
        f"mos     experimental: rms error {facts['rms_to_own_kernel']:.2%} of the range to the "
        f"transistors' own kernel, {facts['rms_to_model']:.1%} to the model's "
        f"({len(inputs)} samples)"
    )
    return Study(facts, (text, f"power   {watts:.3g} W"))


def _rms(found: Array, wanted: Array) -> float:
    return float(np.sqrt(np.square(found - wanted).mean()) / np.ptp(wanted))


def saving(build: Build, net: str, place: Path) -> Path:
    """The netlist, with one more voltage to be read."""
    text = build.netlist.read_text(encoding="ascii")
    saved = place / "saving.cir"
    saved.write_text(text.replace("\n.end\n", f"\n.save v({net})\n.end\n"), encoding="ascii")
    return saved


def transfer(build: Build, graph: Graph, samples: Array) -> dict[str, Array]:
    """A neuron along the line between the samples that move it least and most: ``position`` on it
    (0 and 1 are the samples), ``measured`` in units of the model, and ``ideal``.
    """
    node, _, _, _ = build.facts["kernels"][0]
    seen = values(graph, samples)[node]
    element = int(np.ptp(seen, axis=0).argmax())
    first = samples[seen[:, element].argmin()]
    last = samples[seen[:, element].argmax()]
    position = np.linspace(-0.25, 1.25, CURVE)
    line = first + position[:, None] * (last - first)
    net, unit = next((n, u) for i, k, n, u in build.facts["kernels"] if (i, k) == (node, element))
    with tempfile.TemporaryDirectory(prefix="crystalc-") as place:
        saved = saving(build, net, Path(place))
        volts = solve_netlist(saved, [net], line, Path(place))
    ideal = values(graph, line)[node][:, element]
    return {"position": position, "measured": volts[:, 0] * unit, "ideal": np.asarray(ideal)}


def curve_of(curve: dict[str, Array]) -> dict[str, float]:
    """The largest error of a transfer curve, of the ideal one's range."""
    error = np.abs(curve["measured"] - curve["ideal"]).max()
    return {"points": float(CURVE), "max_error_share": float(error / np.ptp(curve["ideal"]))}


def _times(found: Settling) -> dict[str, Any]:
    return {
        "steps": len(found.seconds),
        "median_s": float(np.median(found.seconds)),
        "max_s": max(found.seconds),
        "decision_max_s": max(found.decided),
    }


def _watts(found: Settling) -> dict[str, float]:
    return {"total_w": found.watts, "multipliers_w": found.products}


def _lines(found: Settling, part: str) -> tuple[str, ...]:
    times, watts = _times(found), _watts(found)
    return (
        f"settle  {times['steps']} steps: within 1 % of the range after "
        f"{times['median_s'] * 1e6:.2f} us (median), {times['max_s'] * 1e6:.2f} us (worst); "
        f"the decision stays after {times['decision_max_s'] * 1e6:.2f} us",
        f"power   {watts['total_w']:.3g} W at rest, of which multipliers "
        f"{watts['multipliers_w']:.3g} W; {part} op-amps",
    )


def _kept(found: Settling, curve: dict[str, Array]) -> bytes:
    """Everything that the pictures show."""
    wave, buffer = found.wave, io.BytesIO()
    arrays: dict[str, Any] = {
        "hold": wave.hold,
        "seconds": wave.seconds,
        "outputs": wave.outputs,
        "watts": wave.watts,
        "wanted": found.wanted,
        **{f"curve_{name}": points for name, points in curve.items()},
    }
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
