"""Free adversarial training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.hardening import risen
from workers.losses import cross_entropy
from workers.recipe import Recipe, Round, Step

# In the step's memory: the perturbation, which lasts, and the point of this step, whose gradient moves it.
_PERTURBATION = "perturbation"
_POINT = "point"


@dataclass(frozen=True, kw_only=True)
class FreeAdversarialTraining(Recipe):
    """Each batch is replayed m times, and each backward pass moves the weights and the perturbation at once.

        theta <- theta - rate * grad_theta J(theta, clip(x + delta, 0, 1), y)
        delta <- clip(delta + step_size * sign(grad_x J(theta, clip(x + delta, 0, 1), y)), -epsilon, epsilon)

    `epsilon` in [0, 1] and `step_size` in (0, 1], pixel units, rising over the part `epsilon_ramp` in [0, 1] of the
    training; `batch_replays` m >= 1. The training has 1 / m of its epochs, rounded up, so that the steps are about as
    many as those of standard training. One perturbation, as large as a batch, is handed on from batch to batch, row by
    row; batches differ by a sample at most, and a row that a batch has no use for waits for the next.
    Costs 3 propagations of a batch in each of the m steps, as standard training.

    Source: arXiv:1904.12843, algorithm 1.
    Differs from the paper in: the gradient is taken at the clipped point, where a clip that is differentiated would
    hold a pixel at the edge of [0, 1] for good; the step is a parameter; the ramp.
    """

    epsilon: float
    batch_replays: int
    step_size: float
    epsilon_ramp: float

    @property
    def replays(self) -> int:
        """Steps in a row on the same batch."""
        return self.batch_replays

    @property
    def divisible(self) -> bool:
        """No: the rows of the perturbation belong to the rows of the whole batch."""
        return False

    def rounds(self, epochs: int) -> tuple[Round, ...]:
        """One round of 1 / m of the epochs."""
        return (Round(math.ceil(epochs / self.batch_replays)),)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, step: Step) -> Tensor:
        """J(theta, clip(x + delta, 0, 1), y)."""
        δ = _at_least(len(x), step.memory.get(_PERTURBATION), x)
        point = (x + δ[: len(x)]).clamp(0, 1).requires_grad_()
        step.memory.update({_PERTURBATION: δ, _POINT: point})
        return cross_entropy(model(point), y).mean()

    def after_backward(self, model: nn.Module, step: Step) -> None:
        """Move the perturbation by the gradient that the weights are about to be moved by."""
        del model
        part = risen(step, self.epsilon_ramp)
        g, δ = step.memory.pop(_POINT).grad, step.memory[_PERTURBATION]
        assert g is not None
        α, ε = part * self.step_size, part * self.epsilon
        moved = (δ[: len(g)] + α * g.sign()).clamp(-ε, ε)
        step.memory[_PERTURBATION] = torch.cat([moved, δ[len(g) :]])


def _at_least(rows: int, kept: Tensor | None, x: Tensor) -> Tensor:
    """The perturbation that was kept, with rows of 0 added where there are too few; like the samples of `x`."""
    if kept is None:
        kept = torch.zeros(0, *x.shape[1:], device=x.device)
    missing = torch.zeros(max(0, rows - len(kept)), *x.shape[1:], device=x.device)
    return torch.cat([kept, missing])
