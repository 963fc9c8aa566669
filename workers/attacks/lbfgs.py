"""Box-constrained L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from workers.goals import Ascent, Goal, Model
from workers.losses import Loss
from workers.threats import Ball

# Pairs of steps and changes of slope that are remembered.
_MEMORY: Final = 5

# A step is taken if the objective falls by this part of what its slope promised (Armijo's rule).
_ENOUGH: Final = 1e-4

# Otherwise the next one is at least and at most this part of it.
_SHORTER: Final = (0.1, 0.5)

# By what c grows or falls until it is bracketed.
_GROWTH: Final = 10

_TINY: Final = 1e-12


def lbfgs(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,  # noqa: ARG001 the distance is L2's, and how far is too far the engine decides
    *,
    steps: int,
    search_steps: int,
    initial_c: float,
) -> Tensor:
    """Minimise distance and loss together in the box, for the largest weight of the distance that still succeeds.

        minimise over r   c |r|_2 + J(x + r, t),   x + r in [0, 1]^D;   the largest c with argmax z(x + r) = t

    J is the cross-entropy -log p_t; without a target it is -log(1 - p_y), the same of "any class but y". `search_steps`
    rounds, each sample by itself: c grows tenfold from `initial_c` > 0 as long as it succeeds, or falls as long as it
    does not, and is then bisected on a logarithmic scale. Each round starts at x and asks the model `steps` >= 1 times.
    `x` (N, ...) in [0, 1]. Returns the last round's minimisers, detached; the nearest point that reached the goal is
    the engine's to keep. A report's distortion is sqrt(|r|_2^2 / D).

    Source: arXiv:1312.6199, section 4.1. The text asks for the minimum c; it is the maximum that is meant.
    Differs from the paper in: all samples are minimised at once, by projected L-BFGS with two-loop recursion (Nocedal
    and Wright, Numerical Optimization, algorithm 7.4) and backtracking, not by L-BFGS-B; there is a form without a
    target.
    """
    loss = None if goal.targeted else escape
    start = goal.ascent(model, x, loss=loss)
    c = torch.full((len(x),), initial_c, dtype=x.dtype, device=x.device)
    enough, excess = torch.zeros_like(c), torch.full_like(c, torch.inf)  # the largest success, the smallest failure
    last = x
    for _ in range(search_steps):
        last, reached = _minimised(model, x, goal, c, start=start, steps=steps, loss=loss)
        enough = torch.where(reached, enough.maximum(c), enough)
        excess = torch.where(reached, excess, excess.minimum(c))
        middle = (enough * excess).sqrt()
        c = torch.where(excess == torch.inf, _GROWTH * c, torch.where(enough == 0, c / _GROWTH, middle))
    return last


def escape(logits: Tensor, label: Tensor) -> Tensor:
    """Log-probability of any class but the label, log(1 - p_y), (N,): what an attack without a target climbs."""
    others = logits.scatter(1, label.unsqueeze(1), -torch.inf)
    return others.logsumexp(dim=1) - logits.logsumexp(dim=1)


@dataclass(frozen=True)
class _State:
    """A point of each sample, flat, (N, D), with what is minimised there."""

    point: Tensor
    value: Tensor  # (N,)
    slope: Tensor  # (N, D)
    hit: Tensor  # (N,) bool

    @classmethod
    def at(cls, point: Tensor, x: Tensor, c: Tensor, found: Ascent, hit: Tensor) -> _State:
        """Add the distance to what the model says of a point."""
        r = point - x
        length = r.norm(dim=1)
        toward = r / length.clamp_min(_TINY).unsqueeze(1)  # 0 at x itself, where the norm has no slope
        slope = c.unsqueeze(1) * toward - found.gradient.flatten(1)
        return cls(point, c * length - found.objective, slope, hit)

    def where(self, accepted: Tensor, other: _State) -> _State:
        """Return the samples of this state that are accepted, and the others' of the other one."""
        column = accepted.unsqueeze(1)
        return _State(
            torch.where(column, self.point, other.point),
            torch.where(accepted, self.value, other.value),
            torch.where(column, self.slope, other.slope),
            torch.where(accepted, self.hit, other.hit),
        )


