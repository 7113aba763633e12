"""The plain GPT that a crystal is measured against: a GELU MLP where the crystal has its field."""

from __future__ import annotations

from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystalc.nn.language import LanguageNet
from crystalc.training.language.data import LanguageData
from crystalc.training.language.living import BETAS, SMALL, start
from crystalc.training.language.loop import CLIP
from crystalc.training.language.recipe import LanguageRecipe
from crystalc.training.windows import Windows


class Mlp(nn.Module):
    """down(gelu(up(x))) with biases: [n, D] -> [n, D]."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        nn.init.normal_(self.down.weight, std=SMALL)

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] -> [n, D]."""
        y: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return y


def gpt(recipe: LanguageRecipe, vocabulary: int) -> LanguageNet:
    """Attention, norms, embeddings and their start as the crystal's, and one hidden unit more.

    A neuron has 2 D + 2 numbers, a hidden unit 2 D + 1, the layer D: with that unit the GPT has
    slightly more parameters than the crystal, never fewer.
    """
    torch.manual_seed(recipe.seed)
    config = recipe.config(vocabulary, recipe.neurons)
    layers = [Mlp(recipe.dim, recipe.neurons + 1) for _ in config.neurons]
    net = LanguageNet(config, layers, recipe.dropout)
    start(net)
    return net


def train(net: LanguageNet, recipe: LanguageRecipe, data: LanguageData, factor: float) -> float:
    """Train ``net`` as a crystal is trained: same batches, schedule, AdamW and clipping.

    ``factor``: learning rate of the MLPs, as a share of the others'. Returns CPU seconds.
    """
    windows = Windows(
        data.file, 0, data.split, recipe.context, recipe.batch, recipe.windows, recipe.seed
    )
    adam = _adam(net, recipe, factor)
    began = process_time()
    net.train()
    for step in range(recipe.steps):
        for group in adam.param_groups:
            group["lr"] = recipe.rate(step) * group["factor"]
        x, y = windows.batch_of(step)
        loss = F.cross_entropy(net(x).flatten(0, 1), y.flatten())
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        adam.step()
    return process_time() - began


def _adam(net: LanguageNet, recipe: LanguageRecipe, factor: float) -> torch.optim.AdamW:
    named = dict(net.named_parameters())
    groups = [
        {
            "params": [p for n, p in named.items() if (".field." in n, p.dim() > 1) == kind],
            "factor": factor if kind[0] else 1.0,
            "weight_decay": recipe.decay if kind[1] else 0.0,
        }
        for kind in ((True, True), (True, False), (False, True), (False, False))
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=True)
