#!/bin/bash
# MNIST to C, in the current folder. Needs `make setup`.
# MNIST: the four IDX files' folder, or mnist.npz. OPTIONS: more options of the training.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/../../.venv/bin:$PATH"

read -ra options <<<"${OPTIONS:-}"
crystalc train mnist --data "${MNIST:?MNIST must name the folder of the IDX files, or mnist.npz}" \
    "${options[@]}" -o mnist.pt
crystalc inspect mnist.pt
crystalc mnist.pt --target c -o build/c
crystalc mnist.pt --target c --weights q8 -o build/q8
crystalc mnist.pt --target c --arithmetic fixed --width 8 -o build/c8