def _minimised(
    model: Model, x: Tensor, goal: Goal, c: Tensor, *, start: Ascent, steps: int, loss: Loss | None
) -> tuple[Tensor, Tensor]:
    """Return the best point of each sample for the weights c (N,), and whether it reaches the goal."""
    clean = x.flatten(1)
    now = _State.at(clean, clean, c, start, goal.hit(start.logits))
    memory = _Memory(clean)
    direction, length = memory.descent(now, clean), torch.ones_like(c)
    for _ in range(steps):
        point = torch.addcmul(now.point, direction, length.unsqueeze(1)).clamp_(0, 1)
        found = goal.ascent(model, point.view_as(x), loss=loss)
        new = _State.at(point, clean, c, found, goal.hit(found.logits))
        moved = point - now.point
        promised, got = (now.slope * moved).sum(dim=1), new.value - now.value
        accepted = got <= _ENOUGH * promised
        # Back to where a parabola through what is known has its minimum.
        shorter = (-promised / (2 * (got - promised))).nan_to_num(nan=0.0).clamp(*_SHORTER) * length
        memory.enter(moved, new.slope - now.slope, accepted)
        now = new.where(accepted, now)
        direction = memory.descent(now, clean)
        length = torch.where(accepted, 1.0, shorter)
    return now.point.view_as(x), now.hit


class _Memory:
    """What the last steps taught of the curvature, sample by sample."""

    def __init__(self, like: Tensor) -> None:
        self.moved = like.new_zeros(_MEMORY, *like.shape)  # (M, N, D), the newest first; 0: none yet
        self.change = torch.zeros_like(self.moved)

    def enter(self, moved: Tensor, change: Tensor, accepted: Tensor) -> None:
        """Remember a step (N, D) and the change of the slope along it, where it was taken and curves upward."""
        curves = (moved * change).sum(dim=1) > _TINY * change.square().sum(dim=1)
        column = (accepted & curves).view(1, -1, 1)
        self.moved = torch.where(column, torch.cat([moved.unsqueeze(0), self.moved[:-1]]), self.moved)
        self.change = torch.where(column, torch.cat([change.unsqueeze(0), self.change[:-1]]), self.change)

    def descent(self, state: _State, x: Tensor) -> Tensor:
        """Return -H slope, H the inverse Hessian by the two loops, in the pixels that are free to move, (N, D).

        Without a memory it leads to where the value would be 0 if it were linear. No step is longer than that or than
        what the perturbation has come to: along a distance that is not squared there is next to no curvature.
        """
        g = state.slope
        free = ~(((state.point <= 0) & (g > 0)) | ((state.point >= 1) & (g < 0)))
        g = g * free
        product = (self.moved * self.change).sum(dim=2, keepdim=True)  # (M, N, 1), 0 where there is none
        ρ = torch.where(product > 0, 1 / product, 0)
        q, α = g, []
        for s, y, r in zip(self.moved, self.change, ρ, strict=True):
            α.append(r * (s * q).sum(dim=1, keepdim=True))
            q = q - α[-1] * y
        steepness = g.norm(dim=1, keepdim=True).clamp_min(_TINY)
        reach = state.value.unsqueeze(1).abs() / steepness
        scale = product[0] / self.change[0].square().sum(dim=1, keepdim=True)
        d = q * torch.where(product[0] > 0, scale, reach / steepness)
        for s, y, r, a in reversed(list(zip(self.moved, self.change, ρ, α, strict=True))):
            d = d + s * (a - r * (y * d).sum(dim=1, keepdim=True))
        d = torch.where((d * free * g).sum(dim=1, keepdim=True) > 0, d * free, g * (reach / steepness))
        longest = (state.point - x).norm(dim=1, keepdim=True).maximum(reach)
        part: Tensor = (longest / d.norm(dim=1, keepdim=True).clamp_min(_TINY)).clamp_max(1)
        return -part * d
