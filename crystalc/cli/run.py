"""``crystalc run``: text from a ``.crystal`` file through the C runtime."""

from __future__ import annotations

from pathlib import Path

import click

from crystalc.diagnostics import refuse


@click.command("run")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("prompt", required=False, default="")
@click.option("-n", "tokens", default=100, show_default=True, help="Tokens to write.")
@click.option("-t", "temperature", default=0.8, show_default=True, help="0: the likeliest.")
@click.option("-k", "top_k", default=0, help="Draw from so many of the likeliest only; 0: all.")
@click.option("-p", "top_p", default=1.0, help="Draw from the likeliest with this share only.")
@click.option("--seed", default=0, help="Of the random numbers.")
@click.option("--layer", default="", help="scalar, avx2, avx512, neon; all write the same text.")
@click.option("--bench", is_flag=True, help="Time of a token, without any text.")
@click.option("--perplexity", default="", metavar="FILE", help="Of a text, instead of writing one.")
def run_(
    model: Path,
    prompt: str,
    tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    layer: str,
    bench: bool,
    perplexity: str,
) -> int:
    """Write on from PROMPT with the language model MODEL.

    PROMPT "-" is read from standard input. The runtime is built with the system's C compiler at
    its first use.
    """
    from crystalc.frontend.source import is_container
    from crystalc_c.runtime import talk

    if not (prompt or bench or perplexity):
        raise refuse("a prompt is needed", hint='crystalc run lm.crystal "Once upon"')
    if not is_container(model):
        hint = f"crystalc {model} --target crystal writes one"
        raise refuse(f"{model}: not a .crystal file", hint=hint)
    options = ["-n", str(tokens), "-t", str(temperature), "-k", str(top_k), "-p", str(top_p)]
    options += ["--seed", str(seed)] + (["--layer", layer] if layer else [])
    options += ["--bench"] * bench + (["--perplexity", perplexity] if perplexity else [])
    return talk(model, prompt, options)
