"""How the weights are moved: optimisers and learning rates, as functions of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn

# One cycle: shares and divisors of torch's OneCycleLR.
_WARM_UP: Final = 0.3
_FIRST: Final = 25.0
_LAST: Final = 1e4

# Piecewise: the parts of the training after which the rate falls, and by how much each time (arXiv:2002.11569).
_FALLS: Final = (0.5, 0.75)
_FALL: Final = 0.1

Schedule = Literal["one_cycle", "constant", "cyclic", "piecewise", "cosine"]


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
    schedule: Schedule = "one_cycle"
    # Part of a round's steps over which the rate rises linearly, beside what the schedule says.
    warm_up: float = 0.0
    # Decay of the running average of the weights that is the result; 0: the weights themselves are.
    average_decay: float = 0.0
    # Largest Euclidean length of the gradient by all weights; 0: any.
    gradient_clip: float = 0.0
    # Pixels that a picture is shifted by, at most; and whether half of them are mirrored.
    crop_padding: int = 0
    flip: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    # The mode of the network while adversarial examples are made.
    crafting_mode: Literal["eval", "train"] = "eval"


def learning_rate(optimization: Optimization, step: int, steps: int) -> float:
    """The rate of step number `step` of `steps`, from 0 on; a function of the step, so that resuming needs no state.

    With t = (step + 1/2) / steps, the middle of the step:

        one_cycle   from rate / 25 up over the first 30 % of the steps, then down to rate / 250,000, each along half a
                    cosine: torch's OneCycleLR without momentum cycling (arXiv:1708.07120)
        constant    rate
        cyclic      rate (1 - |2 t - 1|), a triangle (arXiv:2001.03994, its CIFAR-10 training)
        piecewise   rate, rate / 10 from t = 1/2 on, rate / 100 from t = 3/4 on (arXiv:2002.11569)
        cosine      rate (1 + cos(pi t)) / 2 (arXiv:1608.03983, without restarts)

    and beside it min(1, (step + 1) / (warm_up steps)) as a factor, which is a linear warm-up (arXiv:1706.02677). One
    cycle and the triangle rise by themselves: the contract allows them no warm-up.
    """
    warming = optimization.warm_up * steps
    factor = min(1.0, (step + 1) / warming) if warming else 1.0
    return factor * _scheduled(optimization, step, steps)


def _scheduled(optimization: Optimization, step: int, steps: int) -> float:
    """The rate without warm-up."""
    rate = optimization.learning_rate
    t = (step + 0.5) / steps
    match optimization.schedule:
        case "one_cycle":
            return _one_cycle(rate, step, steps)
        case "cyclic":
            return rate * (1 - abs(2 * t - 1))
        case "piecewise":
            return rate * _FALL ** sum(t >= fall for fall in _FALLS)
        case "cosine":
            return _cosine(rate, 0.0, t)
        case "constant":
            return rate


def _one_cycle(rate: float, step: int, steps: int) -> float:
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


def move(optimizer: torch.optim.Optimizer, rate: float, weight_decay: float, gradient_clip: float = 0.0) -> None:
    """One step along the gradients there are at `rate`, after theta <- (1 - rate * weight_decay) theta.

    The decay is decoupled from the gradient (arXiv:1711.05101), and the same for both optimisers; as in torch's AdamW
    it is multiplied by the rate. Weights without a gradient stay as they are. A gradient of a Euclidean length above
    `gradient_clip` > 0 is shortened to it (arXiv:1211.5063, algorithm 1).
    """
    (group,) = optimizer.param_groups
    if gradient_clip:
        nn.utils.clip_grad_norm_(group["params"], gradient_clip)
    if weight_decay:
        with torch.no_grad():
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - rate * weight_decay)
    group["lr"] = rate
    optimizer.step()
