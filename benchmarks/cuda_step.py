"""One step of ``benchmarks.cuda`` in a process of its own: KIND NAME FOLDER ROWS [--dry-run].

A kernel that never ends, or an error that takes the device's context with it, costs this step.
Rows go to the file ROWS as they are found, a line of JSON each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import checkout, cuda_classifiers, cuda_language, cuda_peers

Rows = Callable[[str, Path, bool], Iterator[dict[str, Any]]]
KINDS: dict[str, Rows] = {
    "classifier": cuda_classifiers.rows,
    "language library": cuda_language.build_rows,
    "one sequence": cuda_language.alone_rows,
    "many sequences": cuda_language.many_rows,
    "peer language": cuda_language.peer_rows,
    "peer": cuda_peers.plain_rows,
    "peer compiled": cuda_peers.compiled_rows,
}


def main(kind: str, name: str, folder: str, rows: str, *dry: str) -> None:
    """Every row of the step. Whatever goes wrong ends it with a sentence on stderr."""
    checkout.offer_targets()
    with Path(rows).open("a") as file:
        for row in KINDS[kind](name, Path(folder), bool(dry)):
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
