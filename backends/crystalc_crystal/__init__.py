"""The ``.crystal`` target: a language model as one portable file, at a measured cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.backend import Capabilities, Exact, Files, Within
from crystalc.container import Mode, read, write
from crystalc.container.convert import Converted, Text, convert
from crystalc.container.limits import Limits
from crystalc.container.quality import require_quality
from crystalc.diagnostics import refuse
from crystalc.ir import Graph
from crystalc.language import LanguageModel

LAYOUTS = ("panels", "rows")


@dataclass(frozen=True)
class CrystalBackend(Limits):
    """Options: those of Limits; ``layout`` is ``panels`` (what SIMD reads in place) or ``rows``.
    Raises CompileError for a value it does not know.
    """

    name: ClassVar[str] = "crystal"
    capabilities: ClassVar[Capabilities] = Capabilities(
        float_ops=frozenset(),
        fixed_ops=frozenset(),
        max_width=0,
        float_agreement=Within(24),
        fixed_agreement=Exact(),
        description="one .crystal file for the C runtime; language models only",
    )

    layout: str = field(
        default="panels", metadata={"help": "panels (default), which SIMD reads in place, or rows."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layout not in LAYOUTS:
            hint = f"one of: {', '.join(LAYOUTS)}"
            raise refuse(f"option 'layout' of target 'crystal' is '{self.layout}'", hint=hint)

    def convert(self, model: LanguageModel, mode: Mode, text: Text) -> Converted:
        """The file and what it costs on ``text``, which its metadata says too.

        Raises CompileError past the budget.
        """
        panels = self.layout == "panels"
        budget = self.budget(mode)
        made = convert(model, mode, text, panels=panels, budget=budget)
        require_quality(made.quality, budget, mode)
        q = made.quality
        facts: dict[str, str | float] = {
            "perplexity_change": q.perplexity_change,
            "kl": q.kl,
            "top1": q.top1,
            "measured_on": text.note,
        }
        said = {f"weights_{key}": value for key, value in facts.items()}
        told = replace(model, metadata={**model.metadata, **said})
        content = write(told, mode, panels=panels, moments=made.moments, extra=made.extra)
        return replace(made, content=content)

    def emit(self, graph: Graph, header: str) -> Files:
        """Never called: this target takes models, not graphs."""
        raise refuse("target 'crystal' takes language models only")

    def execute(self, build: Path, inputs: NDArray[Any]) -> NDArray[Any]:
        """Logits [B, T, V] of the file ``build`` for ids [B, T], through reader and oracle."""
        from crystalc.container.oracle import Oracle

        return Oracle()(read(build)[0], inputs)
