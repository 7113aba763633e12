"""A process of its own that drives libngspice: a crash of it is our diagnostic, not our crash.

    python -m crystalc_spice.worker NETLIST INPUTS.npy OUTPUTS.npy NET...

For each row of INPUTS it alters the sources vx0, vx1, ..., solves the operating point and stores
the voltages of the nets. One line of progress goes to standard output for each row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crystalc_spice.ngspice import Ngspice, NgspiceError

FAILED = 3


def main(netlist: str, inputs: str, outputs: str, nets: Sequence[str]) -> None:
    """Solve every row."""
    rows = np.load(inputs, allow_pickle=False)
    simulator = Ngspice()
    simulator.load(Path(netlist).read_text(encoding="ascii").split("\n"))
    found = np.empty((len(rows), len(nets)))
    before = [None] * rows.shape[1]
    for k, row in enumerate(rows.tolist()):
        for d, value in enumerate(row):
            if value != before[d]:
                simulator.command(f"alter vx{d} dc = {value:.17g}")
        before = row
        simulator.command("op")
        found[k] = [simulator.vector(net)[0] for net in nets]
        simulator.command("destroy all")
    np.save(outputs, found)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
    except NgspiceError as error:
        print(error, file=sys.stderr)
        sys.exit(FAILED)
