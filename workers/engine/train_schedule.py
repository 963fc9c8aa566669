"""How the weights are moved: optimisers and learning rates, as functions of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

# One cycle: shares and divisors of torch's OneCycleLR.
_WARM_UP = 0.3
_FIRST = 25.0
_LAST = 1e4


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights are moved; mirrors `sparring.v1.Optimization`, where ranges and defaults stand."""

    epochs: int
    # Samples of one step, at most: an epoch is cut into parts that differ by one sample at most.
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.9
    optimizer: Literal["adam", "sgd"] = "adam"
    schedule: Literal["one_cycle", "constant"] = "one_cycle"


def learning_rate(optimization: Optimization, step: int, steps: int) -> float:
    """The rate of step number `step` of `steps`; a function of the step, so that resuming needs no state.

    One cycle (arXiv:1708.07120), as torch's OneCycleLR without momentum cycling: from rate / 25 up to rate over the
    first 30 % of the steps, then down to rate / 250,000, both along half a cosine.
    """
    rate = optimization.learning_rate
    if optimization.schedule == "constant":
        return rate
    top = _WARM_UP * steps - 1
    if step <= top or steps == 1:
        return _cosine(rate / _FIRST, rate, step / top if top > 0 else 1.0)
    return _cosine(rate, rate / _FIRST / _LAST, (step - top) / (steps - 1 - top))


def _cosine(start: float, end: float, part: float) -> float:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


def make_optimizer(optimization: Optimization, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a network's parameters; the loop sets its rate in each step."""
    parameters = list(model.parameters())
    if optimization.optimizer == "sgd":
        momentum = optimization.momentum
        return torch.optim.SGD(parameters, lr=0.0, momentum=momentum, nesterov=momentum > 0, fused=True)
    return torch.optim.Adam(parameters, lr=0.0, betas=(0.9, 0.999), fused=True)


def move(optimizer: torch.optim.Optimizer, rate: float, weight_decay: float) -> None:
    """One step along the gradients there are at `rate`, after theta <- (1 - rate * weight_decay) theta.

    The decay is decoupled from the gradient (arXiv:1711.05101), and the same for both optimisers; as in torch's AdamW
    it is multiplied by the rate.
    """
    (group,) = optimizer.param_groups
    if weight_decay:
        with torch.no_grad():
            for parameter in group["params"]:
                parameter.mul_(1 - rate * weight_decay)
    group["lr"] = rate
    optimizer.step()
