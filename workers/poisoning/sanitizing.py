"""What a defender keeps of samples that may be poisoned."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workers.data import Dataset
from workers.models import Classifier
from workers.poisoning.learner import Learner, scores_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Sanitized:
    """A model, and the samples that it was fitted to, (n,) int64 in rising order."""

    model: Classifier
    kept: Tensor


def losses(model: Classifier, learner: Learner, data: Dataset) -> Tensor:
    """The loss of each sample under the label that it has, (N,)."""
    return learner.loss_table(scores_of(model, data)).gather(1, data.y.cpu()[:, None]).squeeze(1)


def smallest(values: Tensor, count: int) -> Tensor:
    """The places of the `count` smallest of (N,), in rising order; of equal ones, the first."""
    return values.argsort(stable=True)[:count].sort().values
