"""A checkout on a machine where crystalc is not installed and cannot be: PYTHONPATH=.:backends."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from pathlib import Path

from crystalc.backend import GROUP, available

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def offer_targets() -> None:
    """Make the targets of pyproject.toml known, where no installation does."""
    if "cuda" in available():
        return
    offered = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"][GROUP]
    folder = Path(tempfile.mkdtemp(prefix="crystalc-")) / "crystalc-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: crystalc\nVersion: 0\n")
    lines = [f"[{GROUP}]", *(f"{name} = {place}" for name, place in offered.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    sys.path.append(str(folder.parent))
