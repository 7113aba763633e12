#!/bin/bash
# A language model of characters, in the current folder. Needs `make setup`.
# CORPUS: a text; by default Tiny Shakespeare is fetched. OPTIONS: more options of the training.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH="$here/../../.venv/bin:$PATH"
corpus=${CORPUS:-shakespeare}

read -ra options <<<"${OPTIONS:-}"
crystalc train lm --corpus "$corpus" --chars "${options[@]}" -o lm.pt
crystalc quantize-study lm.pt
crystalc lm.pt --target crystal -o lm.crystal
crystalc verify lm.crystal --against lm.pt
crystalc run lm.crystal "ROMEO:" -n 200 -t 0.8
crystalc run lm.crystal --bench

# The same model as one C program: weights inside, no file to load.
crystalc lm.pt --target c -o build/lm
