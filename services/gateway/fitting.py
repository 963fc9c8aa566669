"""Trainings that are fits: of what is no neural net, and of a network for which the client asked for it.

fitted        the architecture is, or `fitting` is set and the architecture can be
cost          of f fits, one and `refits` more, of N samples of D values, in billions of multiply-adds; half of the
              copies, on average, are there already
                  linear_svm, softmax_regression   300 passes forward and backward
                  rbf_svm                          N^2 D
                  decision_tree                    N D max_depth
                  random_forest                    N sqrt(D) max_depth trees
                  nearest_neighbors                nothing
              times (1 + f) / 2 samples, and 4 passes for each copy
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from google.protobuf.message import Message
from sparring.v1 import datasets_pb2, jobs_pb2

from services.errors import Violation
from services.gateway import catalog
from services.gateway.defaults import fill
from services.gateway.ranges import check_parameters, fields_of, is_set
from services.gateway.selections import default_split, split_named

# What means something to a fitted model.
DEFENSES = ("standard", "adversarial_refit")
# What has a worst case in closed form.
LINEAR = ("linear_svm", "softmax_regression")
# Every sample may become a reference or a support vector, of which the workers take so many.
KEEPS_SAMPLES = ("nearest_neighbors", "rbf_svm")
MOST_KEPT = 2**17
# Bytes of all samples and copies as float32; a fit holds all of them, some twice.
MOST_BYTES = 4 << 30
SOLVER_PASSES = 900
COPY_PASSES = 4


def fitted(spec: jobs_pb2.TrainingSpec) -> bool:
    """Tell whether the model of this training is fitted and not trained."""
    architecture = catalog.architectures().get(spec.architecture)
    if architecture is None:
        return False
    return architecture.fitted or (bool(architecture.fitting) and spec.HasField("fitting"))


def check(spec: jobs_pb2.TrainingSpec) -> Iterator[Violation]:
    """Check by itself what a fit takes, and that nothing else asks for one."""
    name, architecture = spec.architecture, catalog.architectures().get(spec.architecture)
    yield from check_parameters(spec.fitting, "training.fitting")
    if spec.HasField("fitting") and (architecture is None or not architecture.fitting):
        known = ", ".join(key for key, entry in catalog.architectures().items() if entry.fitting)
        yield Violation("training.fitting", f"a {name or 'network'} is trained and not fitted; fitted are {known}")
    if architecture is None or not fitted(spec):
        if spec.defense.adversarial_refit.closed_form:
            path = "training.defense.adversarial_refit.closed_form"
            yield Violation(path, f"is for what is fitted; set training.fitting to fit one of {', '.join(LINEAR)}")
        return
    for field in fields_of(spec.fitting).values():
        if is_set(spec.fitting, field) and field.name not in architecture.fitting:
            takes = ", ".join(architecture.fitting)
            yield Violation(f"training.fitting.{field.name}", f"is nothing to a {name}, which takes {takes}")
    if spec.optimization.ListFields():
        yield Violation("training.optimization", f"a {name} is fitted, so no step is optimised; leave it unset")
    if spec.initial_model:
        yield Violation("training.initial_model", f"a {name} is fitted to samples alone; leave it unset")
    kind = spec.defense.WhichOneof("kind")
    if kind is not None and kind not in DEFENSES:
        yield Violation(
            "training.defense",
            f"a {name} is fitted, and {kind} is about training step by step; there are {' and '.join(DEFENSES)}",
        )
    if spec.defense.adversarial_refit.closed_form and name not in LINEAR:
        path = "training.defense.adversarial_refit.closed_form"
        yield Violation(path, f"a {name} has none; there is one for {' and '.join(LINEAR)}")


def check_samples(spec: jobs_pb2.TrainingSpec, dataset: datasets_pb2.Dataset) -> Iterator[Violation]:
    """Check that a fit of so many samples can be held, and its result be used."""
    split = split_named(dataset, spec.data.split or default_split(dataset, "train"))
    if split is None or not fitted(spec):
        return
    count = spec.data.count if spec.data.count > 0 else split.count - spec.data.offset
    times = _fits(spec)
    if spec.architecture in KEEPS_SAMPLES and count * times > MOST_KEPT:
        message = (
            f"a {spec.architecture} keeps up to {count * times} samples and copies, at most {MOST_KEPT} are allowed"
        )
        yield Violation("training.data.count", message)
    size_bytes = 4 * count * times * math.prod(dataset.input_shape)
    if size_bytes > MOST_BYTES:
        message = f"samples and copies take {size_bytes} bytes, a fit holds at most {MOST_BYTES}; select fewer"
        yield Violation("training.data.count", message)
    if spec.fitting.neighbors > count:
        yield Violation("training.fitting.neighbors", f"{count} samples have no {spec.fitting.neighbors} neighbours")


def fill_in(spec: jobs_pb2.TrainingSpec) -> None:
    """Set what the architecture takes and the client left unset."""
    architecture = catalog.architectures()[spec.architecture]
    fill(spec.fitting, computed={"cost": 5.0 if spec.architecture == "rbf_svm" else 0.1})
    options: Message = spec.fitting
    for name in fields_of(options):
        if name not in architecture.fitting:
            options.ClearField(name)


def giga_ops(job: jobs_pb2.Job, one: float) -> float:
    """Return the billions of multiply-adds of a resolved fit; `one` is what a forward pass of the model costs."""
    spec, count = job.training, job.resolution.data.count
    values, given, fits = math.prod(job.resolution.data.input_shape), spec.fitting, _fits(spec)
    work = {
        "rbf_svm": count * count * values / 1e9,
        "decision_tree": count * values * given.max_depth / 1e9,
        "random_forest": count * math.sqrt(values) * given.max_depth * given.trees / 1e9,
        "nearest_neighbors": 0.0,
    }.get(spec.architecture, SOLVER_PASSES * count * one)
    return fits * (1 + fits) / 2 * work + (fits - 1) * COPY_PASSES * count * one


def _fits(spec: jobs_pb2.TrainingSpec) -> int:
    """Return how often the model is fitted; samples and copies are at most so many times the samples."""
    refit = spec.defense.adversarial_refit
    if spec.defense.WhichOneof("kind") != "adversarial_refit" or refit.closed_form:
        return 1
    return 1 + (refit.refits if refit.HasField("refits") else 1)
