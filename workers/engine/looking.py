"""Forwards that are judged: without a graph, and with logits that can be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workers.failures import Rejected
from workers.goals import Model


def look(model: Model, x: Tensor) -> Tensor:
    """Return the logits (N, K) of one forward without a graph; raises `Rejected` where they can't be judged."""
    with torch.no_grad():
        return checked(model(x.clone()).float(), x)  # a copy, for models that write into their input


def checked(logits: Tensor, x: Tensor) -> Tensor:
    """Return the logits of `x` as they are; raises `Rejected` where they can't be judged."""
    if logits.ndim != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise Rejected("BAD_LOGITS", f"the model must return logits (N, classes >= 2), not {tuple(logits.shape)}")
    low, high = (float(bound) for bound in logits.detach().aminmax())  # both NaN where any logit is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Rejected("LOGITS_NOT_FINITE", "the model returns NaN or infinite logits; check its weights and training")
    return logits


def answers(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the predictions (N,) of logits (N, K) and their probabilities (N,).

    The class is read off the logits: near the boundary two of them may differ where their probabilities do not.
    """
    prediction = logits.argmax(dim=1)
    return prediction, logits.softmax(dim=1).gather(1, prediction.unsqueeze(1)).squeeze(1)
