"""What a training costs, estimated from its resolved defense alone; a part of `services.gateway.estimate`.

The unit is one forward pass of one sample of the training data; forward and backward count as three. E is the number
of epochs, K the steps of the inner attack.

    standard                 3 E
    label_smoothing          3 E
    fgsm_adversarial         9 E: 3 for the examples, 3 + 3 for the two losses
    adversarial_at_scale     3 E (1 + adversarial_share)
    pgd_adversarial          E (3 K + 3)
    fgsm_rs                  6 E
    free                     3 E, rounded up to whole passes of `batch_replays` steps a batch
    trades                   E (3 K + 1 + 6): the clean logits once, two losses
    mart                     E (3 K + 6)
    awp                      E (3 K + 6) on PGD, E (3 K + 1 + 12) on TRADES
    ensemble_adversarial     9 E, and 3 static_models static_epochs
    adversarial_refit        3 E (refits + 1)^2: network n learns from the copies of n others, each 3 to make and 3 to
                             learn
    distillation             3 for each epoch of teacher and student, one more each at T = 1, and E for the labels
    virtual_adversarial      E (6 + 3 power_iterations), and 3 E for the batches with labels where some have none
    noise_training, weight_penalty, test_time_noise, confidence_reduction, output_code, glimpses
                             3 E
    double_backprop          6 E
    committee                3 E members
    generative_pretraining   3 E, and 9 pretraining_epochs
    autoencoder              3 E, and 3 autoencoder_epochs for the examples; its own passes `estimate` adds

A network beside the trained one that has another architecture is paid at that architecture's price (`beside`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sparring.v1 import defenses_pb2

FORWARD = 1
GRADIENT = 3

# The message of a defense; which one it is, its line of the table knows.
Method = Any


def training_passes(defense: defenses_pb2.Defense, epochs: int) -> int:
    """Return the forward passes that a whole training is worth, for one sample."""
    kind = defense.WhichOneof("kind")
    if kind is None:
        raise ValueError("the cost of no defense is not known")
    return COSTS[kind](getattr(defense, kind), epochs)


def beside(defense: defenses_pb2.Defense, epochs: int) -> Mapping[str, int]:
    """Return the forward passes for one sample through networks of other architectures, by the architecture's name."""
    kind = defense.WhichOneof("kind")
    if kind == "ensemble_adversarial":
        return _static(defense.ensemble_adversarial, epochs)
    if kind == "distillation" and defense.distillation.teacher_architecture:
        return {defense.distillation.teacher_architecture: _teacher(defense.distillation, epochs)}
    return {}


def static_architectures(method: defenses_pb2.EnsembleAdversarialTraining) -> list[str]:
    """Return the names of the architectures that static networks take in turn; none for the model's own."""
    names = method.static_architectures
    return list(dict.fromkeys(name.strip() for name in names.split(","))) if names else []


def _free(method: Method, epochs: int) -> int:
    replays = max(1, int(method.batch_replays))
    return math.ceil(epochs / replays) * replays * GRADIENT


def _awp(method: Method, epochs: int) -> int:
    # The loss twice: to find the worst weights, and at them.
    losses, clean = (2, FORWARD) if method.base == defenses_pb2.AWP_BASE_TRADES else (1, 0)
    return epochs * (GRADIENT * int(method.steps) + clean + 2 * losses * GRADIENT)


def _ensemble(method: Method, epochs: int) -> int:
    static = 0 if static_architectures(method) else int(method.static_models) * int(method.static_epochs)
    return (3 * epochs + static) * GRADIENT


def _static(method: Method, epochs: int) -> Mapping[str, int]:
    """Their trainings, and the batches whose examples each makes."""
    names, count = static_architectures(method), int(method.static_models)
    each = int(method.static_epochs) + math.ceil(epochs / (count + 1))
    return {
        name: GRADIENT * each * sum(number % len(names) == turn for number in range(count))
        for turn, name in enumerate(names)
    }


def _distillation(method: Method, epochs: int) -> int:
    own = 0 if method.teacher_architecture else _teacher(method, epochs)
    return own + (1 + epochs) * GRADIENT


def _teacher(method: Method, epochs: int) -> int:
    """Its training, and its answers to every batch of the student's."""
    return (1 + int(method.teacher_epochs)) * GRADIENT + epochs * FORWARD


def _virtual_adversarial(method: Method, epochs: int) -> int:
    # What a batch of labelled pictures costs beside the others is charged as if it were as large as theirs.
    beside_them = GRADIENT if method.labelled else 0
    return epochs * ((2 + int(method.power_iterations)) * GRADIENT + beside_them)


COSTS: Mapping[str, Callable[[Method, int], int]] = {
    "standard": lambda _method, epochs: epochs * GRADIENT,
    "fgsm_adversarial": lambda _method, epochs: epochs * 3 * GRADIENT,
    "pgd_adversarial": lambda method, epochs: epochs * (int(method.steps) + 1) * GRADIENT,
    "distillation": _distillation,
    "label_smoothing": lambda _method, epochs: epochs * GRADIENT,
    "adversarial_at_scale": lambda method, epochs: math.ceil(epochs * (1 + method.adversarial_share) * GRADIENT),
    "fgsm_rs": lambda _method, epochs: epochs * 2 * GRADIENT,
    "free": _free,
    "trades": lambda method, epochs: epochs * (GRADIENT * int(method.steps) + FORWARD + 2 * GRADIENT),
    "mart": lambda method, epochs: epochs * (int(method.steps) + 2) * GRADIENT,
    "awp": _awp,
    "ensemble_adversarial": _ensemble,
    "virtual_adversarial": _virtual_adversarial,
    "adversarial_refit": lambda method, epochs: epochs * (int(method.refits) + 1) ** 2 * GRADIENT,
    **dict.fromkeys(
        ("noise_training", "weight_penalty", "test_time_noise", "confidence_reduction", "output_code", "glimpses"),
        lambda _method, epochs: epochs * GRADIENT,
    ),
    "double_backprop": lambda _method, epochs: epochs * 2 * GRADIENT,
    "committee": lambda method, epochs: epochs * max(1, int(method.members)) * GRADIENT,
    "generative_pretraining": lambda method, epochs: (epochs + 3 * int(method.pretraining_epochs)) * GRADIENT,
    "autoencoder": lambda method, epochs: (epochs + int(method.autoencoder_epochs)) * GRADIENT,
}
