"""A substitute for a black box: a net of one's own, trained on nothing but the labels that the black box gives.

    S_0 = a few samples;   for rho = 0, 1, ..., R:
        D = {(x, O(x)) : x in S_rho}                                    only new points are asked about
        train F on D
        S_{rho+1} = S_rho  u  {x + lambda_rho sign(J_F(x)[O(x)]) : x in S_rho}          not after the last training

lambda_rho = lambda (-1)^floor(rho / tau). J_F(x)[k] is the slope of F's probability of class k. So R augmentations of n
seeds cost n 2^R queries: 150 and 5 are 4,800, 100 and 6 are 6,400. With a reservoir, from augmentation sigma on only
kappa points are added each time, drawn uniformly from those that the whole of S_rho would give:
n 2^sigma + kappa (R - sigma) queries.

Source: arXiv:1602.02697, algorithms 1 and 2, and the periodic step size of its section on reducing queries.
Differs from the paper in: new points are clipped to [0, 1], as no picture has other pixels; F is trained on from its
weights of the round before, with a fresh optimiser, where the paper leaves this open.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from workers import models
from workers.data import Dataset
from workers.defenses.standard import StandardTraining
from workers.engine.frozen import frozen
from workers.engine.seeds import key
from workers.engine.train import Optimization, train
from workers.failures import Rejected
from workers.goals import Model
from workers.models import Classifier, Signature

# Purposes of random streams; see `seeds.key`.
_WEIGHTS: Final = -11
_TRAINING: Final = -12
_RESERVOIR: Final = -13

_ADAM: Final = Optimization(epochs=10, batch_size=128, learning_rate=1e-3, schedule="constant")


@dataclass(frozen=True, kw_only=True)
class SubstituteOptions:
    """How to imitate. Raises `Rejected` (BAD_SUBSTITUTE_OPTIONS)."""

    architecture: str = "mlp"  # of the substitute; that of the black box is not known
    augmentations: int = 5  # R >= 0
    step: float = 0.1  # lambda, in units of pixels in [0, 1]; below 0: the first ones go back
    alternate_every: int | None = 3  # tau >= 1 augmentations; None: lambda keeps its sign
    full: int | None = None  # sigma: augmentations before the reservoir's first; None: all, and no reservoir
    kappa: int = 400  # points of one augmentation with a reservoir
    optimization: Optimization = field(default=_ADAM)  # of the training of one round

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        tau, sigma = self.alternate_every, self.full
        fits = (tau is None or tau >= 1) and (sigma is None or sigma >= 0) and self.kappa >= 1
        if not (fits and self.augmentations >= 0 and 0 < abs(self.step) <= 1):
            raise Rejected(
                "BAD_SUBSTITUTE_OPTIONS",
                "needs augmentations >= 0, 0 < |step| <= 1, alternate_every >= 1, full >= 0 and kappa >= 1",
            )

    def queries(self, seeds: int) -> int:
        """Labels that so many seeds will cost in all."""
        count = seeds
        for number in range(self.augmentations):
            count += count if self.full is None or number < self.full else min(self.kappa, count)
        return count

    def lambda_(self, number: int) -> float:
        """The step of augmentation `number`, from 0."""
        if self.alternate_every is None:
            return self.step
        return self.step * (-1.0) ** (number // self.alternate_every)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one training came to."""

    queries: int  # labels asked for so far
    loss: float  # mean of the last epoch
    agreement: float | None  # share of the held-out samples on which substitute and black box agree


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """A substitute, and what it was made of."""

    substitute: Classifier
    history: tuple[Round, ...]
    x: Tensor  # (Q, C, H, W) all points that were asked about, in this order
    label: Tensor  # (Q,) int64, what the black box said


def imitate(
    oracle: Model,
    seeds: Tensor,
    options: SubstituteOptions,
    *,
    classes: int,
    seed: int,
    held_out: tuple[Tensor, Tensor] | None = None,
    watch: Callable[[Round], None] = lambda _: None,
) -> Imitation:
    """Train a substitute of `oracle` by Jacobian-based augmentation; see the head of this file.

    `seeds` (n, C, H, W) in [0, 1]; 0 <= `seed` < 2^64 fixes weights, orders and the reservoir. The oracle is asked
    `options.queries(n)` times, each point once, and only the largest of its scores is looked at. `held_out`: samples
    (M, C, H, W) and the labels (M,) that the black box gives them, which whoever measures must have asked for.
    """
    signature = Signature(options.architecture, (seeds.shape[1], seeds.shape[2], seeds.shape[3]), classes)
    model = models.build(signature, seed=key(seed, 0, _WEIGHTS))
    S, history = seeds.clone(), list[Round]()
    label = _labels(oracle, S)
    for ρ in range(options.augmentations + 1):
        if ρ > 0:
            chosen = _chosen(len(S), options, ρ - 1, seed)
            fresh = augment(model, S[chosen], label[chosen], options.lambda_(ρ - 1))
            S, label = torch.cat([S, fresh]), torch.cat([label, _labels(oracle, fresh)])
        trained = train(
            model,
            Dataset(S, label, classes),
            StandardTraining(),
            options.optimization,
            seed=key(seed, ρ, _TRAINING),
        )
        model = trained.model
        agreement = None if held_out is None else float((_labels(model, held_out[0]) == held_out[1]).float().mean())
        history.append(Round(queries=len(S), loss=trained.history[-1], agreement=agreement))
        watch(history[-1])
    return Imitation(substitute=model, history=tuple(history), x=S, label=label)


def augment(model: nn.Module, x: Tensor, label: Tensor, step: float) -> Tensor:
    """Return clip(x + step sign(J_F(x)[label]), 0, 1), (n, ...).

    The slope of log F is taken: its sign is that of F's, and it does not vanish where the probability is almost 1.
    """
    with frozen(model):
        point = x.detach().requires_grad_()
        chosen = model(point).log_softmax(dim=1).gather(1, label.unsqueeze(1))
        (J,) = torch.autograd.grad(chosen.sum(), point)
    return x.add(J.sign(), alpha=step).clamp(0, 1)


def _chosen(count: int, options: SubstituteOptions, number: int, seed: int) -> Tensor:
    """Return the places (M,) in S of the points that augmentation `number` starts from: all, or those of a reservoir.

    The first kappa points fill it; point i then takes the place r = floor(U(0, 1) (i + 1)) where r < kappa.
    """
    if options.full is None or number < options.full or count <= options.kappa:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(key(seed, number, _RESERVOIR))
    draws = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    kept = list(range(options.kappa))
    for i in range(options.kappa, count):
        r = math.floor(draws[i] * (i + 1))
        if r < options.kappa:
            kept[r] = i
    return torch.tensor(kept)


def _labels(model: Model, x: Tensor) -> Tensor:
    """Ask for labels, (n,) int64, and look at nothing else."""
    with torch.no_grad():
        return model(x).argmax(dim=1)
