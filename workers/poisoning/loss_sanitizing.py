"""Sanitising by loss."""

from __future__ import annotations

from workers.data import Dataset
from workers.engine.monitor import TrainingMonitor
from workers.models import Classifier
from workers.poisoning.learner import Learner
from workers.poisoning.poison import taken
from workers.poisoning.sanitizing import Sanitized, losses, smallest
from workers.poisoning.share import Share


def loss_sanitizing(
    learner: Learner, data: Dataset, drop: int, *, seed: int, monitor: TrainingMonitor, first: Classifier | None = None
) -> Sanitized:
    """Fit, drop the `drop` samples with the largest loss, and fit again to the others.

        f_1 = fit(D),   I = the N - drop samples of smallest J(f_1(x_i), y_i),   f_2 = fit(D_I)

    `first` is f_1 where the caller has it already. With nothing to drop, f_1 is the answer.
    Source: the loss of a sample stands for its harm, which "reject on negative impact" measures by fitting without it
    (Barreno, Nelson, Joseph, Tygar, Machine Learning 81, 2010).
    Differs from the paper in: one look at each sample under one model.
    """
    model = learner.fit(data, seed=seed, monitor=Share(monitor, 0.0, 0.5)) if first is None else first
    kept = smallest(losses(model, learner, data), len(data) - drop)
    if drop:
        model = learner.fit(taken(data, kept), seed=seed, monitor=Share(monitor, 0.5, 0.5))
    return Sanitized(model=model, kept=kept)
