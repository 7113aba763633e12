#!/bin/bash
# From data to a circuit of real parts, in the current folder. Needs `make setup` (ngspice).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/../../.venv/bin:$PATH"

crystalc train digits --kernel gauss -o digits.pt
crystalc digits.pt --target spice -o build/ideal
crystalc digits.pt --target spice --level crossbar --series E96 -o build/e96
crystalc montecarlo build/e96 --sigma-r 1%
crystalc bom build/e96
crystalc digits.pt --target spice --level macro --opamp 10MHz --count 50 -o build/macro
crystalc noise build/macro
crystalc scope build/macro --format png
crystalc levels build/ideal build/e96 build/macro
