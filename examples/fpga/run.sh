#!/bin/bash
# From data to a bitstream, in the current folder. Needs `make setup-all` (Icarus, nextpnr-ice40).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/../../.venv/bin:$PATH"

# Every neuron frozen: four multipliers and ROMs on an iCE40 HX8K.
crystalc train digits --frozen 1 --neurons 32 --activation relu -o digits.pt
crystalc estimate digits.pt --target verilog --arch folded --lanes 4 --device ice40
crystalc digits.pt --target verilog --arch folded --lanes 4 -o build/v
crystalc check build/v --vectors 20000
crystalc prove build/v
crystalc fpga build/v --device ice40-hx8k

# The last neurons stay active: what a retrained model writes into the running design.
crystalc train digits -o live.pt
crystalc train digits --seed 1 -o retrained.pt
crystalc live.pt --target verilog --arch folded --lanes 4 -o build/live
crystalc neuron build/live --index 63 --from retrained.pt
