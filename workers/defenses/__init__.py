"""The defenses: one file each, and this table of them.

A defense is a `workers.recipe.Recipe`: a frozen dataclass whose fields are those of its message in
`sparring/v1/defenses*.proto`, where ranges and defaults stand. Its core is the loss of one batch, which
`workers.engine.train` minimises:

    loss(model, x, y, step) -> scalar

To add one: a message there, a file here, a line below, a row in the resume test, a line in the changelog.
"""

from __future__ import annotations

from typing import Final

from workers.defenses.adversarial_at_scale import AdversarialTrainingAtScale
from workers.defenses.adversarial_refit import AdversarialRefit
from workers.defenses.autoencoder_in_front import AutoencoderInFront
from workers.defenses.awp import AdversarialWeightPerturbation
from workers.defenses.committee_of_networks import CommitteeOfNetworks
from workers.defenses.confidence_reducing import ConfidenceReducing
from workers.defenses.distillation import DefensiveDistillation
from workers.defenses.double_backprop import DoubleBackpropagation
from workers.defenses.ensemble_adversarial import EnsembleAdversarialTraining
from workers.defenses.fgsm_adversarial import FgsmAdversarialTraining
from workers.defenses.fgsm_rs import FgsmRandomStart
from workers.defenses.free import FreeAdversarialTraining
from workers.defenses.generative_pretraining import GenerativePretraining
from workers.defenses.label_smoothing import LabelSmoothing
from workers.defenses.mart import Mart
from workers.defenses.multiple_glimpses import MultipleGlimpses
from workers.defenses.noise_at_test_time import NoiseAtTestTime
from workers.defenses.noise_training import NoiseTraining
from workers.defenses.output_coding import OutputCoding
from workers.defenses.pgd_adversarial import PgdAdversarialTraining
from workers.defenses.standard import StandardTraining
from workers.defenses.trades import Trades
from workers.defenses.virtual_adversarial import VirtualAdversarialTraining
from workers.defenses.weight_penalty import WeightPenalty
from workers.recipe import Recipe

__all__ = [
    "DEFENSES",
    "AdversarialRefit",
    "AdversarialTrainingAtScale",
    "AdversarialWeightPerturbation",
    "AutoencoderInFront",
    "CommitteeOfNetworks",
    "ConfidenceReducing",
    "DefensiveDistillation",
    "DoubleBackpropagation",
    "EnsembleAdversarialTraining",
    "FgsmAdversarialTraining",
    "FgsmRandomStart",
    "FreeAdversarialTraining",
    "GenerativePretraining",
    "LabelSmoothing",
    "Mart",
    "MultipleGlimpses",
    "NoiseAtTestTime",
    "NoiseTraining",
    "OutputCoding",
    "PgdAdversarialTraining",
    "StandardTraining",
    "Trades",
    "VirtualAdversarialTraining",
    "WeightPenalty",
]

# By the name of the field in `sparring.v1.Defense`.
DEFENSES: Final[dict[str, type[Recipe]]] = {
    "standard": StandardTraining,
    "fgsm_adversarial": FgsmAdversarialTraining,
    "pgd_adversarial": PgdAdversarialTraining,
    "distillation": DefensiveDistillation,
    "label_smoothing": LabelSmoothing,
    "adversarial_at_scale": AdversarialTrainingAtScale,
    "fgsm_rs": FgsmRandomStart,
    "free": FreeAdversarialTraining,
    "trades": Trades,
    "mart": Mart,
    "awp": AdversarialWeightPerturbation,
    "ensemble_adversarial": EnsembleAdversarialTraining,
    "virtual_adversarial": VirtualAdversarialTraining,
    "adversarial_refit": AdversarialRefit,
    "noise_training": NoiseTraining,
    "weight_penalty": WeightPenalty,
    "double_backprop": DoubleBackpropagation,
    "generative_pretraining": GenerativePretraining,
    "test_time_noise": NoiseAtTestTime,
    "autoencoder": AutoencoderInFront,
    "committee": CommitteeOfNetworks,
    "confidence_reduction": ConfidenceReducing,
    "output_code": OutputCoding,
    "glimpses": MultipleGlimpses,
}
