"""The language model of ``crystalc demo``: small, on Python's documentation, file and program."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalc.cli.train_language import train_language

if TYPE_CHECKING:
    from crystalc.container import Mode
    from crystalc.container.convert import Text
    from crystalc.container.quality import Quality
    from crystalc.language import LanguageModel
    from crystalc.language_driver import Agreement

MADE: dict[str, Any] = {"steps": 400, "dim": 64, "blocks": 2, "neurons": 64, "vocab": 512}
"""Options of ``crystalc train lm``: half a minute."""

MODES: tuple[Mode, ...] = ("f32", "q8")
TOKENS = 256  # predictions of each check
PROMPT = "The "


@dataclass(frozen=True)
class Row:
    """One line of the table. ``quality``: of the weights; ``agreement``: of the artefact."""

    target: str
    mode: Mode
    size: int
    quality: Quality
    agreement: Agreement | None

    @property
    def ok(self) -> bool:
        return self.agreement is None or self.agreement.ok


def language_demo(ctx: click.Context, output: Path, c_runs: bool) -> bool:
    """Train (or use) ``output``/lm.pt, convert it and, where ``c_runs``, compile it and let it
    write; whether all agree.

    Raises CompileError and ToolError.
    """
    from crystalc.cli.container import read_language
    from crystalc.container.convert import own_text
    from crystalc.training.state import state_path
    from crystalc_c.runtime import talk

    path = output / "lm.pt"
    if path.exists():
        click.echo(f"using   {path} (delete it to train anew)")
    else:
        ctx.invoke(train_language, output=path, resume=state_path(path).exists(), **MADE)
    model = read_language(path)
    text = own_text(model, 2 * TOKENS)
    rows = [_container(model, mode, text, output) for mode in MODES]
    if c_runs:
        rows += [_program(model, mode, text, output) for mode in MODES]
    _print(model, rows)
    if c_runs:
        sys.stdout.flush()
        talk(output / "lm-q8.crystal", PROMPT, ["-n", "80", "-t", "0.5", "--seed", "1"])
    return all(r.ok for r in rows)


def _container(model: LanguageModel, mode: Mode, text: Text, output: Path) -> Row:
    from crystalc.files import write_atomic
    from crystalc_crystal import CrystalBackend

    made = CrystalBackend().convert(model, mode, text)
    write_atomic(output / f"lm-{mode}.crystal", made.content)
    return Row("crystal", mode, len(made.content), made.quality, None)


def _program(model: LanguageModel, mode: Mode, text: Text, output: Path) -> Row:
    from crystalc import language_driver as driver
    from crystalc.backend import LanguageBackend, create
    from crystalc.driver import write_report

    backend, out = create("c", {}), output / f"lm-c-{mode}"
    assert isinstance(backend, LanguageBackend)
    said = driver.command("c", mode, {})
    made = driver.emit(model, mode, text, backend, out, said)
    ids = driver.windows(text.ids, model.config.context, TOKENS)
    agreement = driver.agree(made, backend.execute_language(out, ids), ids)
    write_report(out, driver.report(made, "c", said, agreement, text))
    return Row("c", mode, len(made.content), made.quality, agreement)


def _print(model: LanguageModel, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    c = model.config
    table = Table(
        title=f"language model: {c.vocabulary} tokens, {sum(c.neurons)} neurons "
        f"({model.frozen.mean():.0%} frozen)"
    )
    for name in ("target", "weights", "bytes", "KL", "top-1", "max error", "check"):
        table.add_column(name, justify="left" if name in ("target", "weights") else "right")
    for r in rows:
        table.add_row(
            r.target,
            r.mode,
            f"{r.size:,}",
            f"{r.quality.kl:.1e}",
            f"{r.quality.top1:.2%}",
            f"{r.agreement.max_abs_error:.1e}" if r.agreement else "",
            "ok" if r.ok else "FAILED",
        )
    Console().print(table)
