"""Poisoning: an attacker who may change some of what a model learns from, and two defenders.

    POISONS       by the name of the field in `sparring.v1.Poison`; their fields are those of its messages, where
                  ranges and defaults stand
    sanitizers    loss_sanitizing, trimmed
    learners      who is poisoned: a network, what is fitted, a machine of two classes, the last layer of a network
    measure       one poisoned fraction: poison, learn, judge, with and without a sanitizer

To add a poison: a message there, a file here, a line below, a row in the tests' list, a line in the changelog.
"""

from __future__ import annotations

from typing import Final

from workers.poisoning.backdoor import Backdoor
from workers.poisoning.feature_collision import FeatureCollision
from workers.poisoning.label_flip import LabelFlip
from workers.poisoning.learner import FittedLearner, LastLayerLearner, Learner, MachineLearner, NetworkLearner
from workers.poisoning.loss_sanitizing import loss_sanitizing
from workers.poisoning.measure import Measurement, Outcome, Sanitizer, measure
from workers.poisoning.poison import Poison, Poisoned, Scenario
from workers.poisoning.svm_gradient import SvmGradient
from workers.poisoning.trimmed import trimmed

__all__ = [
    "POISONS",
    "Backdoor",
    "FeatureCollision",
    "FittedLearner",
    "LabelFlip",
    "LastLayerLearner",
    "Learner",
    "MachineLearner",
    "Measurement",
    "NetworkLearner",
    "Outcome",
    "Poison",
    "Poisoned",
    "Sanitizer",
    "Scenario",
    "SvmGradient",
    "loss_sanitizing",
    "measure",
    "trimmed",
]

POISONS: Final[dict[str, type[Poison]]] = {
    "label_flip": LabelFlip,
    "svm_gradient": SvmGradient,
    "feature_collision": FeatureCollision,
    "backdoor": Backdoor,
}
