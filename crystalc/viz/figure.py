"""Writing a figure: whole or not at all, and the same bytes each time."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from crystalc.training.state import write_atomically


def save_figure(figure: Any, path: Path) -> None:
    """``figure`` as the kind of picture that the suffix of ``path`` names: .png or .svg."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    kind = path.suffix.removeprefix(".")
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None}
    with rc_context({"svg.hashsalt": "crystalc"}):  # names inside an SVG are random otherwise
        figure.savefig(buffer, format=kind, metadata=metadata)
    write_atomically(path, buffer.getvalue())
