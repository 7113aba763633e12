"""The ``.crystal`` target: a language model as one portable file, at a measured cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from crystalc.backend import Capabilities, Exact, Files, Within
from crystalc.container import Mode, read, write
from crystalc.container.convert import Converted, Text, convert
from crystalc.container.quality import BUDGETS, Budget, require_quality
from crystalc.diagnostics import refuse
from crystalc.ir import Graph
from crystalc.language import LanguageModel

LAYOUTS = ("panels", "rows")


@dataclass(frozen=True)
class CrystalBackend:
    """Options: ``max_perplexity_change`` (0.001 is 0.1 %), ``max_kl`` and ``min_top1`` replace the
    budget of the weight mode; ``layout`` is ``panels`` (what SIMD reads in place) or ``rows``.
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

    max_perplexity_change: str = field(
        default="", metadata={"help": "Refuse past this share; 0.001 is 0.1 %."}
    )
    max_kl: str = field(default="", metadata={"help": "Refuse past this KL, in nats a token."})
    min_top1: str = field(
        default="", metadata={"help": "Refuse below this share of equal decisions."}
    )
    layout: str = field(
        default="panels", metadata={"help": "panels (default), which SIMD reads in place, or rows."}
    )

    def __post_init__(self) -> None:
        self.budget("f32")
        if self.layout not in LAYOUTS:
            hint = f"one of: {', '.join(LAYOUTS)}"
            raise refuse(f"option 'layout' of target 'crystal' is '{self.layout}'", hint=hint)

    def budget(self, mode: Mode) -> Budget:
        """What weights of this mode may cost."""
        given = {
            "perplexity_change": _number("max_perplexity_change", self.max_perplexity_change),
            "kl": _number("max_kl", self.max_kl),
            "top1": _number("min_top1", self.min_top1),
        }
        changed = {key: value for key, value in given.items() if value is not None}
        return Budget(**{**asdict(BUDGETS[mode]), **changed})

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


def _number(option: str, text: str) -> float | None:
    """A number of at least 0, or None for no text."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise refuse(f"option '{option}' of target 'crystal' is '{text}', not a number >= 0")
    return value
