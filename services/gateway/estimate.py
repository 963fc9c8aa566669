"""What a job will cost, estimated from its resolved spec alone: the quota of compute is charged by it.

The unit is one forward pass of one sample, times what that costs in the network at the input's size. A pass forward
and backward counts as three, since going back costs about twice as much as going forward. What an attack may cost at
most is charged: few samples need every step, restart or target. K is the number of classes, D that of the values of
an input, T the targets, at most K - 1.

    forward of a model           1, times what its component asks and takes (see `components`)
    clean forward                1, once for each model
    attack                       1 for the check of what came out, and
        fgsm                     3
        bim, iterative_least_likely, mi_fgsm, ddn, fmn, nearest_neighbor, fooling_gradient
                                 3 steps
        pgd                      restarts (3 steps + 1), its own checks included
        eot_pgd                  3 samples steps
        apgd                     restarts max(1, T) 3 (steps + 1)
        fab                      restarts T 4 steps; restarts (2 + 2 K) steps without targets
        auto_attack              3 (steps + 1) + T 3 (steps + 1) + T 4 steps + queries
        lbfgs, carlini_wagner    search_steps 3 steps
        ead                      search_steps 4 steps
        deepfool                 steps (2 + 2 candidates) + 8 to draw back; K where candidates is 0 or more than K
        jsma                     5 for each change, max_fraction D of them, half as many in pairs
        linear_nudge             (1 + 2 K) + 2
        tree_walk                1
        square                   restarts queries
        nes, simba, boundary, hop_skip_jump
                                 queries
        fooling_map_elites, fooling_cppn
                                 generations offspring
        plugin                   3 for each of its `steps`, 1 for each of its `queries`; 300 where it has neither
    a curve                      its attack once for each epsilon
    probes of a suite            see `suites`
    training                     see `estimate_training`, and `fitting` for what is fitted
    poisoning                    see `poisoning`
    watching a training          see `watching`
    judging a trained model      1 for each sample of evaluation_data
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparring.v1 import attacks_pb2, jobs_pb2, models_pb2

from services.gateway import catalog, components, fitting, poisoning, suites, watching
from services.gateway.estimate_training import FORWARD, GRADIENT, beside, training_passes

# Looks along the way back, rather more than it takes.
DRAWN_BACK = 8
PLUGIN = 300


@dataclass(frozen=True)
class Scale:
    """What a cost may depend on beside the attack: the classes, and how many values an input has."""

    classes: int
    values: int


# The message of an attack; which one it is, its line of the table knows.
Method = Any


def giga_ops(job: jobs_pb2.Job) -> float:
    """Return the billions of multiply-adds of a resolved job, by the table above."""
    match job.WhichOneof("spec"):
        case "attack":
            return _measured(job.resolution, [job.attack.attack])
        case "evaluation":
            curves = [curve.attack for curve in job.evaluation.curves for _ in curve.epsilons]
            return _measured(job.resolution, [*job.evaluation.attacks, *curves]) + suites.giga_ops(job)
        case "training":
            return _trained(job)
        case "poisoning":
            return _poisoned(job)
    return 0.0


def attack_passes(attack: attacks_pb2.Attack, scale: Scale) -> int:
    """Return the forward passes that a resolved attack is worth at most, for one sample."""
    kind = attack.WhichOneof("kind")
    if kind is None:
        raise ValueError("the cost of no attack is not known")
    return COSTS[kind](getattr(attack, kind), scale)


def _steps(method: Method, _scale: Scale) -> int:
    return GRADIENT * int(method.steps) + FORWARD


def _queries(method: Method, _scale: Scale) -> int:
    return int(method.queries) + FORWARD


def _searched(method: Method, _scale: Scale) -> int:
    return int(method.search_steps) * GRADIENT * int(method.steps) + FORWARD


def _ead(method: Method, _scale: Scale) -> int:
    # The slope at y_k, then the answer at x_k.
    return int(method.search_steps) * (GRADIENT + FORWARD) * int(method.steps) + FORWARD


def _offspring(method: Method, _scale: Scale) -> int:
    return int(method.generations) * int(method.offspring) + FORWARD


def _targets(method: Method, scale: Scale) -> int:
    return min(int(method.targets), scale.classes - 1)


def _apgd(method: Method, scale: Scale) -> int:
    runs = int(method.restarts) * max(1, _targets(method, scale))
    return runs * GRADIENT * (int(method.steps) + 1) + FORWARD


def _fab(method: Method, scale: Scale) -> int:
    towards = _targets(method, scale)
    # A step asks for the slope of one boundary, or of all, and then where it has come to.
    step = towards * (GRADIENT + FORWARD) if towards else FORWARD + 2 * scale.classes + FORWARD
    return int(method.restarts) * int(method.steps) * step + FORWARD


def _auto_attack(method: Method, scale: Scale) -> int:
    steps, towards = int(method.steps), _targets(method, scale)
    gradients = (1 + towards) * GRADIENT * (steps + 1)
    return gradients + towards * (GRADIENT + FORWARD) * steps + int(method.queries) + FORWARD


def _deepfool(method: Method, scale: Scale) -> int:
    slopes = min(int(method.candidates) or scale.classes, scale.classes)
    return int(method.steps) * (FORWARD + 2 * slopes + FORWARD) + DRAWN_BACK + FORWARD


def _jsma(method: Method, scale: Scale) -> int:
    changes: int = math.ceil(method.max_fraction * scale.values / (2 if method.pairs else 1))
    # One pass forward, one back from the target and one from all others.
    return changes * (FORWARD + 2 + 2) + FORWARD


def _plugin(method: Method, _scale: Scale) -> int:
    steps, queries = (max(0.0, method.parameters.get(name, 0.0)) for name in ("steps", "queries"))
    return (math.ceil(min(GRADIENT * steps + queries, 1e9)) or PLUGIN) + FORWARD


COSTS: Mapping[str, Callable[[Method, Scale], int]] = {
    "fgsm": lambda _method, _scale: GRADIENT + FORWARD,
    "bim": _steps,
    "iterative_least_likely": _steps,
    "pgd": lambda method, scale: int(method.restarts) * _steps(method, scale),
    "mi_fgsm": _steps,
    "apgd": _apgd,
    "fab": _fab,
    "square": lambda method, _scale: int(method.restarts) * int(method.queries) + FORWARD,
    "auto_attack": _auto_attack,
    "lbfgs": _searched,
    "deepfool": _deepfool,
    "carlini_wagner": _searched,
    "ead": _ead,
    "ddn": _steps,
    "fmn": _steps,
    "jsma": _jsma,
    "linear_nudge": lambda _method, scale: FORWARD + 2 * scale.classes + 2 + FORWARD,
    "nes": _queries,
    "simba": _queries,
    "boundary": _queries,
    "hop_skip_jump": _queries,
    "tree_walk": lambda _method, _scale: FORWARD + FORWARD,
    "nearest_neighbor": _steps,
    "eot_pgd": lambda method, _scale: GRADIENT * int(method.samples) * int(method.steps) + FORWARD,
    "fooling_gradient": _steps,
    "fooling_map_elites": _offspring,
    "fooling_cppn": _offspring,
    "plugin": _plugin,
}


def _measured(resolution: jobs_pb2.Resolution, attacks: Sequence[attacks_pb2.Attack]) -> float:
    """Return the cost of one clean pass and of every attack, for every sample and every model."""
    total = 0.0
    for model in resolution.models:
        signature = model.signature
        scale = Scale(signature.classes, math.prod(signature.input_shape))
        passes = FORWARD + sum(attack_passes(attack, scale) for attack in attacks)
        total += passes * components.giga_ops(signature)
    return resolution.data.count * total


def _trained(job: jobs_pb2.Job) -> float:
    spec, data = job.training, job.resolution.data
    signature = made(job)
    if fitting.fitted(spec):
        one = components.giga_ops(signature)
        return fitting.giga_ops(job, one) + job.resolution.evaluation_data.count * FORWARD * one
    # A defense asks the networks inside its own component one by one; any other asks the whole of an initial model.
    whole = bool(job.resolution.models) and components.of_defense(spec.defense) is None
    one = components.giga_ops(signature) if whole else _one(spec.architecture, data.input_shape)
    epochs = spec.optimization.epochs
    learned = data.count - int(data.count * spec.validation.held_out)
    passes = learned * training_passes(spec.defense, epochs)
    others = beside(spec.defense, epochs).items()
    elsewhere = sum(learned * count * _one(name, data.input_shape) for name, count in others)
    # Two pictures go through an autoencoder in front in each of its steps.
    drawn = (
        2 * GRADIENT * learned * spec.defense.autoencoder.autoencoder_epochs * components.drawing_giga_ops(signature)
    )
    looked_at = job.resolution.evaluation_data.count * FORWARD + watching.passes(spec, data.count)
    return one * passes + elsewhere + drawn + looked_at * components.giga_ops(signature)


def made(job: jobs_pb2.Job) -> models_pb2.ModelSignature:
    """Return what the model of a resolved training is; the worker registers it with the same signature."""
    if job.resolution.models:
        return job.resolution.models[0].signature
    data = job.resolution.data
    return models_pb2.ModelSignature(
        architecture=job.training.architecture,
        input_shape=data.input_shape,
        classes=data.classes,
        mean=job.training.mean,
        std=job.training.std,
        component=components.of_defense(job.training.defense),
    )


def _poisoned(job: jobs_pb2.Job) -> float:
    """Return the cost of every fit of every fraction, judged as often, and of what the poison takes."""
    spec, data = job.poisoning, job.resolution.data
    fits = len(spec.fractions) * poisoning.fits(spec)
    one_fit = _trained(jobs_pb2.Job(training=poisoning.as_training(spec), resolution=job.resolution))
    return fits * one_fit + poisoning.crafting(job, _one(spec.architecture, data.input_shape))


def _one(architecture: str, input_shape: Sequence[int]) -> float:
    """Return what one forward pass of one sample costs."""
    _, height, width = input_shape
    return catalog.architectures()[architecture].giga_ops_at(height, width)
