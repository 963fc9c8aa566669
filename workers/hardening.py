"""What the defenses share that train on adversarial examples: how the examples of a batch are made, and how far away.

Examples are made afresh in each step, in the mode of `Step.crafting`, with gradients of the input alone; they come
detached. Costs are in propagations of the batch: a forward pass, a backward pass to the input and the gradient by the
weights count 1 each.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from workers.attacks import fgsm, pgd
from workers.goals import Goal, Targeted, Untargeted
from workers.losses import cross_entropy, kl
from workers.recipe import Step
from workers.threats import Ball, Linf, draw

AttackLabel = Literal["predicted", "true", "least_likely"]

# Standard deviation of the noise that the search for another prediction starts from (arXiv:1901.08573, algorithm 1):
# at the sample itself the divergence has no slope.
_OFF = 0.001


class Inner(Protocol):
    """The parameters of an iterated inner attack in the ball of L-infinity, as a defense has them."""

    @property
    def epsilon(self) -> float:
        """Radius in [0, 1], pixel units."""

    @property
    def steps(self) -> int:
        """Steps, >= 1."""

    @property
    def step_size(self) -> float:
        """Length of a step, above 0, pixel units."""

    @property
    def epsilon_ramp(self) -> float:
        """Part of the training over which epsilon and the step rise from 0, in [0, 1]."""


def risen(step: Step, epsilon_ramp: float) -> float:
    """How much of epsilon there is at this step: it rises linearly from 0 to 1 over the first part of the training.

    Without a ramp small nets do not leave the plateau of constant answers at large epsilon.
    """
    return step.progress / epsilon_ramp if step.progress < epsilon_ramp else 1.0


def one_step(model: nn.Module, x: Tensor, y: Tensor, step: Step, ball: Ball, *, label: AttackLabel) -> Tensor:
    """FGSM away from the true label or the model's own prediction, or towards the class that it finds least likely.

    Prediction and least likely class are read off the forward pass that the gradient needs anyway. Costs 2.
    """
    goal: Goal = Untargeted(y, cross_entropy if label == "true" else _of_predicted)
    if label == "least_likely":
        goal = Targeted(y, _of_least_likely)
    with step.crafting(model):
        return fgsm(model, x, goal, ball)


def pgd_examples(model: nn.Module, x: Tensor, y: Tensor, step: Step, inner: Inner) -> Tensor:
    """PGD on the cross-entropy from a random start, at the present radius. Costs 2 K for K steps."""
    part = risen(step, inner.epsilon_ramp)
    with step.crafting(model):
        return pgd(
            model,
            x,
            Untargeted(y),
            Linf(part * inner.epsilon),
            steps=inner.steps,
            step_size=part * inner.step_size,
            random_start=True,
            generator=step.generator,
        )


def kl_examples(model: nn.Module, x: Tensor, step: Step, inner: Inner) -> Tensor:
    """Steps away from the prediction itself, at the present radius (arXiv:1901.08573, algorithm 1).

        x_0 = x + 0.001 N(0, I);   x_{n+1} = Proj_{x+S}(x_n + step_size * sign(grad KL(p(x) || p(x_n))))

    p(x) is computed once. Costs 2 K + 1 for K steps.
    """
    part = risen(step, inner.epsilon_ramp)
    ball = Linf(part * inner.epsilon)
    S = ball.around(x)
    with step.crafting(model):
        with torch.no_grad():
            z = model(x)
        # What is to be left is no label but a prediction, by its logits.
        goal = Untargeted(z, kl)
        xₙ = S.project(x + _OFF * draw(torch.randn, x, step.generator))
        for _ in range(inner.steps):
            xₙ = S.project(xₙ + part * inner.step_size * ball.steepest(goal.gradient(model, xₙ)))
    return xₙ


def trades_loss(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, beta: float) -> Tensor:
    """J(theta, x, y) + beta * KL(p(x) || p(x_adv)), the mean of the batch (arXiv:1901.08573, eq. 5). Costs 6."""
    z = model(x)
    return cross_entropy(z, y).mean() + beta * kl(model(x_adv), z).mean()


def _of_predicted(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of the prediction."""
    del label
    return cross_entropy(logits, logits.argmax(dim=1))


def _of_least_likely(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of the least likely class."""
    del label
    return cross_entropy(logits, logits.argmin(dim=1))
