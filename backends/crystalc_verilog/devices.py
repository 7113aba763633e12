"""What synthesis can aim at: passes, cells and their simulation models, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crystalc.diagnostics import refuse


@dataclass(frozen=True)
class Device:
    """``passes``: Yosys commands, of which ``{top}`` and ``{flags}`` are filled in; ``no_dsp``: the
    flag that does without multipliers; ``no_hard``: the flags that do without every block that
    has no open simulation model. ``resources``: (what it is called, pattern of cell types, how
    many one cell is). ``levels``: types that count in the logic depth; ``through``: types that a
    path goes through without counting. ``models``: files with simulation models, by absolute path
    or in Yosys's folder. ``liberty``: file of cells with areas, which ``stat`` then adds up.
    """

    name: str
    family: str
    passes: Sequence[str]
    resources: Sequence[tuple[str, str, int]]
    levels: str
    through: str
    models: Sequence[str]
    no_dsp: str = ""
    no_hard: str = ""
    liberty: str = ""

    def script(self, top: str, flags: str) -> list[str]:
        """The passes for module ``top``."""
        return [p.format(top=top, flags=f" {flags}" if flags else "") for p in self.passes]

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Resources of so many cells by type."""
        total = {name: 0 for name, _, _ in self.resources}
        for kind, number in cells.items():
            for name, pattern, each in self.resources:
                if re.fullmatch(pattern, kind):
                    total[name] += number * each
        return total


UNVERIFIED = "scratchpad -set abc9.verify false"
"""ABC proves its own mapping by SAT otherwise, which takes hours on trees of adders. The netlist
is compared with the oracle instead."""

XCUP = Device(
    name="xcup",
    family="AMD UltraScale+",
    passes=(UNVERIFIED, "synth_xilinx -family xcup -flatten -noiopad{flags} -top {top}"),
    no_dsp="-nodsp",
    no_hard="-nodsp -nobram",
    resources=(
        ("LUT", r"LUT[1-6]", 1),
        ("FF", r"FD[RSCP]E(_1)?", 1),
        ("CARRY4", r"CARRY4", 1),
        ("MUXF", r"MUXF[789]", 1),
        ("DSP", r"DSP48E2", 1),
        ("BRAM18", r"RAMB18E2", 1),
        ("BRAM18", r"RAMB36E2", 2),
        ("LUTRAM", r"RAM32M16|RAM64M8", 8),
        ("LUTRAM", r"RAM(32|64)M|RAM128X1D|RAM256X1S", 4),
        ("LUTRAM", r"RAM(32|64)X1D|RAM128X1S", 2),
        ("LUTRAM", r"RAM(32|64)X1S|SRL16E|SRLC32E", 1),
    ),
    levels=r"LUT[1-6]|RAM(32|64|128|256).*|DSP48E2",
    through=r"CARRY4|MUXF[789]|INV|BUFG",
    models=("xilinx/cells_sim.v",),
)

ICE40 = Device(
    name="ice40",
    family="Lattice iCE40 LP/HX",
    passes=("synth_ice40 -top {top}",),
    resources=(
        ("LUT", r"SB_LUT4", 1),
        ("FF", r"SB_DFF.*", 1),
        ("CARRY", r"SB_CARRY", 1),
        ("BRAM", r"SB_RAM40_4K.*", 1),
    ),
    levels=r"SB_LUT4",
    through=r"SB_CARRY",
    models=("ice40/cells_sim.v",),
)

ECP5 = Device(
    name="ecp5",
    family="Lattice ECP5",
    passes=(UNVERIFIED, "synth_ecp5{flags} -top {top}"),
    no_dsp="-nodsp",
    no_hard="-nodsp",
    resources=(
        ("LUT", r"LUT4", 1),
        ("LUT", r"CCU2C", 2),
        ("FF", r"TRELLIS_FF", 1),
        ("CCU2C", r"CCU2C", 1),
        ("MUXF", r"PFUMX|L6MUX21", 1),
        ("DSP", r"MULT18X18D", 1),
        ("BRAM", r"DP16KD", 1),
        ("LUTRAM", r"TRELLIS_DPR16X4", 4),
    ),
    levels=r"LUT4|TRELLIS_DPR16X4|MULT18X18D",
    through=r"CCU2C|PFUMX|L6MUX21",
    models=("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh", "ecp5/cells_sim.v"),
)

GENERIC = Device(
    name="generic",
    family="two-input gates of Yosys",
    passes=(
        "synth -flatten -top {top}",
        "abc -g AND,OR,XOR,NAND,NOR,XNOR,MUX",
        "opt_clean",
    ),
    resources=(
        ("gates", r"\$_(AND|OR|XOR|NAND|NOR|XNOR|MUX|NOT)_", 1),
        ("FF", r"\$_.*DFF.*_", 1),
    ),
    levels=r"\$_(AND|OR|XOR|NAND|NOR|XNOR|MUX)_",
    through=r"\$_NOT_",
    models=("simcells.v",),
)

DEVICES: Mapping[str, Device] = {d.name: d for d in (XCUP, ICE40, ECP5, GENERIC)}


def device(name: str) -> Device:
    """The device called ``name``. Raises CompileError with the names there are."""
    if name not in DEVICES:
        raise refuse(f"unknown device '{name}'", hint=f"one of: {', '.join(DEVICES)}")
    return DEVICES[name]
