"""Whether an adversarial example outlives being saved as a picture of eight bits a channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workers.engine.frozen import device_of, frozen
from workers.engine.looking import look


def rounded(x: Tensor) -> Tensor:
    """Return the nearest grey levels, k / 255 with whole k, as a new tensor; cutting off would darken the picture."""
    return (255 * x).round_().div_(255)


def outlives_rounding(model: nn.Module, x_adv: Tensor, prediction: Tensor, *, batch_size: int) -> Tensor:
    """Return where the model still answers `prediction` (N,) to `x_adv` (N, ...) rounded to grey levels, (N,) bool.

    Rounding moves a pixel by at most 0.5 / 255: a perturbation that small may be lost altogether.
    """
    kept = torch.ones(len(x_adv), dtype=torch.bool, device=x_adv.device)
    device = device_of(model)
    with frozen(model):
        for begin in range(0, len(x_adv), batch_size):
            part = slice(begin, begin + batch_size)
            answer = look(model, rounded(x_adv[part]).to(device)).argmax(dim=1)
            kept[part] = answer.to(kept.device) == prediction[part]
    return kept
