"""What a job will cost, estimated from its resolved spec alone: the quota of compute is charged by it.

The unit is one forward pass of one sample, times what that costs in the network at the input's size. A pass forward
and backward counts as three, since going back costs about twice as much as going forward.

    clean forward                1, once for each model
    fgsm                         3 + 1 for the check of what came out
    bim, iterative_least_likely  3 steps + 1
    pgd                          restarts (3 steps + 1)
    a curve                      its attack once for each epsilon
    training, per sample and epoch
        standard                 3
        fgsm_adversarial         3 for the examples, 3 + 3 for the two losses
        pgd_adversarial          3 steps + 3
        distillation             3 for each epoch of teacher and student, one more each at T = 1, and 1 for the labels
    judging a trained model      1 for each sample of evaluation_data
"""

from __future__ import annotations

from collections.abc import Sequence

from sparring.v1 import attacks_pb2, defenses_pb2, jobs_pb2

from services.gateway import catalog

FORWARD = 1
GRADIENT = 3


def giga_ops(job: jobs_pb2.Job) -> float:
    """Return the billions of multiply-adds of a resolved job, by the table above."""
    match job.WhichOneof("spec"):
        case "attack":
            return _measured(job.resolution, FORWARD + attack_passes(job.attack.attack))
        case "evaluation":
            passes = FORWARD + sum(map(attack_passes, job.evaluation.attacks))
            passes += sum(len(curve.epsilons) * attack_passes(curve.attack) for curve in job.evaluation.curves)
            return _measured(job.resolution, passes)
        case "training":
            return _trained(job)
    return 0.0


def attack_passes(attack: attacks_pb2.Attack) -> int:
    """Return the forward passes that a resolved attack is worth, for one sample."""
    match attack.WhichOneof("kind"):
        case "fgsm":
            return GRADIENT + FORWARD
        case "bim":
            return GRADIENT * attack.bim.steps + FORWARD
        case "iterative_least_likely":
            return GRADIENT * attack.iterative_least_likely.steps + FORWARD
        case "pgd":
            return attack.pgd.restarts * (GRADIENT * attack.pgd.steps + FORWARD)
    raise ValueError(f"the cost of attack {attack.WhichOneof('kind')!r} is not known")


def training_passes(defense: defenses_pb2.Defense, epochs: int) -> int:
    """Return the forward passes that a whole training is worth, for one sample."""
    match defense.WhichOneof("kind"):
        case "standard":
            return epochs * GRADIENT
        case "fgsm_adversarial":
            return epochs * 3 * GRADIENT
        case "pgd_adversarial":
            return epochs * (defense.pgd_adversarial.steps + 1) * GRADIENT
        case "distillation":
            return (defense.distillation.teacher_epochs + 1 + epochs + 1) * GRADIENT + FORWARD
    raise ValueError(f"the cost of defense {defense.WhichOneof('kind')!r} is not known")


def _measured(resolution: jobs_pb2.Resolution, passes: int) -> float:
    """Return the cost of so many passes of every sample through every model."""
    signatures = [model.signature for model in resolution.models]
    costs = [_one(signature.architecture, signature.input_shape) for signature in signatures]
    return resolution.data.count * passes * sum(costs)


def _trained(job: jobs_pb2.Job) -> float:
    spec, data = job.training, job.resolution.data
    one = _one(spec.architecture, data.input_shape)
    passes = data.count * training_passes(spec.defense, spec.optimization.epochs)
    return one * (passes + job.resolution.evaluation_data.count * FORWARD)


def _one(architecture: str, input_shape: Sequence[int]) -> float:
    """Return what one forward pass of one sample costs."""
    _, height, width = input_shape
    return catalog.architectures()[architecture].giga_ops_at(height, width)
