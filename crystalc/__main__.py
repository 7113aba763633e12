"""``python -m crystalc``."""

from crystalc.cli import main

main()
