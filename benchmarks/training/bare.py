"""The floor: PGD training with nothing around it.

Each step of the inner attack is a forward and an input gradient (`autograd.grad`, by the input only), the step of the
weights a forward, a backward and their gradient: 2 K + 3 passes a sample.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from benchmarks.attacks.nets import perturbed
from benchmarks.training.cases import Case
from benchmarks.training.schedule import Pace, adam
from workers.data import Dataset
from workers.models import Classifier


class Trainer:
    """A loop in ten lines; the digits are there as float32."""

    def __init__(self, model: Classifier, digits: Dataset, case: Case) -> None:
        self.model, self.case = model.train(), case
        self.x, self.y = digits.pixels(slice(None)), digits.y
        self.optimizer = adam(model)
        self.epsilon = 0.0
        self.pace = Pace(case, self.optimizer, self.perturb)

    def perturb(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def epoch(self) -> None:
        steps, step_size = self.case.steps, self.case.step_size
        for rows in torch.randperm(len(self.x)).split(self.case.batch_size):
            x, y = self.x[rows], self.y[rows]
            self.model.eval()
            x_adv = perturbed(self.model, x, y, self.epsilon, steps=steps, step_size=step_size(self.epsilon))
            self.model.train()
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.model(x_adv), y).backward()
            self.optimizer.step()
            self.pace.step()

    def trained(self) -> Classifier:
        return self.model
