"""Circuits of op-amps and transistors: exactness, equations, waveforms, noise."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crystalc.diagnostics import CompileError
from crystalc.driver import Compiled, Options, compile_checkpoint, write
from crystalc.interpret import interpret
from crystalc_spice import SpiceBackend
from crystalc_spice.build import Build, read_build
from crystalc_spice.cells import BOLTZMANN
from crystalc_spice.equations import Parts, solve
from crystalc_spice.files import library
from crystalc_spice.macro import SWING
from crystalc_spice.montecarlo import BOUND, Spread, draw, in_ngspice, tolerances
from crystalc_spice.noise import Band, noise
from crystalc_spice.opamps import names, opamp
from crystalc_spice.parts import FREE, placed
from crystalc_spice.raw import read_plots, read_raw
from crystalc_spice.series import decade
from crystalc_spice.simulate import run_batch
from crystalc_spice.transient import Waveform, settling, step, with_rails
from hw_tests.spice_models import NEEDS_NGSPICE, tiny_checkpoint

pytestmark = NEEDS_NGSPICE

KERNELS = (("laplace", None), ("gauss", None), ("radial", "relu"))
SHARE = 0.005
"""Of the range: what the level promises."""


def compiled(seed: int, **options: str) -> Compiled:
    """A small crystal of one of KERNELS, with or without its parts."""
    rng = np.random.default_rng(seed)
    kernel, activation = KERNELS[seed % len(KERNELS)]
    checkpoint = tiny_checkpoint(
        kernel,  # type: ignore[arg-type]
        activation,  # type: ignore[arg-type]
        seed=seed,
        inputs=int(rng.integers(2, 7)),
        dim=int(rng.integers(2, 6)),
        neurons=int(rng.integers(2, 9)),
        projection=bool(rng.random() < 0.5),
        head=bool(rng.random() < 0.3),
        frozen=float(rng.choice([0.5, 1.0])),
        samples=32,
    )
    return compile_checkpoint(checkpoint, Options("spice", backend={"level": "macro", **options}))


def made(folder: Path, seed: int, **options: str) -> tuple[Build, np.ndarray, np.ndarray]:
    """A build, inputs, and what the oracle says to them."""
    found = compiled(seed, **options)
    write(found, folder)
    x = found.samples[:12]
    return read_build(folder, ("macro",)), x, interpret(found.meaning, x)


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_oracle_within_its_promise(seed: int, tmp_path: Path) -> None:
    found = compiled(seed)
    write(found, tmp_path)
    x = found.samples
    wanted = interpret(found.meaning, x)
    got = np.asarray(found.backend.execute(tmp_path, x))
    assert np.abs(got - wanted).max() <= SHARE * np.ptp(wanted)
    assert (got.argmax(-1) == wanted.argmax(-1)).mean() >= 0.95


@pytest.mark.parametrize("seed", range(6))
def test_the_equations_are_those_of_the_netlist(seed: int, tmp_path: Path) -> None:
    build, x, _ = made(tmp_path, seed)
    drawn = ((Spread(0.0, 0.0), 27.0, 5e-5), (Spread(0.01, 0.5e-3), 60.0, BOUND))
    for spread, degrees, bound in drawn:
        parts = draw(build, spread, np.random.default_rng(seed), degrees)
        ours = solve(build.stages, x, build.facts["outputs"], parts)
        assert np.abs(in_ngspice(build, parts, x) - ours).max() <= bound * np.ptp(ours)


def test_ngspice_notices_equations_of_another_circuit(tmp_path: Path) -> None:
    build, x, _ = made(tmp_path, 0)
    stage = next(s for s in build.stages if s["kind"] == "exponential")
    stage["resistors"][1][1] = "one"
    result = tolerances(build, x, None, Spread(0.01, 0.0), trials=2, repeated=1)
    assert result.difference > BOUND
    assert not result.ok


@pytest.mark.parametrize("seed", range(3))
def test_amplifiers_with_rails_rest_where_linear_ones_do(seed: int, tmp_path: Path) -> None:
    build, x, _ = made(tmp_path, seed)
    found = settling(build, x[:3])
    ends = [found.wave.outputs[np.flatnonzero(found.wave.during(k))[-1]] for k in range(3)]
    assert np.abs(np.array(ends) - found.wanted).max() <= 1e-3 * np.ptp(found.wanted)
    assert 0 < max(found.seconds) < 10e-6
    rest = build.facts["parts"]["amplifiers"] * 10 * opamp("10MHz").current
    assert found.watts >= rest + found.products
    assert found.watts <= 1.5 * (rest + found.products)


def test_faster_amplifiers_settle_sooner_and_draw_more(tmp_path: Path) -> None:
    slow, fast = (
        settling(build, x[:3])
        for build, x, _ in (made(tmp_path / name, 1, opamp=name) for name in ("1MHz", "100MHz"))
    )
    assert max(fast.seconds) < max(slow.seconds) / 3
    assert fast.watts > 3 * slow.watts


def test_amplifiers_saturate_only_with_rails(tmp_path: Path) -> None:
    build, _, _ = made(tmp_path, 1)
    lines = build.netlist.read_text().split("\n")
    changed = with_rails(lines)
    assert [a for a, b in zip(lines, changed, strict=True) if a != b] == [
        "xcore p n o vdd vss opamp_linear"
    ]


def test_a_step_ends_where_the_last_output_enters_its_band() -> None:
    seconds = np.linspace(0.0, 2.0, 201)
    rising = np.where(seconds < 1.0, 0.0, np.minimum((seconds - 1.0) / 0.5, 1.0))
    outputs = np.stack([rising, 1.0 - rising], axis=1)
    wave = Waveform(seconds, outputs, seconds, seconds, hold=1.0)
    wanted = np.array([[0.0, 1.0], [1.0, 0.0]])
    settled, decided = step(wave, 1, wanted)
    assert settled == pytest.approx(0.495, abs=0.011)
    assert decided == pytest.approx(0.25, abs=0.011)
    assert step(wave, 0, wanted) == (0.0, 0.0)


def test_every_net_of_the_samples_stays_within_the_swing(tmp_path: Path) -> None:
    build, x, wanted = made(tmp_path, 2)
    volts = solve(build.stages, x, build.facts["outputs"], Parts(build.resistors, {}))
    assert np.abs(volts).max() <= SWING * 1.01
    assert np.abs(volts * build.facts["unit"] - wanted).max() <= SHARE * np.ptp(wanted)


def test_inputs_beyond_the_supplies_are_scaled(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint("gauss", None, seed=3, inputs=4, dim=4, frozen=1.0, samples=16)
    large = {
        **checkpoint.tensors,
        "field.positions": 20 * checkpoint.tensors["field.positions"],
        "field.temperature": 20 * checkpoint.tensors["field.temperature"],
    }
    assert checkpoint.calibration is not None
    scaled = replace(checkpoint, tensors=large, calibration=20 * checkpoint.calibration)
    found = compile_checkpoint(scaled, Options("spice", backend={"level": "macro"}))
    write(found, tmp_path)
    wanted = interpret(found.meaning, found.samples)
    got = np.asarray(found.backend.execute(tmp_path, found.samples))
    assert np.abs(got - wanted).max() <= SHARE * np.ptp(wanted)
    netlist = (tmp_path / "crystal.cir").read_text()
    assert re.search(r"^e\d+ x0_a 0 x0 0 0\.", netlist, re.MULTILINE)


@pytest.mark.parametrize(
    ("kernel", "activation", "metric", "normalized", "called", "where"),
    [
        ("radial", "gelu", "l2", False, "'gelu'", "activation"),
        ("laplace", None, "l1", False, "'distance l1'", "metric"),
        ("gauss", None, "l2", True, "'softmax'", "normalized"),
    ],
)
def test_kernels_without_a_circuit_are_named(
    kernel: str, activation: str | None, metric: str, normalized: bool, called: str, where: str
) -> None:
    checkpoint = tiny_checkpoint(kernel, activation, metric, normalized=normalized)  # type: ignore[arg-type]
    with pytest.raises(CompileError, match=f"level macro has no circuit for {called}") as caught:
        compile_checkpoint(checkpoint, Options("spice", backend={"level": "macro"}))
    said = str(caught.value)
    assert "laplace and gauss" in said
    assert said.startswith(f"error: config.{where}: ") and said.count("error:") == 1, said


def test_a_series_fits_every_resistor(tmp_path: Path) -> None:
    build, x, wanted = made(tmp_path, 1, series="E96")
    for ohms in build.resistors.values():
        mantissa = float(f"{ohms:.6e}".partition("e")[0])
        assert any(abs(mantissa - v) < 1e-9 for v in decade("E96")), ohms
    got = solve(build.stages, x, build.facts["outputs"], Parts(build.resistors, {}))
    assert np.abs(got * build.facts["unit"] - wanted).max() <= 0.05 * np.ptp(wanted)


@pytest.mark.parametrize("name", names())
def test_an_amplifier_has_the_speed_of_its_preset(name: str, tmp_path: Path) -> None:
    """A follower: a small step rises with the time constant of the gain-bandwidth product, a large
    one with the slew rate.
    """
    part = opamp(name)
    constant = 1.0 / (2 * np.pi * part.gbw)

    def response(lines: list[str], volts: float, length: float) -> tuple[np.ndarray, np.ndarray]:
        body = ["* follower", *lines, f"vin in 0 pwl(0 0 {length / 1e4:g} {volts:g})"]
        body += ["xu in out out vdd vss opamp", "rl out 0 100k", ".save v(out)"]
        body += [f".tran {length / 500:g} {length:g}", ".end", ""]
        found = read_raw(run_batch(body, tmp_path))
        return found["time"], found["v(out)"]

    seconds, volts = response(library(part), 1e-3, 6 * constant)
    assert np.interp(constant, seconds, volts) == pytest.approx(0.632e-3, rel=0.02)
    seconds, volts = response(with_rails(library(part)), 3.0, 5.0 / part.slew)
    assert np.gradient(volts, seconds).max() == pytest.approx(part.slew, rel=0.05)


def test_the_parts_are_those_of_the_netlist(tmp_path: Path) -> None:
    """All of them, and none of an op-amp's inside; an offset source is a wire."""
    build, _, _ = made(tmp_path, 1)
    parts = placed(build)
    counts = Counter(part.kind for part in parts)
    assert counts["resistor"] == build.facts["elements"]["r"]
    assert counts["operational amplifier"] == len(build.offsets)
    assert (
        counts["operational amplifier"] + counts["analog multiplier"]
        == (build.facts["elements"]["x"])
    )
    for part in parts:
        expected = {"R": 2, "C": 2, "D": 2, "Q": 3, "U": 5}[part.reference[0]]
        assert len(part.pins) == expected
    text = build.netlist.read_text()
    offsets = {m[1] for m in FREE.finditer(text)}
    assert len(offsets) == len(build.offsets)
    assert not offsets & {pin for part in parts for pin in part.pins}


