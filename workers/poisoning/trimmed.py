"""Training on the samples that are fitted best."""

from __future__ import annotations

import torch

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.poisoning.learner import Learner
from workers.poisoning.poison import shuffled, taken
from workers.poisoning.sanitizing import Sanitized, losses, smallest
from workers.poisoning.share import Share

# Fits at most; where the set goes in circles, it would never end.
ROUNDS = 6
_START = -33


def trimmed(
    learner: Learner, data: Dataset, drop: int, *, seed: int, monitor: TrainingMonitor, rounds: int = ROUNDS
) -> Sanitized:
    """Fit to N - drop samples, take those that this model fits best, and so on until they stay the same.

        f_0 = fit(D_I), I random;   repeat  I = argmin_{|I| = N - drop} sum_{i in I} J(f(x_i), y_i),  f = fit(D_I)

    With nothing to drop, one fit is all.
    Source: TRIM, arXiv:1804.00308, algorithm 2, there for linear regression; for classifiers, arXiv:1810.11874.
    Differs from the paper in: the loss is that of the classifier instead of the squared residual; at most `rounds`
    fits; every fit starts afresh.
    """
    count = len(data) - drop
    kept = shuffled(len(data), seed, _START)[:count].sort().values if drop else torch.arange(len(data))
    for turn in range(rounds):
        model = learner.fit(taken(data, kept), seed=seed, monitor=Share(monitor, turn / rounds, 1 / rounds))
        best = smallest(losses(model, learner, data), count)
        if torch.equal(best, kept) or turn + 1 == rounds:
            break
        kept = best
    return Sanitized(model=model, kept=kept)
