"""Projected gradient descent in expectation over photographs."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from workers.goals import Goal, Model
from workers.photo import Shots, Strengths, draw_shots, photograph
from workers.threats import Ball, Generators


def eot_pgd(
    model: Model,
    x: Tensor,
    goal: Goal,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    samples: int,
    perspective: float,
    crop: float,
    blur: float,
    jpeg_quality: float,
    noise: float,
    brightness: float,
    contrast: float,
    generator: Generators,
) -> Tensor:
    """Steepest ascent of the mean objective over random simulated photographs T of a print of the picture.

        x_0 = x;   x_{n+1} = Proj_{x+S}(x_n + step_size * steepest(mean_{i <= samples} grad_x J(T_i(x_n), y)))

    The T_i are drawn anew in each step, for each sample from its own stream; strengths as in `workers.photo.Strengths`.
    `x` (N, C, H, W) in [0, 1], C = 1 or 3; `steps`, `samples` >= 1; `step_size` > 0 in units of pixels in [0, 1].
    Returns x_steps, detached. What is judged at the end is x_steps itself, not a photograph of it; no point in between
    is a candidate, because one that fools the model as it is need not do so when it is photographed.

    Source: arXiv:1707.07397, section 2.1, eq. 1; the transformations are those of arXiv:1607.02533, sections 3 and 4.
    Differs from the paper in: a ball in place of the penalty on the distance in LAB space, steepest steps in place of
    plain ones, and a print that is flat.
    """
    S, xₙ = ball.around(x), x
    strengths = Strengths(
        perspective=perspective,
        crop=crop,
        blur=blur,
        jpeg_quality=jpeg_quality,
        noise=noise,
        brightness=brightness,
        contrast=contrast,
        gamma=0,
    )
    for _ in range(steps):
        g = torch.zeros_like(x)
        for _ in range(samples):
            T = draw_shots(strengths, x, generator)
            g += goal.gradient(partial(_photographed, model, T), xₙ, candidates=False)
        xₙ = S.project(xₙ.add(ball.steepest(g), alpha=step_size))
    return xₙ


def _photographed(model: Model, shots: Shots, x: Tensor) -> Tensor:
    return model(photograph(x, shots))
