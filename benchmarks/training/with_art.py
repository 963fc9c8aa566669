"""The trainer of IBM's Adversarial Robustness Toolbox (Nicolae et al., arXiv:1807.01069)."""

from __future__ import annotations

import numpy as np
from art.defences.trainer import AdversarialTrainerMadryPGD
from art.estimators.classification import PyTorchClassifier
from torch import nn

from benchmarks.training.cases import Case
from benchmarks.training.nets import CLASSES, SHAPE
from benchmarks.training.schedule import Pace, adam
from workers.data import Dataset
from workers.models import Classifier


class Trainer:
    """Its protocol of Madry, given our rates and epsilons; it calls a scheduler after each batch that it fits."""

    def __init__(self, model: Classifier, digits: Dataset, case: Case) -> None:
        self.model, self.case = model, case
        self.x = digits.pixels(slice(None)).numpy()
        self.y = np.eye(CLASSES, dtype=np.float32)[digits.y.numpy()]
        optimizer = adam(model)
        classifier = PyTorchClassifier(
            model=model,
            loss=nn.CrossEntropyLoss(),
            optimizer=optimizer,
            input_shape=SHAPE,
            nb_classes=CLASSES,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        self.trainer = AdversarialTrainerMadryPGD(
            classifier,
            nb_epochs=1,
            batch_size=case.batch_size,
            eps=case.epsilon,
            eps_step=case.step_size(case.epsilon),
            max_iter=case.steps,
        )
        # Left alone it would craft 32 examples at a time.
        self.trainer.attack.set_params(batch_size=case.batch_size)
        self.pace = Pace(case, optimizer, self.perturb)

    def perturb(self, epsilon: float) -> None:
        self.trainer.attack.set_params(eps=epsilon, eps_step=self.case.step_size(epsilon))

    def epoch(self) -> None:
        self.trainer.fit(self.x, self.y, nb_epochs=1, batch_size=self.case.batch_size, scheduler=self.pace)

    def trained(self) -> Classifier:
        return self.model
