"""Our engine, as a job calls it: a training that is left after each epoch and resumed from its checkpoint.

So its time has everything in it that a job's has: the checkpoint that is written after an epoch, and here the one that
is read before it, which a job reads only when a worker was lost.
"""

from __future__ import annotations

import math

from benchmarks.training.cases import Case
from benchmarks.training.schedule import optimization
from workers.data import Dataset
from workers.defenses import PgdAdversarialTraining
from workers.engine.train import TrainResult, train
from workers.models import Classifier


class EpochOverError(Exception):
    """Thrown out of the engine by whoever keeps its checkpoints."""


class Trainer:
    """The same steps for everybody, in our words."""

    def __init__(self, model: Classifier, digits: Dataset, case: Case) -> None:
        self.model, self.digits, self.case = model, digits, case
        self.defense = PgdAdversarialTraining(
            epsilon=case.epsilon, steps=case.steps, step_size=case.step_size(case.epsilon), epsilon_ramp=case.ramp
        )
        self.checkpoint: bytes | None = None

    def epoch(self) -> None:
        try:
            self._train()
        except EpochOverError:
            return
        raise RuntimeError("there was no epoch left")

    def trained(self) -> Classifier:
        return self._train().model

    def _train(self) -> TrainResult:
        return train(
            self.model,
            self.digits,
            self.defense,
            optimization(self.case),
            seed=0,
            resume=self.checkpoint,
            save=self._leave,
            checkpoint_every_s=math.inf,
        )

    def _leave(self, checkpoint: bytes) -> None:
        self.checkpoint = checkpoint
        raise EpochOverError
