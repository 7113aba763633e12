"""Text from a language model, a token at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from crystalc.diagnostics import refuse
from crystalc.nn.language import Cache, LanguageNet


def first_kept(count: int, context: int) -> int:
    """Of ``count`` tokens, the first that is still seen.

    A full context is left for its newer half: what is seen begins at a multiple of the other half.
    """
    step = context - context // 2
    return max(0, -(-(count - context) // step)) * step


@torch.no_grad()
def generate(
    net: LanguageNet,
    prompt: Sequence[int],
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
) -> Iterator[int]:
    """Endless token ids after ``prompt``, which holds at least one. Temperature 0 is greedy.

    ``top_k``: only so many of the likeliest tokens are drawn from; 0 = all.
    """
    ids, cache, context = list(prompt), Cache(), net.config.context
    generator = torch.Generator().manual_seed(seed)
    fed = first_kept(len(ids), context)
    while True:
        if cache.length + len(ids) - fed > context:
            cache, fed = Cache(), first_kept(len(ids), context)
        logits = net.advance(torch.tensor([ids[fed:]]), cache)[0, -1]
        fed = len(ids)
        ids.append(draw(logits, temperature, top_k, generator))
        yield ids[-1]


@torch.no_grad()
def windows(net: LanguageNet, count: int, seed: int = 0) -> Tensor:
    """Texts [count, context] that the model says at temperature 1, each after a token of chance."""
    generator, cache = torch.Generator().manual_seed(seed), Cache()
    shape = (count, 1)
    drawn = [torch.randint(net.config.vocabulary, shape, generator=generator)]
    while len(drawn) < net.config.context:
        chances = chances_of(net.advance(drawn[-1], cache)[:, -1])
        drawn.append(torch.multinomial(chances, 1, generator=generator))
    return torch.cat(drawn, 1)


def draw(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> int:
    """One id from logits [V]; the likeliest (the lowest id of equals) at temperature 0."""
    if temperature <= 0:
        return int(logits.argmax())
    if top_k:
        least = logits.topk(min(top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return int(torch.multinomial(chances_of(logits, temperature), 1, generator=generator))


def chances_of(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Chances of logits [.., V]. Raises CompileError where the model gives none."""
    chances = torch.softmax(logits.double() / temperature, dim=-1)
    if not torch.isfinite(chances).all():
        raise refuse("the model's logits are not finite")
    return chances
