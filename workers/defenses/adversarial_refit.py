"""Adversarial training by fitting again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from workers.attacks import fgsm
from workers.attacks.nearest_neighbor import nearest_neighbor
from workers.attacks.tree_walk import tree_walk
from workers.goals import Untargeted
from workers.losses import cross_entropy
from workers.models.classical import DecisionTree, NearestNeighbors, RandomForest, find
from workers.recipe import Recipe, Round, Step
from workers.threats import Linf

# Of the smoothed nearest neighbour; the attack's own default.
_TEMPERATURE: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class AdversarialRefit(Recipe):
    """Fit, attack the training samples, add the copies with their true labels, fit again.

        f_0 = fit(X, Y);   f_{n+1} = fit(X + A(f_0, X) + ... + A(f_n, X), Y + Y + ...)

    `epsilon` in [0, 1] pixel units; `refits` >= 1 times. A is the attack that suits the kind (`copies`). Of linear
    models with `closed_form` the fit minimises the worst case itself instead (`workers.models.classical.robust`). A
    network is trained `refits` + 1 times from the same initial weights, on the clean batch and on the fast gradient
    sign copies that each of its forerunners f_j gives:

        J_n = 1 / (n + 1) [J(f, x, y) + sum_{j < n} J(f, x + epsilon sign(grad_x J(f_j, x, y)), y)]

    Source: arXiv:1312.6199, section 4.2: adversarial examples join the training set.
    Differs from the paper in: see `copies` for the attacks, which are not L-BFGS; all copies are kept for good, where
    the paper replaces them little by little while it trains.
    """

    epsilon: float
    refits: int
    closed_form: bool

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """One network after the other."""
        return (Round(epochs),) * (self.refits + 1)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J_n, of a network."""
        copies = [fgsm(teacher, x, Untargeted(y), Linf(self.epsilon)) for teacher in step.teachers]
        return torch.stack([cross_entropy(model(seen), y).mean() for seen in (x, *copies)]).mean()

    def copies(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the adversarial copies (M, C, H, W) of samples (N, C, H, W) against what was fitted, and their labels.

        The walk for trees and forests, where it gets no further than epsilon; the fast gradient sign method on the
        smoothed neighbour for nearest neighbours; the fast gradient sign method for all others.
        """
        goal, ball = Untargeted(y), Linf(self.epsilon)
        if find(model, DecisionTree) is not None or find(model, RandomForest) is not None:
            x_adv = tree_walk(model, x, goal, ball)
            far = ball.distance(x_adv, x)
            useful = (far > 0) & (far <= self.epsilon)
            return x_adv[useful], y[useful]
        if find(model, NearestNeighbors) is not None:
            return nearest_neighbor(model, x, goal, ball, steps=1, temperature=_TEMPERATURE), y
        return fgsm(model, x, goal, ball), y
