"""The trainer of torchdefenses, which its author (Kim) later went on with as MAIR; PGD is that of his torchattacks."""

from __future__ import annotations

import tempfile

from torch.utils.data import DataLoader, TensorDataset
from torchdefenses import RobModel
from torchdefenses.trainer import AT

from benchmarks.training.cases import Case
from benchmarks.training.nets import CLASSES
from benchmarks.training.schedule import Pace, adam
from workers.data import Dataset
from workers.models import Classifier


class Trainer:
    """Its adversarial training, given our rates and epsilons by what it takes for a scheduler."""

    def __init__(self, model: Classifier, digits: Dataset, case: Case) -> None:
        self.model, self.case = model, case
        pictures = TensorDataset(digits.pixels(slice(None)), digits.y)
        self.loader = DataLoader(pictures, batch_size=case.batch_size, shuffle=True)
        robust = RobModel(model, n_classes=CLASSES)
        self.trainer = AT(robust, eps=case.epsilon, alpha=case.step_size(case.epsilon), steps=case.steps)
        self.optimizer = adam(robust)
        self.pace = Pace(case, self.optimizer, self.perturb)

    def perturb(self, epsilon: float) -> None:
        self.trainer.atk.eps, self.trainer.atk.alpha = epsilon, self.case.step_size(epsilon)

    def epoch(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # it keeps the first weights, whatever it is asked for
            self.trainer.fit(
                self.loader,
                max_epoch=1,
                optimizer=self.optimizer,
                scheduler=self.pace,
                scheduler_type="Iter",
                save_type=None,
                save_path=f"{folder}/weights",
                record_type=None,
            )

    def trained(self) -> Classifier:
        return self.model
