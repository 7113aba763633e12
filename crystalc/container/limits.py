"""Options of a target that takes language models: what its weight mode may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import ClassVar

from crystalc.container.kinds import Mode
from crystalc.container.quality import BUDGETS, Budget
from crystalc.diagnostics import refuse


@dataclass(frozen=True)
class Limits:
    """A backend's ``max_perplexity_change`` (0.001 is 0.1 %), ``max_kl`` and ``min_top1``.

    They replace the budget of the weight mode. Raises CompileError for what is no number >= 0.
    """

    name: ClassVar[str]

    max_perplexity_change: str = field(
        default="", metadata={"help": "Refuse past this share; 0.001 is 0.1 %."}
    )
    max_kl: str = field(default="", metadata={"help": "Refuse past this KL, in nats a token."})
    min_top1: str = field(
        default="", metadata={"help": "Refuse below this share of equal decisions."}
    )

    def __post_init__(self) -> None:
        self.budget("f32")

    def budget(self, mode: Mode) -> Budget:
        """What weights of this mode may cost."""
        given = {
            "perplexity_change": self._number("max_perplexity_change"),
            "kl": self._number("max_kl"),
            "top1": self._number("min_top1"),
        }
        changed = {key: value for key, value in given.items() if value is not None}
        return Budget(**{**asdict(BUDGETS[mode]), **changed})

    def _number(self, option: str) -> float | None:
        """A number of at least 0, or None for no text."""
        text: str = getattr(self, option)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise refuse(
                f"option '{option}' of target '{self.name}' is '{text}', not a number >= 0"
            )
        return value
