"""A netlist through PySpice's NgSpiceShared: a second driver, in a process of its own.

    python hw_tests/pyspice_driver.py NETLIST INPUTS.npy OUTPUTS.npy NET...

PySpice is GPL: nothing of crystalc imports it, the tests start this file. It takes any note of
ngspice on stderr for a failure, so only circuits that converge without a word go through it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("NGSPICE_LIBRARY_PATH", "libngspice.so.0")

from PySpice.Spice.NgSpice.Shared import NgSpiceShared


def main(netlist: str, inputs: str, outputs: str, nets: list[str]) -> None:
    """Solve every row of INPUTS and keep the voltages of the nets."""
    simulator = NgSpiceShared.new_instance()
    simulator.load_circuit(Path(netlist).read_text(encoding="ascii"))
    rows = np.load(inputs, allow_pickle=False)
    found = np.empty((len(rows), len(nets)))
    for k, row in enumerate(rows.tolist()):
        for d, value in enumerate(row):
            simulator.exec_command(f"alter vx{d} dc = {value:.17g}")
        simulator.exec_command("op")
        plot = simulator.plot(None, simulator.last_plot)
        found[k] = [float(plot[net]._data[0]) for net in nets]
        simulator.exec_command("destroy all")
    np.save(outputs, found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
