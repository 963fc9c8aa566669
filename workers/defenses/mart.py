"""Misclassification-aware adversarial training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workers.hardening import pgd_examples
from workers.losses import cross_entropy, kl
from workers.recipe import Recipe, Step


@dataclass(frozen=True, kw_only=True)
class Mart(Recipe):
    """A cross-entropy with a margin on PGD examples, and a divergence that counts most on misclassified samples.

        BCE(p(x_adv), y) + beta * KL(p(x) || p(x_adv)) * (1 - p_y(x))
        BCE(p, y) = -log p_y - log(1 - max_{k != y} p_k)

    `epsilon` in [0, 1] and `step_size` in (0, 1], pixel units; `steps` K >= 1 of the inner attack, PGD on the
    cross-entropy; `beta` >= 0, which is lambda in the paper. Epsilon and the step rise over the part `epsilon_ramp` in
    [0, 1] of the training.
    Costs 2 K + 6 propagations of a batch.

    Source: Wang, Zou, Yi, Bailey, Ma, Gu, "Improving adversarial robustness requires revisiting misclassified
    examples", ICLR 2020, eq. 8 to 12 and algorithm 1.
    Differs from the paper in: the ramp; the start is uniform in the ball.
    """

    epsilon: float
    steps: int
    step_size: float
    beta: float
    epsilon_ramp: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """BCE(p(x_adv), y) + beta * KL(p(x) || p(x_adv)) * (1 - p_y(x))."""
        x_adv = pgd_examples(model, x, y, step, self)
        z, z_adv = model(x), model(x_adv)
        p_y = z.softmax(dim=1).gather(1, y.unsqueeze(1)).squeeze(1)
        missed: Tensor = kl(z_adv, z) * (1 - p_y)
        return _boosted(z_adv, y).mean() + self.beta * missed.mean()


def _boosted(logits: Tensor, label: Tensor) -> Tensor:
    """-log p_y - log(1 - max_{k != y} p_k), (N,); the second term as the log of the sum of all other p."""
    log_p, own = F.log_softmax(logits, dim=1), label.unsqueeze(1)
    rival = log_p.scatter(1, own, -torch.inf).argmax(dim=1, keepdim=True)
    others = log_p.scatter(1, rival, -torch.inf).logsumexp(dim=1)
    return cross_entropy(logits, label) - others
