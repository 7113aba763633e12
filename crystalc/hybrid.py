"""One model as a circuit and as RTL: the frozen neurons on one side, the active ones on the other.

    y = adc(circuit(x)) + rtl(x)

Each half is a model of its own, compiled and judged as any other; the biases are the RTL's. Both
read the input on the grid of the RTL's input type. The converter rounds a voltage half up to its
own type and saturates; then the two integers are brought to the finer binary point and added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystalc import driver
from crystalc.backend import Electrical
from crystalc.check import Comparison, judge, judge_circuit
from crystalc.checkpoint import Checkpoint
from crystalc.diagnostics import refuse
from crystalc.driver import Compiled, Neurons, Options
from crystalc.frontend.lower import lower
from crystalc.interpret import interpret
from crystalc.ir import FixedType, Graph
from crystalc.passes.calibrate import covering_type, to_fixed, to_real
from crystalc.passes.quantize import quantize_inputs
from crystalc.vectors import samples_of
from crystalc.verify import check

Array = NDArray[Any]
Kind = Literal["frozen", "active"]

HEADROOM = 2.0
"""The converter's range over the largest voltage on the calibration samples, as the RTL's sums."""

ROWS = ("positions", "values", "temperature", "radius", "frozen")
ANALOG, DIGITAL = "analog", "digital"


@dataclass(frozen=True)
class Sums:
    """What came out for the same inputs. ``volts`` of the circuit and ``integers`` of the RTL,
    [n, O] each; ``total`` [n, O] in output units.
    """

    volts: Array
    integers: Array
    total: Array


@dataclass(frozen=True)
class Judgement:
    """Each half against its own oracle, and the sum against the sum of the oracles."""

    circuit: Comparison
    rtl: Comparison
    total: Comparison

    @property
    def ok(self) -> bool:
        """All three."""
        return self.circuit.ok and self.rtl.ok and self.total.ok


@dataclass(frozen=True)
class Hybrid:
    """Both halves, nothing written yet. ``adc``: type of the converter between them;
    ``reference``: the float graph of the whole model.
    """

    analog: Compiled
    digital: Compiled
    adc: FixedType
    reference: Graph

    @property
    def promise(self) -> Electrical:
        """What the circuit keeps."""
        agreement = self.analog.backend.capabilities.float_agreement
        assert isinstance(agreement, Electrical)
        return agreement

    def volts(self, x: Array) -> Array:
        """What the circuit's inputs are for the RTL's integers ``x``."""
        return to_real(x, _fixed(self.digital.meaning.input.type.elem))

    def add(self, volts: Array, integers: Array) -> Sums:
        """The sum of both halves [n, O]: exact integers once the converter has rounded."""
        rtl = _fixed(self.digital.meaning.output.type.elem)
        frac = max(self.adc.frac, rtl.frac)
        total = to_fixed(volts, self.adc) << (frac - self.adc.frac)
        total = total + (integers.astype(np.int64) << (frac - rtl.frac))
        return Sums(volts, integers, total * 2.0**-frac)

    def oracle(self, x: Array) -> Sums:
        """What both oracles say to the RTL's integers ``x`` [n, I]."""
        return self.add(
            interpret(self.analog.meaning, self.volts(x)), interpret(self.digital.meaning, x)
        )

    def simulate(self, out: Path, x: Array) -> Sums:
        """What both simulators say of the artefacts below ``out``. Raises ToolError."""
        volts = self.analog.backend.execute(out / ANALOG, self.volts(x))
        return self.add(volts, self.digital.backend.execute(out / DIGITAL, x))

    def judge(self, wanted: Sums, got: Sums) -> Judgement:
        """Compare what was simulated with what the oracles say; only the sum decides anything."""
        return Judgement(
            judge_circuit(wanted.volts, got.volts, replace(self.promise, decisions=0.0)),
            judge(wanted.integers, got.integers, np.zeros(wanted.integers.shape)),
            judge_total(wanted, got, 2.0**-self.adc.frac, self.promise),
        )

    @property
    def same_decisions(self) -> float:
        """Share of the calibration samples that the whole float model decides as the oracles do."""
        x = self.digital.samples
        ours = self.oracle(self.quantized(x)).total
        return float((interpret(self.reference, x).argmax(-1) == ours.argmax(-1)).mean())

    def quantized(self, x: Array) -> Array:
        """Real inputs as the RTL's integers."""
        return quantize_inputs(self.digital.meaning, x)


def judge_total(wanted: Sums, got: Sums, step: float, promise: Electrical) -> Comparison:
    """A voltage near the middle between two codes may fall to either: one ``step`` more.

    Where the circuit promises every decision, those stay open whose two best sums are that close.
    """
    limit = step + promise.absolute + promise.share * float(np.ptp(wanted.volts))
    found = judge(wanted.total, got.total, np.full(wanted.total.shape, limit))
    count = len(wanted.total)
    needed = count - found.undecided if promise.decisions == 1 else promise.decisions * count
    if not found.ok or found.decisions_equal >= needed:
        return found
    text = f"{found.decisions_equal} of {count} decisions are equal, {needed:g} are needed"
    return replace(found, ok=False, reason=text)


