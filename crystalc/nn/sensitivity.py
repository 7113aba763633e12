"""Where a language model feels errors: second moments of its activations and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalc.container.feedback import Moments
from crystalc.language import LanguageModel
from crystalc.nn.field import LAPLACE_FLOOR, GeometricField
from crystalc.nn.generate import chances_of
from crystalc.nn.language import LanguageNet

Taps = dict[str, tuple[Tensor, Tensor]]
Sums = dict[str, Tensor]
TOGETHER = 1 << 22  # logits that are held at once
LARGEST = 2048  # rows of a matrix whose moments are taken
NEAR = 1e-2  # distances below it count as this


def moments(
    model: LanguageModel, ids: NDArray[Any], seed: int = 0, *, alike: bool = False
) -> dict[str, Moments]:
    """Moments of the matrices of ``model`` by key, over windows of tokens ``ids`` [B, T].

    Gradients are those of the loss for labels that the model itself draws: their moments say how
    much a change is felt in its predictions (Fisher's information). ``alike``: every logit counts
    as much as any other, likely or not.
    """
    net = LanguageNet.from_model(model).requires_grad_(False)
    for field in _fields(net):
        field.train()  # the expanded form: many times faster
    taps = _tapped(net)
    generator = torch.Generator().manual_seed(seed)
    columns: Sums = {}
    rows: Sums = {}
    felt: Sums = {}
    batch = max(1, TOGETHER // (ids.shape[1] * model.config.vocabulary))
    for start in range(0, len(ids), batch):
        logits = net(torch.from_numpy(ids[start : start + batch]))
        gradients = _gradients(logits, [out for _, out in taps.values()], generator, alike)
        for (name, (x, _)), g in zip(taps.items(), gradients, strict=True):
            _take(net.get_submodule(name), name, x.flatten(0, -2), g.flatten(0, -2), columns, rows)
            if name == "head":
                _sum(felt, "head.weight", g.double().square().flatten(0, -2).sum(0))
    columns["positions.weight"] = columns["tokens.weight"]
    seen = np.bincount(ids.ravel(), minlength=model.config.vocabulary)
    felt["tokens.weight"] = torch.from_numpy(seen.astype(np.float64))
    felt["positions.weight"] = torch.full((ids.shape[1],), float(len(ids)), dtype=torch.float64)
    means = ({k: v.numpy() / ids.size for k, v in sums.items()} for sums in (columns, rows, felt))
    found, by_row, alone = means
    return {key: Moments(m, by_row.get(key), alone.get(key)) for key, m in found.items()}


def _fields(net: LanguageNet) -> list[GeometricField]:
    return [m for m in net.modules() if isinstance(m, GeometricField)]


def _tapped(net: LanguageNet) -> Taps:
    """Input and output of every module that holds a matrix, as of the latest pass."""
    taps: Taps = {}

    def tap(name: str, module: nn.Module) -> None:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            taps[name] = inputs[0], out if out.requires_grad else out.requires_grad_()

        module.register_forward_hook(keep)

    for name, module in net.named_modules():
        if isinstance(module, nn.Linear | GeometricField) or name == "tokens":
            tap(name, module)
    return taps


def _gradients(
    logits: Tensor, at: list[Tensor], generator: torch.Generator, alike: bool
) -> tuple[Tensor, ...]:
    """Of the loss for drawn labels, or of logits weighted at random, at each of the tensors."""
    if alike:
        return torch.autograd.grad(logits, at, torch.randn(logits.shape, generator=generator))
    chances = chances_of(logits.detach().flatten(0, 1)).float()
    drawn = torch.multinomial(chances, 1, generator=generator)
    chances.scatter_add_(1, drawn, torch.full_like(chances[:, :1], -1.0))
    return torch.autograd.grad(logits, at, chances.view_as(logits))


def _take(module: nn.Module, name: str, x: Tensor, g: Tensor, columns: Sums, rows: Sums) -> None:
    """Add what one batch shows of a module's matrices: inputs x [T, C], gradients g [T, R]."""
    if isinstance(module, GeometricField):
        _take_field(module, name, x.detach(), g, columns, rows)
    elif isinstance(module, nn.Linear):
        _add(columns, f"{name}.weight", x.detach())
        _add(rows, f"{name}.weight", g)
    else:
        _add(columns, f"{name}.weight", g)


def _take_field(
    field: GeometricField, name: str, x: Tensor, g: Tensor, columns: Sums, rows: Sums
) -> None:
    """With l2, a squared distance moves by 2 x.e when a position moves by e."""
    scores = field.scores(x).requires_grad_()
    weights = field.weights(scores)
    (felt,) = torch.autograd.grad(weights @ field.values, scores, g)
    _add(columns, f"{name}.values", g)
    _add(rows, f"{name}.values", weights.detach())
    if field.shape.metric == "l2":
        _add(columns, f"{name}.positions", x)
        _add(rows, f"{name}.positions", felt * _slope(field, scores.detach()))


def _slope(field: GeometricField, scores: Tensor) -> Tensor:
    """What scores [T, N] move by when squared distances do, times 2; signs do not matter."""
    t = field.temperature
    if field.shape.kernel != "laplace":
        return 2 / (t.square() if field.shape.kernel == "gauss" else t)
    unit = t.abs() + LAPLACE_FLOOR
    return 1 / (unit * (scores.abs() * unit).clamp_min(NEAR))


def _add(sums: Sums, key: str, seen: Tensor) -> None:
    """Add the second moment of ``seen`` [T, n], unless n is too many."""
    if seen.shape[1] <= LARGEST:
        _sum(sums, key, seen.double().t() @ seen.double())


def _sum(sums: Sums, key: str, found: Tensor) -> None:
    sums[key] = sums[key] + found if key in sums else found
