"""RTL of one design: simulated on the test set in Icarus, then counted by Yosys."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from crystalc_verilog.devices import UNVERIFIED
from crystalc_verilog.engine import engine
from crystalc_verilog.simulate import from_hex, to_hex

Array = NDArray[Any]

SYNTH = "synth_xilinx -family xcup -flatten -noiopad -nodsp -top {top}"
KINDS = {
    "LUT": r"LUT[1-6]",
    "INV": r"INV",
    "FF": r"FD[RCSP]E(_1)?",
    "CARRY": r"CARRY[48]",
    "MUXF": r"MUXF[789]",
    "DSP": r"DSP.*",
    "RAM": r"RAM.*",
}
TIMEOUT = 4 * 3600.0
BENCH = """module bench;
    reg [{inputs}:0] vectors [0:{last}];
    reg [{inputs}:0] x;
    wire [{outputs}:0] y;
    {top} dut (.model_inp(x), .model_out(y));
    integer k;
    initial begin
        $readmemh("{file}", vectors);
        for (k = 0; k <= {last}; k = k + 1) begin
            x = vectors[k];
            #1 $display("%h", y);
        end
    end
endmodule
"""


@dataclass(frozen=True)
class Combinational:
    """Module ``top`` with ports model_inp and model_out, each output as wide as the others.
    Memory files lie in ``folder``.
    """

    top: str
    sources: Sequence[Path]
    folder: Path

    @property
    def output_bits(self) -> int:
        """All outputs together."""
        text = next(s.read_text() for s in self.sources if f"module {self.top} " in s.read_text())
        found = re.search(r"output\s+(?:wire\s+)?\[(\d+):0\]\s*model_out", text)
        assert found
        return int(found[1]) + 1

    def simulate(self, x: Array, outputs: int, input_bits: int) -> Array:
        """Outputs [batch, O] for integers ``x`` [batch, I] of ``input_bits`` each."""
        total = self.output_bits
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            (place / "x.hex").write_text(to_hex(x, {"width": input_bits, "beats": 1}))
            text = BENCH.format(
                inputs=x.shape[1] * input_bits - 1,
                outputs=total - 1,
                last=len(x) - 1,
                top=self.top,
                file=place / "x.hex",
            )
            (place / "bench.v").write_text(text)
            sources = [str(s.resolve()) for s in (*self.sources, place / "bench.v")]
            program = str(place / "sim")
            command = ["iverilog", "-g2012", "-s", "bench", "-o", program, *sources]
            subprocess.run(command, check=True, cwd=self.folder)
            said = subprocess.run(
                ["vvp", "-n", program], check=True, cwd=self.folder, capture_output=True, text=True
            )
        port = {"width": total // outputs, "elements": outputs, "beats": 1, "signed": True}
        lines = [w for w in said.stdout.split() if re.fullmatch(r"[0-9a-fx]+", w)]
        return from_hex("\n".join(lines), port)


def count(top: str, sources: Sequence[Path], folder: Path, prefer: str) -> dict[str, Any]:
    """Cells by kind, seconds and the engine's version."""
    yosys = engine(prefer)
    files = " ".join(str(s.resolve()) for s in sources)
    start = time.perf_counter()
    script = [
        UNVERIFIED,
        f"read_verilog -sv -defer {files}",
        SYNTH.format(top=top),
        "tee -o stat.json stat -json",
    ]
    yosys.run(script, folder, TIMEOUT)
    cells = _cells(json.loads((folder / "stat.json").read_text()), top)
    found = {
        kind: sum(n for name, n in cells.items() if re.fullmatch(pattern, name))
        for kind, pattern in KINDS.items()
    }
    seconds = round(time.perf_counter() - start, 1)
    return {**found, "synth_s": seconds, "engine": f"{yosys.name} {yosys.version}"}


def _cells(stat: Any, top: str) -> dict[str, int]:
    """``num_cells_by_type`` of the design, wherever this version keeps it."""
    if "design" in stat:
        return dict(stat["design"]["num_cells_by_type"])
    return dict(stat["modules"][f"\\{top}"]["num_cells_by_type"])
