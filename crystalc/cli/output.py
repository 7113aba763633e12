"""Where a command writes: ``-o``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from crystalc.diagnostics import refuse
from crystalc.files import check_folder


class Output(click.ParamType[Path]):
    """A place to write to. The empty word is refused, and for a ``folder`` what is a file."""

    name = "path"

    def __init__(self, *, folder: bool = False) -> None:
        self.folder = folder

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        if not os.fspath(value):
            raise refuse("-o is given without a name", hint="-o . is the current folder")
        path = Path(value)
        if self.folder:
            check_folder(path)
        return path
