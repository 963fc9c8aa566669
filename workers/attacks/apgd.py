"""Auto-PGD: projected ascent that chooses its own step."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.threats import L1, Ball, Generators

# The weight of the new direction against the last step.
_ALPHA: Final = 0.75
# L1: how many times epsilon the ball has, and up to which part of the steps.
_PHASES: Final = ((3.0, 0.3), (2.0, 0.6), (1.0, 1.0))
# L1: by what the step, and the number of pixels that it moves, are divided.
_SHRINK: Final = 1.5
# L1: what is left of the changed pixels where the best point has become sparser.
_SPARSER: Final = 0.95


def apgd(model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, rho: float, generator: Generators) -> Tensor:
    """Steepest ascent with momentum, whose step is halved, back at the best point, wherever progress has stalled.

        z_{k+1} = P(x_k + eta steepest(grad f(x_k)))
        x_{k+1} = P(x_k + alpha (z_{k+1} - x_k) + (1 - alpha) (x_k - x_{k-1})),   alpha = 0.75, in the first step 1
        eta = 2 epsilon; at the checkpoints w_j = ceil(p_j steps) it is halved, and x_k = x_max, if
            f has risen in less than rho (w_j - w_{j-1}) of the steps since the last one, or
            neither eta nor the largest f so far has changed since the last one
        p_0 = 0,  p_1 = 0.22,  p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)

    L1 has a form of its own, without momentum and `rho`: see `_sparse`. `x` (N, ...) in [0, 1]; x_0 is a random point
    of the ball; `steps` >= 1 gradients; 0 <= `rho` <= 1. Returns x_steps, detached. The objective f (which loss, and
    the sign of a target) is the goal's; restarts, and a run towards each class, which makes it APGD-T, the engine's.

    Source: arXiv:2003.01690, algorithm 1 and section 3.1; L1: arXiv:2103.01208, algorithm 1 and section 4.
    Differs from the papers in: f is not asked for at x_steps, which the engine looks at anyway; in L1, pixels that are
    at the end of the box and would have to go beyond are not among those that move.
    """
    if isinstance(ball, L1):
        return _sparse(model, x, goal, ball, steps=steps, generator=generator)
    return _dense(model, x, goal, ball, steps=steps, rho=rho, generator=generator)


def _dense(model: Model, x: Tensor, goal: Goal, ball: Ball, *, steps: int, rho: float, generator: Generators) -> Tensor:
    """Run algorithm 1 of arXiv:2003.01690; see `apgd`."""
    S, marks = ball.around(x), _checkpoints(steps)
    η = torch.as_tensor(2 * ball.radius(x), dtype=x.dtype, device=x.device).expand(len(x), *[1] * (x.ndim - 1))
    xₖ = x_before = S.random(generator)
    best, f_before = _Best(xₖ), x.new_full((len(x),), torch.inf)
    f_mark, rises, last = best.f, torch.zeros_like(best.f), 0
    halved = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for k in range(steps):
        g, _, f = goal.ascent(model, xₖ)
        best.enter(xₖ, g, f)
        f_before, rises = f, rises + (f > f_before)
        if k in marks:
            halved = (rises < rho * (k - last)) | (~halved & (best.f == f_mark))
            η = torch.where(_over(halved, x), η / 2, η)
            xₖ, g = best.instead_of(xₖ, g, where=halved)
            f_mark, last, rises = best.f, k, torch.zeros_like(rises)
        z = S.project(xₖ + η * ball.steepest(g))
        α = 1 if k == 0 else _ALPHA
        x_before, xₖ = xₖ, S.project(xₖ.lerp(z, α).add_(xₖ - x_before, alpha=1 - α))
    return xₖ


def _checkpoints(steps: int) -> frozenset[int]:
    """Return w_1, w_2, ..., those below `steps`."""
    marks, before, p = [], 0.0, 0.22
    while p < 1:
        marks.append(math.ceil(round(p * steps, 9)))
        before, p = p, p + max(p - before - 0.03, 0.06)
    return frozenset(marks)


def _sparse(model: Model, x: Tensor, goal: Goal, ball: L1, *, steps: int, generator: Generators) -> Tensor:
    """Climb in L1, moving few pixels at a time, and the fewer the sparser the best point is.

        x_{k+1} = P(x_k + eta s / |s|_1),   s the signs of the n largest gradients that the box lets a pixel follow
        n = 0.2 D, eta = epsilon; then every ceil(0.04 steps) steps, with x_max the best point so far,
            n = |x_max - x|_0 / 1.5
            where that has fallen by 5 %: eta = epsilon and x_k = x_max, else eta = max(eta / 1.5, epsilon / 10)

    First for three tenths of the steps in a ball of 3 epsilon, then as long in one of 2 epsilon, the rest in the ball
    itself; each begins at the projected best point of the one before. Points of the larger balls are no candidates.
    """
    xₖ, begin = L1(_PHASES[0][0] * ball.epsilon).around(x).random(generator), 0
    for factor, end in _PHASES:
        larger, until = L1(factor * ball.epsilon), round(end * steps)
        xₖ = larger.around(x).project(xₖ)
        if until > begin:
            # Where nothing has been learned yet, a fifth of the pixels move.
            density = x.new_full((len(x),), 0.2) if begin == 0 else _density(xₖ, x) / _SHRINK
            xₖ = _climb(model, x, goal, larger, xₖ, density=density, steps=until - begin, last=factor == 1)
            begin = until
    return xₖ


def _climb(
    model: Model, x: Tensor, goal: Goal, ball: L1, start: Tensor, *, density: Tensor, steps: int, last: bool
) -> Tensor:
    """Run algorithm 1 of arXiv:2103.01208 from `start` on: the best point, or after the last phase the last one.

    `density` (N,) is the share of the pixels that a step moves.
    """
    S, ε = ball.around(x), torch.as_tensor(ball.radius(x), dtype=x.dtype, device=x.device)
    xₖ, best, η, sparsity = start, _Best(start), ε, torch.ones_like(density)
    every = max(1, int(0.04 * steps))
    for k in range(steps):
        g, _, f = goal.ascent(model, xₖ, candidates=last)
        best.enter(xₖ, g, f)
        if k > 0 and k % every == 0:
            now = _density(best.x, x)
            sparser = now < _SPARSER * sparsity
            η = torch.where(_over(sparser, x), ε, (η / _SHRINK).maximum(ε / 10))
            xₖ, g = best.instead_of(xₖ, g, where=sparser)
            density, sparsity = now / _SHRINK, now
        xₖ = S.project(xₖ + η * _signs(g, xₖ, density))
    return xₖ if last else best.x


def _signs(g: Tensor, x: Tensor, density: Tensor) -> Tensor:
    """Return s / |s|_1 for a share of the pixels, those with the largest gradients; at least one."""
    blocked = ((x <= 0) & (g < 0)) | ((x >= 1) & (g > 0))
    flat = g.masked_fill(blocked, 0).flatten(1)
    size, D = flat.abs(), flat.shape[1]
    rank = (density * D).long().clamp(1, D).unsqueeze(1) - 1
    least = size.sort(dim=1, descending=True).values.gather(1, rank)
    s = flat.sign().masked_fill_(size < least, 0)
    return s.div_(s.abs().sum(dim=1, keepdim=True).clamp_min_(1)).view(g.shape)


def _density(point: Tensor, x: Tensor) -> Tensor:
    """Return the share of the pixels that differ, (N,)."""
    return (point != x).flatten(1).float().mean(dim=1)


class _Best:
    """The highest point of each sample so far, with its gradient."""

    def __init__(self, start: Tensor) -> None:
        self.x, self.g = start, torch.zeros_like(start)
        self.f = start.new_full((len(start),), -torch.inf)

    def enter(self, x: Tensor, g: Tensor, f: Tensor) -> None:
        """Look at one more point of each sample."""
        better = f > self.f
        over = _over(better, x)
        self.x, self.g = torch.where(over, x, self.x), torch.where(over, g, self.g)
        self.f = torch.where(better, f, self.f)

    def instead_of(self, x: Tensor, g: Tensor, *, where: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and gradients, the best ones for some of the samples."""
        over = _over(where, x)
        return torch.where(over, self.x, x), torch.where(over, self.g, g)


def _over(mask: Tensor, like: Tensor) -> Tensor:
    """Shape (N,) so that it broadcasts over (N, ...)."""
    return mask.view(-1, *[1] * (like.ndim - 1))
