"""Adversarial training at scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.hardening import AttackLabel, one_step
from workers.losses import cross_entropy
from workers.recipe import Recipe, Step
from workers.threats import Linf

# Standard deviations up to which an epsilon is drawn, and the probability of a draw between 0 and there.
_CUT = 2.0
_BELOW_CUT = math.erf(_CUT / math.sqrt(2)) / 2


@dataclass(frozen=True, kw_only=True)
class AdversarialTrainingAtScale(Recipe):
    """The first k of the m samples of each batch are replaced by one-step examples, which count less than clean ones.

    (lambda sum_{i <= k} J(theta, x_adv_i, y_i) + sum_{i > k} J(theta, x_i, y_i)) / ((m - k) + lambda k)

    `adversarial_share` k / m in [0, 1]; `adversarial_weight` lambda > 0; `epsilon` in [0, 1] pixel units. With
    `epsilon_drawn` each example has an epsilon of its own, from N(0, epsilon / 2) cut to [0, epsilon]: a model trained
    at one epsilon learns that one only. `attack_label` "least_likely" takes the step towards the class that the model
    finds least likely, "predicted" and "true" away from that label; the true one is leaked by the examples. Clean and
    adversarial samples pass as one batch, of which batch normalisation learns.
    Costs 3 + 2 k / m propagations of a batch.

    Source: arXiv:1611.01236, section 3 with algorithm 1 and eq. 1; section 4.1 for lambda 0.3 and k / m 1/2.
    Differs from the paper in: k is rounded where share and batch do not give a whole number; examples are crafted in
    eval mode.
    """

    epsilon: float
    adversarial_share: float
    adversarial_weight: float
    epsilon_drawn: bool
    attack_label: AttackLabel

    @property
    def divisible(self) -> bool:
        """No: it is the first samples of the whole batch that are replaced."""
        return False

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """Equation 1."""
        k = round(self.adversarial_share * len(x))
        mixed, weight = x.clone(), torch.ones(len(x), device=x.device)
        if k > 0:
            ε = self._drawn(k, step).to(x.device) if self.epsilon_drawn else self.epsilon
            mixed[:k] = one_step(model, x[:k], y[:k], step, Linf(ε), label=self.attack_label)
            weight[:k] = self.adversarial_weight
        J = weight * cross_entropy(model(mixed), y)
        return J.sum() / weight.sum()

    def _drawn(self, count: int, step: Step) -> Tensor:
        """Epsilons from the positive half of N(0, epsilon / 2) up to epsilon, by the inverse of its distribution."""
        u = torch.rand(count, generator=step.generator, dtype=torch.float64)
        drawn: Tensor = self.epsilon / _CUT * torch.special.ndtri(0.5 + u * _BELOW_CUT)
        return drawn.clamp(0, self.epsilon).float()
