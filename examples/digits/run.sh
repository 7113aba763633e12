#!/bin/bash
# From data to checked C, in the current folder. Needs `make setup` (or crystalc on PATH).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/../../.venv/bin:$PATH"

crystalc train digits -o digits.pt
crystalc inspect digits.pt
crystalc digits.pt --target c -o build/c
crystalc digits.pt --target c --arithmetic fixed --width 8 -o build/c8

# The artefact needs nothing but a C99 compiler.
cc -std=c99 -O2 -o build/c/example build/c/example.c build/c/crystal.c
build/c/example
