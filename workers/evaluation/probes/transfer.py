"""Adversarial examples of another model, shown to this one (arXiv:1605.07277)."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.frozen import frozen
from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.probes.subject import Subject
from workers.losses import margin
from workers.threats import BALLS

# A step as a part of epsilon, by the number of steps: what they would reach together if none turned back.
_REACH = 2.5


def transferred(source: Subject, subject: Subject, x: Tensor, y: Tensor, plan: ProbePlan) -> Tensor:
    """Return which of the P samples that the subject gets right it gets wrong after an attack on the source, (P,) bool.

    The attack climbs the source's margin with momentum and takes every step, also beyond the source's own boundary:
    what is sure to fool the source fools others more often (arXiv:1710.06081).
    """
    with frozen(source.model):
        source.reseed()
        made = _climbed(source, x, y, plan)
    with frozen(subject.model):
        subject.reseed()
        right = subject.logits(x).argmax(dim=1) == y
        turned: Tensor = right & (subject.logits(made).argmax(dim=1) != y)
    return turned


def _climbed(source: Subject, x: Tensor, y: Tensor, plan: ProbePlan) -> Tensor:
    ball = BALLS[plan.norm](plan.epsilon)
    region, point, momentum = ball.around(x), x, torch.zeros_like(x)
    for _ in range(plan.transfer_steps):
        gradient = source.slope(point, y, margin).gradient
        size = gradient.flatten(1).abs().mean(dim=1).view(-1, *[1] * (x.ndim - 1))
        momentum = momentum + gradient / size.clamp_min(1e-30)
        step = _REACH * plan.epsilon / plan.transfer_steps
        point = region.project(point + step * ball.steepest(momentum, point))
    return point
