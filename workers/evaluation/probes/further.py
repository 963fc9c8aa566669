"""Gradient steps from where the attacks ended: whether they had come to an end at all (arXiv:2106.09947)."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.evaluation.probes.plan import ProbePlan
from workers.evaluation.probes.subject import Subject, spread
from workers.losses import margin
from workers.threats import BALLS

# The first step as a part of epsilon; it shrinks to nothing in equal steps.
_FIRST = 0.25


def further(
    subject: Subject, x: Tensor, y: Tensor, plan: ProbePlan, *, start: Tensor, held: Tensor
) -> dict[str, Tensor]:
    """Follow the margin from `start` (P, C, H, W), on the samples that `held` (P,) out against every attack.

    further: steps of the gradient broke it, (P,) bool; a fresh forward agrees. gain: how much the margin has risen, as
    a part of what the logits are apart; 0 for samples that did not hold.
    """
    subject.reseed()
    broken, gain = torch.zeros_like(held), torch.zeros(len(held))
    rows = held.nonzero().squeeze(1)
    if len(rows) == 0 or plan.further_steps == 0:
        return {"further": broken, "gain": gain}
    ball, label = BALLS[plan.norm](plan.epsilon), y[rows]
    region, point = ball.around(x[rows]), start[rows]
    begun = subject.logits(point)
    best, points = margin(begun, label), point.clone()
    for step in range(plan.further_steps):
        length = _FIRST * plan.epsilon * (1 - step / plan.further_steps)
        slope = subject.slope(point, label, margin)
        better = slope.objective > best
        best, points[better] = torch.maximum(best, slope.objective), point[better]
        point = region.project(point + length * ball.steepest(slope.gradient, point))
    last = margin(subject.logits(point), label)
    points[last > best] = point[last > best]
    confirmed = margin(subject.logits(points), label)
    broken[rows] = confirmed > 0
    gain[rows] = (confirmed - margin(begun, label)) / spread(begun)
    return {"further": broken, "gain": gain}