def partition(
    checkpoint: Checkpoint,
    analog: Kind,
    circuit: Mapping[str, str],
    rtl: Mapping[str, str],
    width: int = 8,
    adc_bits: int = 12,
    count: int | None = None,
) -> Hybrid:
    """Compile the ``analog`` neurons for SPICE with options ``circuit``, all others for Verilog
    with options ``rtl``; ``count``: vectors of the check. Raises CompileError for a model that
    cannot be cut.
    """
    _refuse_uncut(checkpoint, analog, circuit.get("level", "behavioral"))
    chosen = checkpoint.frozen == (analog == "frozen")
    wired, coded = (
        _renumbered(driver.compile_checkpoint(take(checkpoint, rows, biased), options), rows)
        for rows, biased, options in (
            (chosen, False, Options("spice", backend=circuit)),
            (~chosen, True, Options("verilog", "fixed", width, count=count, backend=rtl)),
        )
    )
    largest = np.abs(interpret(wired.meaning, samples_of(checkpoint))).max() * HEADROOM
    adc = covering_type(np.array([-largest, largest]), adc_bits)
    return Hybrid(wired, coded, adc, check(lower(checkpoint)))


def take(checkpoint: Checkpoint, rows: NDArray[np.bool_], biased: bool) -> Checkpoint:
    """A model of the neurons ``rows`` [N] alone; without ``biased`` the outputs' biases are 0."""
    tensors = dict(checkpoint.tensors)
    for key in (f"field.{name}" for name in ROWS):
        if key in tensors:
            tensors[key] = tensors[key][rows]
    for key in ("bias", "head.bias"):
        if key in tensors and not biased:
            tensors[key] = np.zeros_like(tensors[key])
    samples = samples_of(checkpoint).astype(np.float32)
    config = replace(checkpoint.config, neurons=int(rows.sum()))
    return replace(checkpoint, config=config, tensors=tensors, calibration=samples)


def part(checkpoint: Checkpoint, rows: Sequence[int], count: int) -> Checkpoint:
    """The neurons ``rows`` of a retrained whole model of ``count`` neurons, with its biases."""
    if checkpoint.config.neurons != count:
        raise refuse(f"{checkpoint.config.neurons} neurons, the partitioned model has {count}")
    return take(checkpoint, np.isin(np.arange(count), rows), biased=True)


def write(hybrid: Hybrid, out: Path, x: Array) -> None:
    """Both artefacts below ``out``, with the inputs ``x`` of the check beside each."""
    halves = ((hybrid.analog, ANALOG, hybrid.volts(x)), (hybrid.digital, DIGITAL, x))
    for compiled, place, given in halves:
        driver.write(compiled, out / place)
        driver.keep_vectors(compiled, out / place, given)
        driver.keep_oracle(compiled, out / place, given)


def _refuse_uncut(checkpoint: Checkpoint, analog: Kind, level: str) -> None:
    frozen, count = int(checkpoint.frozen.sum()), checkpoint.config.neurons
    if checkpoint.config.normalized:
        text = "the weights of a normalised field share one sum: its neurons cannot be cut apart"
        raise refuse(text, "config.normalized")
    if frozen in (0, count):
        kind, target = ("active", "verilog") if not frozen else ("frozen", "spice")
        text = f"every neuron is {kind}: there is no frontier to cut along"
        raise refuse(text, "field.frozen", hint=f"compile the whole with --target {target}")
    if analog == "active" and level != "behavioral":
        text = f"active neurons must stay rewritable, the parts of level {level} are fixed"
        raise refuse(text, hint="--analog frozen --digital active, or --level behavioral")


def _renumbered(compiled: Compiled, rows: NDArray[np.bool_]) -> Compiled:
    """Neurons by their rows in the whole model; ``of``: how many that has."""
    whole = np.flatnonzero(rows).tolist()
    n = compiled.neurons
    neurons = Neurons(
        tuple(whole[k] for k in n.frozen),
        tuple(whole[k] for k in n.active),
        tuple(replace(d, neuron=whole[d.neuron]) for d in n.dropped),
    )
    name = PurePosixPath("names.json")
    table = json.loads(compiled.files[name])
    table["neurons"] = {"frozen": neurons.frozen, "active": neurons.active, "of": len(rows)}
    files = {**compiled.files, name: json.dumps(table, indent=1) + "\n"}
    return replace(compiled, files=files, neurons=neurons)


def _fixed(elem: Any) -> FixedType:
    assert isinstance(elem, FixedType)
    return elem
