"""The shape of a pass."""

from __future__ import annotations

from typing import ClassVar, Protocol

from crystalc.ir import Graph


class Pass(Protocol):
    """A frozen dataclass: its fields are its options."""

    name: ClassVar[str]

    def run(self, graph: Graph) -> Graph:
        """A new graph; ``graph`` is left as it is. Raises CompileError with located reasons."""
        ...
