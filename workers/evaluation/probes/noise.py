"""Uniform random points of the ball: what no attack may be weaker than (arXiv:1902.06705, section 4.12)."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.probes.subject import Subject
from workers.threats import BALLS

_PURPOSE = -3


def noise(subject: Subject, x: Tensor, y: Tensor, right: Tensor, plan: ProbePlan) -> Tensor:
    """Return which of the samples that are `right` (P,) at least one of `plan.noise_draws` points breaks, (P,) bool."""
    subject.reseed()
    generator, ball = subject.generator(_PURPOSE), BALLS[plan.norm](plan.epsilon)
    broken, left, tried = torch.zeros_like(right), right.nonzero().squeeze(1), 0
    while tried < plan.noise_draws and len(left) > 0:
        at_once = min(plan.noise_draws - tried, max(1, subject.batch_size // len(left)))
        rows = left.repeat_interleave(at_once)
        points = ball.around(x[rows]).random(generator)
        wrong = subject.logits(points).argmax(dim=1) != y[rows]
        broken[rows[wrong]] = True
        left = left[~broken[left]]
        tried += at_once
    return broken