def test_presets_are_described() -> None:
    assert names() == ("1MHz", "10MHz", "100MHz")
    for name in names():
        part = opamp(name)
        assert part.gbw == float(name.removesuffix("MHz")) * 1e6
        assert part.description
        assert min(part.slew, part.current, part.offset, part.noise, part.gain) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "macro", "opamp": "10GHz"}, "option 'opamp' of target 'spice' is '10GHz'"),
        ({"opamp": "10MHz"}, "option 'opamp' has no meaning here"),
        ({"level": "macro", "force": "mos"}, "option 'force' has no meaning here"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        SpiceBackend(**options)


def test_the_noise_of_a_resistor_and_a_capacitor_is_kt_over_c(tmp_path: Path) -> None:
    lines = ["* RC", "vx0 x0 0 dc 0", "r0 x0 y 10k", "c0 y 0 1p", ".save v(y)", ".end", ""]
    netlist = tmp_path / "rc.cir"
    netlist.write_text("\n".join(lines))
    build = Build(tmp_path, netlist, {"outputs": ["y"], "level": "crossbar"})
    found = noise(build, np.zeros(1), Band(1.0, 1e11))
    assert found[0] == pytest.approx(np.sqrt(BOLTZMANN * 300.15 / 1e-12), rel=0.02)


def test_more_bandwidth_is_more_noise(tmp_path: Path) -> None:
    build, x, _ = made(tmp_path, 1)
    narrow, wide = (noise(build, x[0], Band(1.0, last)) for last in (1e3, 1e7))
    assert narrow.shape == wide.shape == (len(build.facts["outputs"]),)
    assert (narrow > 0).all()
    assert (narrow < wide).all()


def test_a_raw_file_may_hold_several_plots() -> None:
    def plot(name: str, numbers: list[float]) -> bytes:
        head = (
            f"Title: t\nFlags: real\nNo. Variables: 1\nNo. Points: {len(numbers)}\n"
            f"Variables:\n\t0\t{name}\tvoltage\nBinary:\n"
        )
        return head.encode() + np.array(numbers).tobytes()

    first, second = read_plots(plot("v(a)", [1.0, 2.0]) + plot("v(b)", [3.0]))
    assert first["v(a)"].tolist() == [1.0, 2.0]
    assert second["v(b)"].tolist() == [3.0]


def test_a_study_is_reported(tmp_path: Path) -> None:
    found = compiled(1)
    write(found, tmp_path)
    backend = found.backend
    assert isinstance(backend, SpiceBackend)
    result = backend.study(tmp_path, found.shaped, found.samples)
    assert json.loads(json.dumps(result.facts))["opamp"] == "10MHz"
    assert result.facts["transfer"]["max_error_share"] <= SHARE
    assert result.facts["settling"]["max_s"] < 10e-6
    assert any(line.startswith("power   ") for line in result.lines)


def test_a_circuit_that_does_not_settle_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compiled(1)
    write(found, tmp_path)
    monkeypatch.setattr("crystalc_spice.transient.LONGER", 0)
    monkeypatch.setattr("crystalc_spice.transient.BAND", 0.0)
    assert isinstance(found.backend, SpiceBackend)
    result = found.backend.study(tmp_path, found.shaped, found.samples)
    assert result.facts["settling"] is None
    assert result.lines == ("settle  not measured: the circuit does not settle within 1.0e-05 s",)
