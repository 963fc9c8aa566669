"""Losses per sample, from logits; the attacks climb them and the defenses descend them.

Legend: z (N, K) logits, y (N,) int64 labels in [0, K), K classes. Every function returns (N,), never a mean: a mean
would scale each sample's input gradient by 1/N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from workers.failures import Rejected

Loss = Callable[[Tensor, Tensor], Tensor]

# The widest spread of logits at which float32 still tells the probability of the first from 1: 1 - p_y may be as small
# as e^-16 = 1.1e-7, the resolution below 1 is 2^-24 = 6.0e-8.
_UNSATURATED: Final = 16.0


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Minus the log-probability of the label.

    J(z, y) = log sum_k exp(z_k) - z_y

    Its input gradient vanishes in float32 once z_y leads by about 100: try `rescaled_cross_entropy`, `margin` or `dlr`
    where it does.
    """
    return F.cross_entropy(logits, label, reduction="none")


def rescaled_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of logits that are shrunk to a spread of 16 where it is wider, so that softmax does not saturate.

    J(z min(1, 16 / (max z - min z)), y), the factor held constant in the gradient

    Where the spread is at most 16 it is plain cross-entropy; no factor on the logits makes its gradient vanish, whether
    they come from a temperature (arXiv:1511.04508) or from a defence that multiplies them. The factor is one for all
    logits of a sample, so the order of the classes stays.
    """
    z = logits.detach()
    spread = z.amax(dim=1, keepdim=True) - z.amin(dim=1, keepdim=True)
    return cross_entropy(logits * (_UNSATURATED / spread.clamp_min(_UNSATURATED)), label)


def margin(logits: Tensor, label: Tensor) -> Tensor:
    """How far the best other class leads the label; positive exactly where the label has lost.

    f(z, y) = max_{k != y} z_k - z_y

    Source: arXiv:1608.04644, f_6 without its clamp and with the sign of an untargeted attack. The label is masked by
    minus infinity: masking by 0, as some libraries do, gives 0 where every logit is negative.
    """
    own = label.unsqueeze(1)  # (N, 1)
    rivals = logits.scatter(1, own, -torch.inf)
    return rivals.amax(dim=1) - logits.gather(1, own).squeeze(1)


def dlr(logits: Tensor, label: Tensor) -> Tensor:
    """Difference of logits ratio: the margin, freed from the logits' scale as well as their offset.

    DLR(z, y) = (max_{k != y} z_k - z_y) / (z_(1) - z_(3)), with z_(1) >= z_(2) >= ... the sorted logits

    Source: arXiv:2003.01690, eq. 6. Needs K >= 3. Where the three largest logits are equal the ratio is 0 / 1e-12.
    """
    largest = _largest(logits, 3)
    return margin(logits, label) / (largest[:, 0] - largest[:, 2]).clamp_min(1e-12)


def dlr_targeted(logits: Tensor, label: Tensor) -> Tensor:
    """The DLR of a class that is to win; eq. 6 would be constant where that class comes third.

    DLR(z, t) = (max_{k != t} z_k - z_t) / (z_(1) - (z_(3) + z_(4)) / 2)

    Source: arXiv:2003.01690, eq. 7. Needs K >= 4. Descending it also lifts the leading class as long as t comes after
    the third and fourth, so for distant targets `margin` is the stronger choice.
    Differs from the paper in: the rival is the best other class, not the true label. Where the label still leads they
    are the same, in value and in slope; where it does not, an untargeted attack has reached its goal.
    """
    largest = _largest(logits, 4)
    spread = largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2
    return margin(logits, label) / spread.clamp_min(1e-12)


def dlr_steered(logits: Tensor, label: Tensor) -> Tensor:
    """The DLR of a class that any attack may be steered to: with fewer than four classes, `margin` takes its place."""
    return (dlr_targeted if logits.shape[1] >= 4 else margin)(logits, label)


def kl(logits: Tensor, reference: Tensor) -> Tensor:
    """Divergence of the prediction from a reference prediction, both given as logits (N, K).

    KL(p || q) = sum_k p_k (log p_k - log q_k), with p = softmax(reference), q = softmax(logits)

    Source: arXiv:1901.08573, eq. 5. Not negative; 0 where the two predictions agree.
    """
    log_q, log_p = F.log_softmax(logits, dim=1), F.log_softmax(reference, dim=1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


# What an attack can climb, by the name that stands in the contract (LOSS_CROSS_ENTROPY, ...): away from a label, what
# it can descend towards a target, and what towards a class that is only a way out of the label's (`goals.Steered`).
LOSSES: Final[dict[str, Loss]] = {
    "cross_entropy": cross_entropy,
    "dlr": dlr,
    "margin": margin,
    "rescaled_cross_entropy": rescaled_cross_entropy,
}
TARGETED_LOSSES: Final[dict[str, Loss]] = {**LOSSES, "dlr": dlr_targeted}
STEERED_LOSSES: Final[dict[str, Loss]] = {**LOSSES, "dlr": dlr_steered}


def _largest(logits: Tensor, count: int) -> Tensor:
    """Return the largest logits in descending order, (N, count)."""
    classes = logits.shape[1]
    if classes < count:
        raise Rejected(
            "TOO_FEW_CLASSES", f"this form of DLR needs {count} classes, the model has {classes}; use margin"
        )
    return logits.topk(count, dim=1).values
