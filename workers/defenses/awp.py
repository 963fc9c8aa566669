"""Adversarial weight perturbation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from workers.hardening import kl_examples, pgd_examples, trades_loss
from workers.losses import cross_entropy
from workers.recipe import Recipe, Step

# In the step's memory: the weights w, by their names, while the network has w + v.
_KEPT = "kept/"
# Keeps 0 / 0 out of a gradient that vanishes.
_TINY = 1e-30


@dataclass(frozen=True, kw_only=True)
class AdversarialWeightPerturbation(Recipe):
    """The gradient of PGD training or of TRADES, taken at weights that were moved a little to raise the loss.

        min_w E max_{v} rho(w + v),   ||v_l|| <= gamma ||w_l|| for the weights w_l of each layer
        v_l = gamma * ||w_l|| * g_l / ||g_l||,   g = grad_w rho(w) at the examples made for w
        w <- (w + v) - rate * grad rho(w + v) - v

    `base` says what rho is: cross-entropy on PGD examples, or TRADES with its `beta`. `epsilon` in [0, 1] and
    `step_size` in (0, 1], pixel units; `steps` K >= 1 of the inner attack; `gamma` in [0, 1]. Weights are perturbed
    from the part `awp_warm_up` of the training on; epsilon and the step rise over the part `epsilon_ramp`. Vectors
    (biases, normalisation) are left alone.
    Costs 2 K + 6 propagations of a batch on PGD, 2 K + 13 on TRADES: 3 or 6 more than without.

    Source: arXiv:2004.05884, eq. 7 to 10 and algorithm 1, with one step for v.
    Differs from the paper in: the ramp; v is found in the mode that examples are crafted in, so that batch
    normalisation learns nothing from it.
    """

    base: Literal["pgd", "trades"]
    epsilon: float
    steps: int
    step_size: float
    gamma: float
    beta: float
    awp_warm_up: float
    epsilon_ramp: float

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """rho(w + v); the model is left at w + v until the loss has been differentiated."""
        if self.base == "trades":
            ρ = partial(trades_loss, model, x, kl_examples(model, x, step, self), y, self.beta)
        else:
            ρ = partial(_adversarial_loss, model, pgd_examples(model, x, y, step, self), y)
        if step.progress >= self.awp_warm_up:
            self._perturb(model, ρ, step)
        return ρ()

    def after_backward(self, model: nn.Module, step: Step) -> None:
        """Give the weights back, to the bit."""
        with torch.no_grad():
            for name, w in model.named_parameters():
                if _KEPT + name in step.memory:
                    w.copy_(step.memory.pop(_KEPT + name))

    def _perturb(self, model: nn.Module, ρ: Callable[[], Tensor], step: Step) -> None:
        """Move the weights from w to w + v."""
        weights = {name: w for name, w in model.named_parameters() if w.ndim > 1 and w.requires_grad}
        with step.crafting(model):
            gradients = torch.autograd.grad(ρ(), list(weights.values()), materialize_grads=True, allow_unused=True)
        step.unite(gradients)
        with torch.no_grad():
            for (name, w), g in zip(weights.items(), gradients, strict=True):
                step.memory[_KEPT + name] = w.clone()
                w.add_(self.gamma * w.norm() * g / g.norm().clamp_min(_TINY))


def _adversarial_loss(model: nn.Module, x_adv: Tensor, y: Tensor) -> Tensor:
    """J(theta, x_adv, y)."""
    return cross_entropy(model(x_adv), y).mean()
