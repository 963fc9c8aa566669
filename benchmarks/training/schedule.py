"""One learning rate and one epsilon for everybody, step by step: those of our engine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.training.cases import Case
from workers.engine.train_schedule import Optimization, learning_rate

# Of epsilon: the others refuse a ball of radius 0, which is where the ramp begins.
LEAST = 1e-6


def optimization(case: Case) -> Optimization:
    """The case's, in our words."""
    return Optimization(epochs=case.epochs, batch_size=case.batch_size, learning_rate=case.rate)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of everybody: torch's own kernel for it, as in our engine."""
    return torch.optim.Adam(model.parameters(), fused=True)


class Pace:
    """Sets rate and epsilon of the next step; whoever trains calls `step` after each batch, as a scheduler of torch."""

    def __init__(self, case: Case, optimizer: torch.optim.Optimizer, perturb: Callable[[float], object]) -> None:
        """`perturb` takes the epsilon of the next step."""
        self._case, self._optimization = case, optimization(case)
        self._optimizer, self._perturb = optimizer, perturb
        self._steps, self._done = case.epochs * case.batches, 0
        self._set()

    def step(self) -> None:
        """A batch is done."""
        self._done += 1
        if self._done < self._steps:
            self._set()

    def _set(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._optimization, self._done, self._steps)
        ramp = min(1.0, self._done / self._steps / self._case.ramp)
        self._perturb(max(LEAST, ramp * self._case.epsilon))
