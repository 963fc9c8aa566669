"""Whether the gradient says what the output does.

    flat        the gradient of the margin is exactly zero, or not finite
    saturated   that of the cross-entropy is, and that of the margin is not: softmax gave 1 in float32
    mismatch    how far the change of the margin along a line is from the integral of its slope, 0 to 1; -1 not judged
    unstable    how much the margin changes one grey level away, as a part of what the logits are apart

For anything that is differentiable almost everywhere and has no steps, f(x + d) - f(x) = int_0^1 grad f(x + t d).d dt.
A layer that rounds has slope 0 and yet a changing output, one with a straight-through gradient the reverse; curvature
alone does not break the equation, so there is no step size to choose as in finite differences at one point. Lines lead
a part of the way to other pictures of the batch: random directions hardly move a picture's logits.

    mismatch = |f(x + d) - f(x) - I| / (|f(x + d) - f(x)| + |I|),   I the mean of 8 slopes along d

Sources: arXiv:1802.00420 (shattered gradients), arXiv:2106.09947 (unavailable gradients, unstable predictions).
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.evaluation.probes.subject import Subject, spread
from workers.losses import cross_entropy, margin

# Midpoints of a line, and the part of the way to another picture that it goes.
_POINTS, _REACH = 8, 0.2

# Changes below this part of what the logits are apart are not told from rounding.
_NOTHING = 1e-3

_GREY_LEVEL, _UNSTABLE_DRAWS, _PURPOSE = 1 / 255, 2, -4


def slopes(subject: Subject, x: Tensor, y: Tensor, lines: int) -> dict[str, Tensor]:
    """Ask for slopes at the P samples `x` (P, C, H, W) with labels `y` (P,), and along `lines` lines from each."""
    subject.reseed()
    steepest = subject.slope(x, y, margin)
    flat = _gives_none(steepest.gradient)
    saturated = _gives_none(subject.slope(x, y, cross_entropy).gradient) & ~flat
    scale = spread(steepest.logits)
    return {
        "flat": flat,
        "saturated": saturated,
        "mismatch": _mismatch(subject, x, y, scale, lines),
        "unstable": _unstable(subject, x, y, scale),
    }


def _gives_none(gradient: Tensor) -> Tensor:
    steepness = gradient.flatten(1).abs().amax(dim=1)
    return ~((steepness > 0) & (steepness < torch.inf))


def _mismatch(subject: Subject, x: Tensor, y: Tensor, scale: Tensor, lines: int) -> Tensor:
    """Return the mean over the lines that changed anything; -1 where none did, or there are none."""
    total, judged = torch.zeros(len(x)), torch.zeros(len(x))
    for line in range(1, lines + 1):
        others = 1 - x if len(x) == 1 else x.roll(line % (len(x) - 1) + 1, dims=0)
        way = _REACH * (others - x)
        ends = margin(subject.logits(x + way), y) - margin(subject.logits(x), y)
        along = torch.zeros(len(x))
        for point in range(_POINTS):
            slope = subject.slope(x + (point + 0.5) / _POINTS * way, y, margin).gradient
            along += (slope * way).flatten(1).sum(dim=1) / _POINTS
        size = torch.maximum(ends.abs(), along.abs())
        told = size > _NOTHING * scale
        total += torch.where(told, (ends - along).abs() / (ends.abs() + along.abs()).clamp_min(1e-30), 0)
        judged += told
    return torch.where(judged > 0, total / judged.clamp_min(1), -1)


def _unstable(subject: Subject, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    generator, here = subject.generator(_PURPOSE), margin(subject.logits(x), y)
    change = torch.zeros(len(x))
    for _ in range(_UNSTABLE_DRAWS):
        nearby = x + _GREY_LEVEL * torch.randint(0, 2, x.shape, generator=generator).mul_(2).sub_(1)
        change += (margin(subject.logits(nearby.clamp_(0, 1)), y) - here).abs() / _UNSTABLE_DRAWS
    return change / scale
