"""The language model of ``crystalc demo``: small, on Python's documentation, for every target."""

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
PROGRAMS: tuple[tuple[str, Mode], ...] = (("c", "f32"), ("c", "q8"), ("cuda", "q8"))
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


def language_demo(ctx: click.Context, output: Path, targets: list[str]) -> bool:
    """Train (or use) ``output``/lm.pt, compile it for ``targets``, let it write; whether all agree.

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
    rows += [_program(model, m, text, output, t) for t, m in PROGRAMS if t in targets]
    _print(model, rows)
    if "c" in targets:
        sys.stdout.flush()
        talk(output / "lm-q8.crystal", PROMPT, ["-n", "80", "-t", "0.5", "--seed", "1"])
    return all(r.ok for r in rows)


def _container(model: LanguageModel, mode: Mode, text: Text, output: Path) -> Row:
    from crystalc.files import write_atomic
    from crystalc_crystal import CrystalBackend

    made = CrystalBackend().convert(model, mode, text)
    write_atomic(output / f"lm-{mode}.crystal", made.content)
    return Row("crystal", mode, len(made.content), made.quality, None)


def _program(model: LanguageModel, mode: Mode, text: Text, output: Path, target: str) -> Row:
    from crystalc import language_driver as driver
    from crystalc.backend import LanguageBackend, create
    from crystalc.driver import write_report

    backend, out = create(target, {}), output / f"lm-{target}-{mode}"
    assert isinstance(backend, LanguageBackend)
    said = driver.command(target, mode, {})
    made = driver.emit(model, mode, text, backend, out, said)
    ids = driver.windows(text.ids, model.config.context, TOKENS)
    agreement = driver.agree(made, backend.execute_language(out, ids), ids)
    write_report(out, driver.report(made, target, said, agreement, text))
    return Row(target, mode, len(made.content), made.quality, agreement)


def _print(model: LanguageModel, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    c = model.config
    table = Table(
        title=f"language model: {c.vocabulary} tokens, {sum(c.neurons)} neurons "
        f"({model.frozen.mean():.0%} frozen), {model.parameters:,} parameters"
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
